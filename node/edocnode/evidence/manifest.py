"""The list of what is in an evidence file, signed by the agency that made the file.

``edoc.manifest/v1`` is a statement like others, but it is signed by itself and not put under a
seal: a seal has a place in the journal, and only the sealer of a running node may give places away.
An export must also work beside it, and must leave no trace in the journal. The signature is the
seal key's, over the exact bytes; ``type``, and of suite 2 the context of ML-DSA, keep manifest and
seal apart.
"""

import re
from hashlib import sha256
from typing import Annotated

from msgspec import Meta, Struct

from edoccore.identity.keys import halves_of
from edoccore.signing.statements import Code, Count, Sha256, Statement, Time, Uuid

MANIFEST = "manifest.json"
MANIFEST_SIGNATURE = "manifest.sig"
MANIFEST_LATTICE = "manifest.mldsa"  # the second half of suite 2
SIGNATURES = frozenset({MANIFEST_SIGNATURE, MANIFEST_LATTICE})
INSTRUCTIONS = "VERIFY.md"
MAX_MEMBERS = 4096
MAX_MANIFEST_BYTES = 1024 * 1024

_STATEMENT = (
    r"(statement\.json|leaf|proof-[0-9]{2}|seal\.json|seal\.sig|seal\.mldsa|seal\.p7s"
    r"|time\.tsr|time-leaf|time-root|time-proof-[0-9]{2})"
)
_NAMES = re.compile(
    r"manifest\.json|manifest\.sig|manifest\.mldsa|VERIFY\.md"
    r"|parts/[0-9]{2}"
    r"|certificates/[0-9a-f]{64}\.(der|mldsa\.pem)"
    r"|crls/[0-9]{2}\.der"
    r"|keys/[0-9a-f]{64}\.pem"
    r"|roles/[a-z0-9-]{1,40}/(file\.json|signed|[0-9a-f]{64}\.sig)"
    rf"|(envelope|receipt|no-receipt|subagencies)/{_STATEMENT}"
    rf"|status-[0-9]{{2}}(-receipt)?/{_STATEMENT}"
    r"|mimetype|META-INF/(ASiCManifest001\.xml|signature001\.p7s)"
    r"|no-receipt/salt"
    r"|status-[0-9]{2}/record\.json"
)


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the evidence: exact size in bytes and SHA-256."""

    name: Annotated[str, Meta(min_length=1, max_length=120)]
    size: Count
    sha256: Sha256


class Manifest(Statement, frozen=True, kw_only=True, tag="edoc.manifest/v1"):
    """What an evidence file holds.

    Attributes:
        agency: Who made the file; its seal key signs these bytes.
        certificates: SHA-256 of the seal certificate (DER), then of its issuers.
        suite: Of the signature.
        time: When the file was made.
        message_id: The message it is about.
        members: Every file but this one and its signature, by name in ascending order.
    """

    agency: Code
    certificates: Annotated[tuple[Sha256, ...], Meta(min_length=1, max_length=4)]
    suite: Annotated[int, Meta(ge=1, le=255)]
    time: Time
    message_id: Uuid
    members: Annotated[tuple[Member, ...], Meta(max_length=MAX_MEMBERS)]


def is_member_name(name: str) -> bool:
    """Whether an evidence file may have a member of this name; all names are fixed or counted."""
    return _NAMES.fullmatch(name) is not None


def signed_members(data: bytes, signature: bytes, suite: int) -> dict[str, bytes]:
    """The manifest and its signature as members."""
    classical, lattice = halves_of(signature, suite)
    found = {MANIFEST: data, MANIFEST_SIGNATURE: classical}
    return found | ({MANIFEST_LATTICE: lattice} if lattice else {})


def all_digests(manifest: Manifest, data: bytes, signature: bytes) -> dict[str, str]:
    """SHA-256 (hex) of every file of the evidence by name, the manifest and its signature too."""
    own = signed_members(data, signature, manifest.suite)
    return {member.name: member.sha256 for member in manifest.members} | {
        name: sha256(content).hexdigest() for name, content in own.items()
    }
