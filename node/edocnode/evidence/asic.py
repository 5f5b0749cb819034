"""Evidence as an ASiC-E container, which signature programs of many states open.

The same members as in the plain zip, and three more: ``mimetype`` first, a manifest of all files in
XML, and the maker's seal key's signature over it (CAdES, baseline B-B). All but the signature value
follows from the rest, so a reader makes it again and compares. Of a pair the ECDSA key signs it
alone, for programs that do not know ML-DSA; ``manifest.json``, under both keys, says the same.

Source: ETSI EN 319 162-1, 4.4 and Annex A; ETSI EN 319 122-1, 5 and 6.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime

from edoccore.errors import EvidenceInvalidError, SealInvalidError
from edoccore.identity.keys import PublicKey, verify_signature
from edoccore.identity.suites import KeyPair, Suite
from edocnode.evidence.cms import Cades
from edocnode.evidence.container import invalid

MIMETYPE, MANIFEST, SIGNATURE = (
    "mimetype",
    "META-INF/ASiCManifest001.xml",
    "META-INF/signature001.p7s",
)
MEMBERS = frozenset({MIMETYPE, MANIFEST, SIGNATURE})
CONTEXT = b"edoc.asic/v1"  # of an ML-DSA half that nobody is shown
MEDIA_TYPE = b"application/vnd.etsi.asic-e+zip"
_LONGEST_SIGNATURE = 520  # RSA of 4096 bits
_HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" \
xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
<asic:SigReference URI="%b" MimeType="application/pkcs7-signature"/>
"""
_OBJECT = b"""<asic:DataObjectReference URI="%b">\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\
<ds:DigestValue>%b</ds:DigestValue></asic:DataObjectReference>
"""
_TAIL = b"</asic:ASiCManifest>\n"


def manifest_of(digests: Mapping[str, str]) -> bytes:
    """The manifest over all other members.

    Args:
        digests: SHA-256 (hex) by name; names of evidence need no escaping.
    """
    objects = [
        _OBJECT % (name.encode("ascii"), base64.b64encode(bytes.fromhex(digest)))
        for name, digest in sorted(digests.items())
    ]
    return b"".join([_HEAD % SIGNATURE.encode("ascii"), *objects, _TAIL])


def check_signature(
    found: bytes,
    manifest: bytes,
    key: PublicKey,
    *,
    suite: int,
    chain: Sequence[bytes],
    at: datetime,
) -> None:
    """Checks that a member is the signature of this key over a manifest.

    Args:
        manifest: As ``manifest_of`` makes it.
        at: The signing time in it.

    Raises:
        EvidenceInvalidError: It is not.
    """
    cades = Cades(manifest, suite, chain, at)
    for size in range(min(len(found), _LONGEST_SIGNATURE), 7, -1):
        value = found[-size:]
        if cades.signed_data(value) == found:
            break
    else:
        raise invalid(SIGNATURE, "it is not a signature such as this program makes")
    try:
        if isinstance(key, KeyPair):
            key, suite = key.classical, Suite.ECDSA_P256_SHA256
        verify_signature(key, suite, cades.to_be_signed, value)
    except SealInvalidError as error:
        raise invalid(SIGNATURE, "the signature is not over the container's manifest") from error


def check_container(members: Mapping[str, bytes], expected: bytes) -> None:
    """Checks media type and manifest of a container.

    Args:
        members: The members of ``MEMBERS`` that are there.
        expected: The manifest over what is really there.

    Raises:
        EvidenceInvalidError: One is missing, or another one.
    """
    for name in MEMBERS:
        if name not in members:
            raise invalid(name, "it is missing")
    if members[MIMETYPE] != MEDIA_TYPE:
        raise invalid(MIMETYPE, "it is not the one of ASiC-E")
    if members[MANIFEST] != expected:
        raise EvidenceInvalidError(
            f"{MANIFEST}: it does not list what is in the file.", member=MANIFEST
        )
