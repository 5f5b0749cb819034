"""The cases of NIST's Public Key Interoperability Test Suite, as this repository's checks see them.

Certificates and lists come from ``cryptography-vectors``. A case is its leaf, named after the case;
the certificates above it and the lists that concern them are found by name, as a reader who has all
of them in hand would. Names are compared here without case and spaces, so that nothing is left out
that the checks might have taken.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cryptography_vectors
from cryptography import x509

from edoccore.directory.revocations import from_crl, key_digest
from edoccore.errors import SealCertificateError
from edoccore.identity.certificate import read_certificate
from edoccore.identity.chain import Revocation, verify_path

FOLDER = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
AT = datetime(2020, 1, 1, tzinfo=UTC)  # all that is not out of date on purpose holds then
ANCHOR = "TrustAnchorRootCertificate"

ACCEPTED, UNKNOWN, REFUSED = "accepted", "unknown", "refused"


@dataclass(frozen=True)
class Judged:
    """What the checks say of a case.

    Attributes:
        path: ``accepted`` when a path leads to the anchor and lists in hand cover all of it,
            ``unknown`` when one is missing, else ``refused``.
        directory: Whether the leaf counts as revoked where its issuers are authorities of a
            directory that carries these lists.
    """

    path: str
    directory: bool


@cache
def certificates() -> dict[str, x509.Certificate]:
    """All that can be read, by the name of its file."""
    found = {}
    for path in sorted((FOLDER / "certs").glob("*.crt")):
        with suppress(ValueError):
            found[path.stem] = read_certificate(path.read_bytes())
    return found


@cache
def lists() -> dict[str, x509.CertificateRevocationList]:
    """All revocation lists, by the name of their file."""
    return {
        path.stem: x509.load_der_x509_crl(path.read_bytes())
        for path in sorted((FOLDER / "crls").glob("*.crl"))
    }


def leaves() -> Iterator[str]:
    """The files of the cases' leaves."""
    return (path.stem for path in sorted((FOLDER / "certs").glob("*EE.crt")))


def judge(leaf: str) -> Judged:
    """Runs the path check and the directory's reading of lists on one case."""
    if leaf not in certificates():
        return Judged(REFUSED, False)
    certificate, anchor = certificates()[leaf], certificates()[ANCHOR]
    above = _above(certificate)
    wanted = [_folded(certificate.issuer), *(_folded(item.issuer) for item in above)]
    wanted += _list_issuers(certificate)
    mine = [item for item in lists().values() if _folded(item.issuer) in wanted]
    return Judged(_path(certificate, above, anchor, mine), _is_revoked(certificate, above, mine))


def _path(
    certificate: x509.Certificate,
    above: list[x509.Certificate],
    anchor: x509.Certificate,
    crls: list[x509.CertificateRevocationList],
) -> str:
    try:
        found = verify_path(certificate, above, anchors=[anchor], at=AT, crls=crls)
    except SealCertificateError:
        return REFUSED
    return UNKNOWN if found.revocation is Revocation.UNKNOWN else ACCEPTED


def _is_revoked(
    certificate: x509.Certificate,
    above: list[x509.Certificate],
    crls: list[x509.CertificateRevocationList],
) -> bool:
    """As ``directory.loading`` takes the lists of authorities, and ``seals`` asks for a serial."""
    for issuer in [*above, certificates()[ANCHOR]]:
        if issuer.subject != certificate.issuer:
            continue
        for crl in crls:
            if crl.issuer == issuer.subject and _signed(crl, issuer):
                serial = (key_digest(issuer), certificate.serial_number)
                if from_crl(crl, issuer).find("", serial) is not None:
                    return True
    return False


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _above(leaf: x509.Certificate) -> list[x509.Certificate]:
    """Every certificate that could stand between a leaf and the anchor, nearest first."""
    found: list[x509.Certificate] = []
    names = [_folded(leaf.issuer)]
    for name in names:
        for file, certificate in certificates().items():
            if file.endswith("EE") or file == ANCHOR or certificate in found:
                continue
            if _folded(certificate.subject) == name:
                found.append(certificate)
                names.append(_folded(certificate.issuer))
        if len(found) > 20:
            break
    return found


def _list_issuers(certificate: x509.Certificate) -> list[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    issuers = [name for point in points for name in point.crl_issuer or ()]
    return [_folded(item.value) for item in issuers if isinstance(item, x509.DirectoryName)]


def _folded(name: x509.Name) -> str:
    return "".join(name.rfc4514_string().lower().split())
