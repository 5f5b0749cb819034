"""Chains of seal certificates: whether a trusted issuer vouches and has not taken it back.

Paths are built and signatures on certificates checked by ``cryptography.x509.verification``. That
library knows nothing of revocation, so lists (CRLs) are read here, by serial number. The answer on
revocation is always explicit: a certificate revoked by the moment asked for is refused, and
having no list in hand is a result of its own (``UNKNOWN``), never silently good.

The directory revokes too, at once and for all; that is checked apart from this.

Source: RFC 5280, 5 and 6; cryptography checks signatures, dates, names and path lengths.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from edoccore.errors import SealCertificateError
from edoccore.identity.certificate import (
    ANY_USAGE,
    DOCUMENT_USAGES,
    certificate_digest,
    check_seal_certificate,
)

MAX_CHAIN = 4  # certificates, leaf and anchor included
MAX_INTERMEDIATES = MAX_CHAIN - 2
MAX_ANCHORS_TRIED = 8  # of one name; with the two above this bounds the signatures checked
MAX_LISTS = 8  # revocation lists looked at, so at most as many signatures again


class Revocation(Enum):
    """What the revocation lists in hand say about a chain."""

    NOT_REVOKED = "not_revoked"  # for every certificate below the anchor, at that moment
    REVOKED_LATER = "revoked_later"  # not at that moment, but since
    UNKNOWN = "unknown"  # for one certificate at least no list covers the moment


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain that leads to an anchor.

    Attributes:
        certificates: Leaf first, anchor last; 2 to 4.
        revocation: The caller must decide what ``UNKNOWN`` and ``REVOKED_LATER`` mean to it.
        revoked: When the first of them was revoked, after the moment asked for.
    """

    certificates: tuple[x509.Certificate, ...]
    revocation: Revocation
    revoked: datetime | None = None


def verify_chain(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    *,
    anchors: Sequence[x509.Certificate],
    at: datetime,
    crls: Sequence[x509.CertificateRevocationList] = (),
) -> VerifiedChain:
    """Verifies the certificate of a seal up to a trusted issuer.

    Args:
        leaf: The seal certificate.
        intermediates: Issuers between leaf and anchor, in any order; at most 2.
        anchors: Trusted issuers.
        at: Aware datetime: the time of the seal.
        crls: Revocation lists in hand, in any order, of any age; at most 8.

    Raises:
        SealCertificateError: The leaf is not a seal certificate, no chain leads to an anchor, a
            certificate was revoked at that moment, or more was given than is looked at.
    """
    check_seal_certificate(leaf, at)
    return verify_path(leaf, intermediates, anchors=anchors, at=at, crls=crls)


def verify_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    *,
    anchors: Sequence[x509.Certificate],
    at: datetime,
    crls: Sequence[x509.CertificateRevocationList] = (),
) -> VerifiedChain:
    """Verifies a certificate up to a trusted issuer, whatever it is for; else ``verify_chain``.

    Raises:
        SealCertificateError: As there, but for what the certificate is for.
    """
    if len(intermediates) > MAX_INTERMEDIATES or len(crls) > MAX_LISTS:
        raise SealCertificateError(
            f"More than {MAX_INTERMEDIATES} intermediate certificates or {MAX_LISTS} revocation "
            "lists came with the seal; none was read."
        )
    chain = _build(leaf, intermediates, anchors, at)
    findings = [
        _revocation(certificate, issuer, at, crls) for certificate, issuer in pairwise(chain)
    ]
    later = [found for found in findings if isinstance(found, datetime)]
    revoked = min(later, default=None)
    if Revocation.UNKNOWN in findings:
        return VerifiedChain(chain, Revocation.UNKNOWN, revoked)
    known = Revocation.REVOKED_LATER if revoked else Revocation.NOT_REVOKED
    return VerifiedChain(chain, known, revoked)


