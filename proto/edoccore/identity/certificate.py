"""The profile of certificates: what a seal certificate and a TLS certificate must look like.

The two never do each other's work, and that is checked in both directions here, because TLS alone
does not: a pinned leaf with only the usage documentSigning passes for a TLS client. Whose a
certificate is, and whether the directory has revoked it, is the directory's matter; whether an
issuer vouches for it is ``chain``'s.

A seal certificate of suite 2 names two keys: ECDSA P-256 as every certificate names its key, and
ML-DSA-65 in the extension subjectAltPublicKeyInfo. So one signature of the authority, one serial
number and one revocation are for both, and no half of a pair can be put beside another's.

Source: RFC 5280, 4.2.1; RFC 9336 (documentSigning); Rec. ITU-T X.509 (10/2019), 9.8.2.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from edoccore.errors import EdocError, PeerNotTrustedError, SealCertificateError
from edoccore.identity.suites import KeyPair, PublicKey, known_key

SECOND_KEY = ObjectIdentifier("2.5.29.72")  # id-ce-subjectAltPublicKeyInfo
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
# What certification authorities outside the network write for the same purpose.
DOCUMENT_USAGES = frozenset(
    {
        DOCUMENT_SIGNING,
        ObjectIdentifier("1.3.6.1.4.1.311.10.3.12"),  # Microsoft document signing
        ObjectIdentifier("1.2.840.113583.1.1.5"),  # Adobe authentic documents
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
    }
)
TLS_USAGES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

# What the library raises at damaged DER, at once or when a field is read.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_WEAK_HASHES = frozenset({"md5", "sha1"})
_UNDERSTOOD_WHEN_CRITICAL = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)

_PARSED_LATE = (
    "extensions",
    "issuer",
    "not_valid_after_utc",
    "not_valid_before_utc",
    "signature_hash_algorithm",
    "subject",
    "version",
)

E = TypeVar("E", bound=x509.ExtensionType)
Refuse = Callable[[str], EdocError]


def certificate_digest(certificate: bytes) -> str:
    """Returns the name of a certificate in statements and directory: SHA-256 of its DER, hex."""
    return sha256(certificate).hexdigest()


def read_certificate(data: bytes) -> x509.Certificate:
    """Reads a certificate with all its fields, which the library would parse only when asked for.

    Args:
        data: DER.

    Raises:
        ValueError: It is damaged, or has something that the library does not know.
    """
    try:
        certificate = x509.load_der_x509_certificate(data)
        certificate.public_key()
        for field in _PARSED_LATE:
            getattr(certificate, field)
    except UNREADABLE as error:
        raise ValueError(f"the certificate is unreadable: {error}") from error
    return certificate


def certified_key(certificate: x509.Certificate) -> PublicKey:
    """The key that a seal certificate is for; a pair when it names a second one.

    Raises:
        SealCertificateError: No suite has such keys.
        ValueError: The extensions are unreadable.
    """
    key, second = known_key(certificate.public_key()), second_key(certificate)
    if second is None:
        return key
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _refusal(SealCertificateError, "seals", certificate)(
            "its keys are not the pair ECDSA P-256 and ML-DSA-65"
        )
    return KeyPair(key, second)


def second_key(certificate: x509.Certificate) -> MLDSA65PublicKey | None:
    """The ML-DSA-65 key that a certificate names besides its own, if any.

    Raises:
        SealCertificateError: It names a second key of another kind, or one that is unreadable.
        ValueError: The extensions are unreadable.
    """
    try:
        found = certificate.extensions.get_extension_for_oid(SECOND_KEY)
    except x509.ExtensionNotFound:
        return None
    refuse = _refusal(SealCertificateError, "seals", certificate)
    assert isinstance(found.value, x509.UnrecognizedExtension)  # the library knows no such thing
    try:
        second = load_der_public_key(found.value.value)
    except (ValueError, UnsupportedAlgorithm):
        raise refuse("its second key is unreadable") from None
    if not isinstance(second, MLDSA65PublicKey):
        raise refuse("its second key is not ML-DSA-65")
    return second  # of one form alone, which the library's strict DER makes sure of


def second_key_bytes(key: MLDSA65PublicKey) -> bytes:
    """The SubjectPublicKeyInfo (DER) that stands in the extension, 1,974 bytes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_seal_certificate(certificate: x509.Certificate, at: datetime) -> None:
    """Accepts a certificate that may seal documents at a moment.

    Its key, or its pair of keys, fits a suite; it is for signing documents and not for TLS; it is
    no certification authority; it is valid at that moment. Says nothing about issuer or revocation.

    Args:
        certificate: Of the seal.
        at: Aware datetime: the time of the seal, or now.

    Raises:
        SealCertificateError: One of these does not hold; says which.
    """
    refuse = _refusal(SealCertificateError, "seals", certificate)
    known_key(certificate.public_key())
    usages = _check_common(certificate, at, refuse)
    certified_key(certificate)
    if usages & TLS_USAGES or ANY_USAGE in usages:
        raise refuse("it may also be used for TLS or for anything")
    if not usages & DOCUMENT_USAGES:
        raise refuse("its extended key usage does not include signing documents")
    key_usage = _extension(certificate, x509.KeyUsage)
    if key_usage and not (key_usage.digital_signature or key_usage.content_commitment):
        raise refuse("its key usage does not include signing")


