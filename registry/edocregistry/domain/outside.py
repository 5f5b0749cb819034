"""CAs outside the network: which are trusted for seals, what they revoked, for whom they vouch.

An officer decides on each of the three. A CA vouches for nothing by itself: what counts is the
certificate in an agency's entry. Lists only ever get newer, so that nothing revoked comes back.
"""

from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edoccore.errors import RequestInvalidError
from edoccore.identity.certificate import UNREADABLE, certificate_digest, read_certificate
from edoccore.identity.chain import verify_chain
from edoccore.identity.suites import known_key
from edocregistry.domain.agencies import active_agency, check_has_node
from edocregistry.domain.model import REGISTRY_CODE, OutsideAuthority, SealCertificate
from edocregistry.domain.ports import Records

MAX_AUTHORITIES = 63  # beside the network's own, in one directory


def add_authority(records: Records, certificate: bytes, now: datetime) -> OutsideAuthority:
    """Trusts a CA for the seal certificates that officers list; repeating it changes nothing.

    Args:
        certificate: DER.

    Raises:
        RequestInvalidError: It is damaged, no CA, or not valid now; or there are too many.
    """
    try:
        loaded = read_certificate(certificate)
        key = known_key(loaded.public_key())
        is_ca = loaded.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*UNREADABLE, x509.ExtensionNotFound) as error:
        raise _invalid(f"The certificate is no CA's: {error}.") from error
    assert key is not None
    if not is_ca or not loaded.not_valid_before_utc <= now <= loaded.not_valid_after_utc:
        raise _invalid("The certificate is no CA's, or is not valid now.")
    digest = certificate_digest(certificate)
    known = records.outside_authorities()
    for one in known:
        if one.sha256 == digest:
            return one
    if len(known) >= MAX_AUTHORITIES:
        raise _invalid(f"The directory has room for {MAX_AUTHORITIES} authorities.")
    added = OutsideAuthority(sha256=digest, certificate=certificate, crl=None, added_at=now)
    records.put_outside_authority(added)
    return added


def take_list(records: Records, data: bytes) -> OutsideAuthority:
    """Takes a newer revocation list of a trusted CA; the same one again changes nothing.

    Args:
        data: DER.

    Raises:
        RequestInvalidError: It is damaged, partial, not of a trusted CA, or older than the one
            in hand.
    """
    try:
        crl = x509.load_der_x509_crl(data)
        partial = any(extension.critical for extension in crl.extensions)
        issuer = crl.issuer
    except UNREADABLE as error:
        raise _invalid(f"The revocation list is damaged: {error}.") from error
    signers = [one for one in records.outside_authorities() if _signed(crl, issuer, one)]
    if partial or not signers:
        raise _invalid("The revocation list is partial, or not of a CA that is trusted here.")
    authority = signers[0]
    if authority.crl is not None:
        before = x509.load_der_x509_crl(authority.crl)
        if crl.last_update_utc < before.last_update_utc:
            raise _invalid("The revocation list is older than the one in the directory.")
    newer = OutsideAuthority(
        sha256=authority.sha256,
        certificate=authority.certificate,
        crl=data,
        added_at=authority.added_at,
    )
    records.put_outside_authority(newer)
    return newer


def list_seal(records: Records, code: str, certificate: bytes, now: datetime) -> SealCertificate:
    """Enters a certificate of a trusted CA for an agency, beside those it has.

    Args:
        certificate: DER.

    Raises:
        AgencyUnknownError, AgencyInactiveError: No such agency, or it is not active.
        RequestInvalidError: It has no node, or its certificate is damaged or in use elsewhere.
        SealCertificateError: It is not for seals, leads to no trusted CA, or was revoked.
    """
    agency = active_agency(records, code, now)
    check_has_node(agency)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry makes its own seal.")
    try:
        leaf = read_certificate(certificate)
    except ValueError as error:
        raise _invalid(f"The certificate is damaged: {error}.") from error
    trusted = records.outside_authorities()
    anchors = [read_certificate(one.certificate) for one in trusted]
    crls = [x509.load_der_x509_crl(one.crl) for one in trusted if one.crl is not None]
    own = [crl for crl in crls if crl.issuer == leaf.issuer]
    verify_chain(leaf, [], anchors=anchors, at=now, crls=own[:8])
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    entered = SealCertificate(
        sha256=certificate_digest(certificate),
        agency=agency.code,
        key_sha256=sha256(key).digest(),
        certificate=certificate,
        issued_at=now,
    )
    for other in records.seal_certificates():
        if other.sha256 == entered.sha256 and other.agency == agency.code:
            return other
        if other.key_sha256 == entered.key_sha256:
            raise _invalid("Its key was used before; have one issued for a new key.")
    records.add_seal_certificate(entered)
    return entered


def _signed(
    crl: x509.CertificateRevocationList, issuer: x509.Name, authority: OutsideAuthority
) -> bool:
    certificate = read_certificate(authority.certificate)
    key = certificate.public_key()
    if certificate.subject != issuer:
        return False
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return False
    return crl.is_signature_valid(key)


def _invalid(message: str) -> RequestInvalidError:
    return RequestInvalidError(message, hint="Check the file, and that the CA was added.")