def _build(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> tuple[x509.Certificate, ...]:
    issuers = {leaf.issuer, *(certificate.issuer for certificate in intermediates)}
    candidates = [anchor for anchor in anchors if anchor.subject in issuers]
    if not candidates:
        raise SealCertificateError(
            f"No trusted issuer is named {leaf.issuer.rfc4514_string()}, so nobody vouches for "
            f"the certificate {_digest(leaf)[:16]}….",
            certificate=_digest(leaf),
        )
    if len(candidates) > MAX_ANCHORS_TRIED:
        raise SealCertificateError("Too many trusted issuers share one name; none was tried.")
    verifier = (
        PolicyBuilder()
        .store(Store(candidates))
        .time(at)
        .max_chain_depth(MAX_INTERMEDIATES)
        .extension_policies(ca_policy=_ISSUERS, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(leaf, list(intermediates)).chain)
    except VerificationError as error:
        raise SealCertificateError(
            f"No chain leads from the certificate {_digest(leaf)[:16]}… to a trusted issuer: "
            f"{error}.",
            certificate=_digest(leaf),
        ) from None


def _check_may_issue(
    _policy: Policy, _issuer: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an issuer may not issue certificates")


def _check_may_vouch_for_seals(
    _policy: Policy, _issuer: x509.Certificate, usages: x509.ExtendedKeyUsage | None
) -> None:
    if usages is not None and not set(usages) & (DOCUMENT_USAGES | {ANY_USAGE}):
        raise ValueError("an issuer is limited to other purposes than signing documents")


_ISSUERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)  # the library reads it
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_may_issue)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_may_vouch_for_seals)
)


def _revocation(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList],
) -> Revocation | datetime:
    """Returns the moment of a later revocation, or whether a list covers ``at``."""
    result = Revocation.UNKNOWN
    later: list[datetime] = []
    for crl in crls:
        if crl.issuer != issuer.subject or not _is_authentic(crl, issuer):
            continue
        entry = revoking_entry(crl, certificate.serial_number)
        if entry is not None and entry.revocation_date_utc <= at:
            raise SealCertificateError(
                f"The certificate {_digest(certificate)[:16]}… was revoked on "
                f"{entry.revocation_date_utc:%Y-%m-%dT%H:%M:%SZ}.",
                certificate=_digest(certificate),
                revoked=entry.revocation_date_utc.isoformat(),
            )
        if entry is not None:
            later.append(entry.revocation_date_utc)
        elif not _is_partial(crl) and _covers(crl, certificate, at):
            result = Revocation.NOT_REVOKED
    return min(later, default=result)


def _is_authentic(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Tells whether the issuer signed the list, and may."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.crl_sign:
        return False
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return False
    return crl.is_signature_valid(key)


def revoking_entry(
    crl: x509.CertificateRevocationList, serial: int
) -> x509.RevokedCertificate | None:
    """The line of a list that revokes a certificate; one that takes another line back is none."""
    entry = crl.get_revoked_certificate_by_serial_number(serial)
    return None if entry is None or takes_back(entry) else entry


def takes_back(entry: x509.RevokedCertificate) -> bool:
    """Whether a line of a delta list only takes an earlier one back: RFC 5280, 5.3.1."""
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return reason is x509.ReasonFlags.remove_from_crl


def _is_partial(crl: x509.CertificateRevocationList) -> bool:
    """Tells whether absence from a list may mean nothing: delta, indirect, of some reasons."""
    return any(extension.critical for extension in crl.extensions)


def _covers(
    crl: x509.CertificateRevocationList, certificate: x509.Certificate, at: datetime
) -> bool:
    """Tells whether absence from the list proves that nothing was revoked at that moment.

    A list made later is as good, as long as it was made in the certificate's lifetime: issuers
    may drop expired certificates from their lists.
    """
    if crl.next_update_utc is None or at > crl.next_update_utc:
        return False
    return crl.last_update_utc <= certificate.not_valid_after_utc


def _digest(certificate: x509.Certificate) -> str:
    return certificate_digest(certificate.public_bytes(Encoding.DER))