def check_tls_certificate(certificate: x509.Certificate, at: datetime) -> None:
    """Accepts a certificate with which a node may speak TLS at a moment, as server and client.

    Args:
        certificate: Of the node.
        at: Aware datetime, now.

    Raises:
        PeerNotTrustedError: Its key is not ECDSA P-256, it could seal documents, it is not for
            both sides of TLS, it is a certification authority or it is not valid then.
    """
    refuse = _refusal(PeerNotTrustedError, "TLS", certificate)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refuse("its key is not ECDSA P-256")
    usages = _check_common(certificate, at, refuse)
    if usages & DOCUMENT_USAGES or ANY_USAGE in usages:
        raise refuse("it may also be used to seal documents or for anything")
    if not usages >= TLS_USAGES:
        raise refuse("its extended key usage is not both serverAuth and clientAuth")
    key_usage = _extension(certificate, x509.KeyUsage)
    if key_usage and not key_usage.digital_signature:
        raise refuse("its key usage does not include digitalSignature")


def _check_common(
    certificate: x509.Certificate, at: datetime, refuse: Refuse
) -> frozenset[ObjectIdentifier]:
    """Checks what both kinds share and returns the extended key usages."""
    if certificate.version is not x509.Version.v3:
        raise refuse("it is not of version 3")
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise refuse(
            f"it is valid from {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}, not at {at.isoformat()}"
        )
    digest = certificate.signature_hash_algorithm
    if digest is not None and digest.name in _WEAK_HASHES:
        raise refuse(f"it is signed over a {digest.name} digest")
    _check_no_unknown_critical(certificate, refuse)
    constraints = _extension(certificate, x509.BasicConstraints)
    key_usage = _extension(certificate, x509.KeyUsage)
    if constraints and constraints.ca:
        raise refuse("it is a certification authority")
    if key_usage and (key_usage.key_cert_sign or key_usage.crl_sign):
        raise refuse("its key usage allows issuing certificates or revocation lists")
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages is None:
        raise refuse("it has no extended key usage, so it could be used for anything")
    return frozenset(usages)


def _check_no_unknown_critical(certificate: x509.Certificate, refuse: Refuse) -> None:
    try:
        extensions = list(certificate.extensions)
    except ValueError as error:  # malformed, or one of them twice
        raise refuse(f"its extensions are unreadable ({error})") from None
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD_WHEN_CRITICAL:
            raise refuse(f"it has the unknown critical extension {extension.oid.dotted_string}")


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _refusal(error: type[EdocError], purpose: str, certificate: x509.Certificate) -> Refuse:
    def refuse(why: str) -> EdocError:
        digest = certificate_digest(certificate.public_bytes(Encoding.DER))
        return error(
            f"The certificate {digest[:16]}… cannot be used for {purpose}: {why}.",
            certificate=digest,
        )

    return refuse
