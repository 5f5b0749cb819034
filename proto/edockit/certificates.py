"""Makes keys, certificates, requests and revocation lists, and keeps keys in private files.

Two kinds of certificate exist and never do each other's work: TLS certificates, self-signed and
trusted because the directory lists them, and seal certificates from an issuing authority, good
for signing documents only. Whether a certificate is trusted is decided by ``edoccore``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edoccore.errors import DataFolderError, KeyUnusableError
from edoccore.identity.certificate import SECOND_KEY, second_key, second_key_bytes
from edoccore.identity.request import SealRequest
from edockit import files
from edockit.secrets import SecretPlace

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336, id-kp-documentSigning
CRL_LIFE = timedelta(days=60)  # nextUpdate: a registry may be silent for weeks
MAX_NAME_LENGTH = 64  # characters of one attribute, X.520 ub-organization-name
MAX_KEY_FILE_BYTES = 65_536
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_CURVE = "secp256r1"  # the library's name of NIST P-256
_HASH = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate holds; aware times, whole seconds are kept."""

    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """One line of a revocation list."""

    serial: int
    revoked_at: datetime
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """Makes an ECDSA P-256 key (Ed25519 leaves fail in gRPC clients)."""
    return ec.generate_private_key(ec.SECP256R1())


def self_signed_tls(
    key: ec.EllipticCurvePrivateKey,
    *,
    common_name: str,
    dns_name: str,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """Makes a TLS certificate for client and server work, DER, with a fresh random serial.

    Args:
        key: The TLS key, of no other use.
        common_name: Code of the agency; readers of the directory compare it.
        dns_name: The name that peers ask for; one per agency.
        not_before: Start, aware.
        not_after: End, aware.
    """
    name = _name(common_name)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = (
        _builder(name, name, key.public_key(), Validity(not_before, not_after))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return _der(builder.sign(key, _HASH))


def new_lattice_key() -> MLDSA65PrivateKey:
    """Makes the second key of a seal of suite 2."""
    return MLDSA65PrivateKey.generate()


def second_request(key: MLDSA65PrivateKey, agency_code: str) -> bytes:
    """Makes the request that goes beside a seal's, for its second key, DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(agency_code))
    return builder.sign(key, None).public_bytes(serialization.Encoding.DER)


def seal_request(key: ec.EllipticCurvePrivateKey, agency_code: str) -> bytes:
    """Makes the request for a seal certificate, DER; its signature proves the key is held."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(agency_code))
    return builder.sign(key, _HASH).public_bytes(serialization.Encoding.DER)


def new_ca(
    key: ec.EllipticCurvePrivateKey, *, name: str, not_before: datetime, not_after: datetime
) -> bytes:
    """Makes the self-signed certificate of an authority that issues seal certificates, DER."""
    subject = _name(name)
    builder = (
        _builder(subject, subject, key.public_key(), Validity(not_before, not_after))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
    )
    return _der(builder.sign(key, _HASH))


def issue_seal(
    ca_key: ec.EllipticCurvePrivateKey,
    ca_certificate: bytes,
    request: SealRequest,
    *,
    agency_code: str,
    organisation: str,
    not_before: datetime,
    not_after: datetime,
    crl_url: str,
) -> bytes:
    """Issues a seal certificate, DER, for the key of a request; its name is not taken over.

    Args:
        ca_key: Key of the issuing authority.
        ca_certificate: Its certificate, DER.
        request: For the key; of a pair the certificate names the second one besides.
        agency_code: Becomes the common name.
        organisation: Name of the agency; the first 64 characters are kept.
        not_before: Start, aware.
        not_after: End, aware.
        crl_url: Where the revocation list is; verifiers need one in every certificate.

    Raises:
        KeyUnusableError: A request is damaged, not signed by its key, or of a weak kind of key.
    """
    public_key = _requested_key(request.first)
    issuer = x509.load_der_x509_certificate(ca_certificate)
    issuer_key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id)
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)]
    subject = _name(agency_code, organisation)
    builder = (
        _builder(subject, issuer.subject, public_key, Validity(not_before, not_after))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, content_commitment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), critical=False)
        .add_extension(authority, critical=False)
        .add_extension(x509.CRLDistributionPoints(points), critical=False)
    )
    if request.second:
        spki = second_key_bytes(_second_key(request.second))
        keys = x509.UnrecognizedExtension(SECOND_KEY, spki)
        builder = builder.add_extension(keys, critical=False)
    return _der(builder.sign(ca_key, _HASH))


def build_crl(
    ca_key: ec.EllipticCurvePrivateKey,
    ca_certificate: bytes,
    revoked: Iterable[RevokedCertificate],
    *,
    number: int,
    this_update: datetime,
) -> bytes:
    """Builds the revocation list of an authority, DER.

    Args:
        ca_key: Key of the issuing authority.
        ca_certificate: Its certificate, DER.
        revoked: All certificates ever revoked, never fewer than before.
        number: Greater than that of every earlier list.
        this_update: Now; the list asks to be replaced within ``CRL_LIFE``.
    """
    issuer = x509.load_der_x509_certificate(ca_certificate)
    issuer_key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(this_update)
        .next_update(this_update + CRL_LIFE)
        .add_extension(authority, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for certificate in revoked:
        builder = builder.add_revoked_certificate(_revoked_line(certificate))
    return builder.sign(ca_key, _HASH).public_bytes(serialization.Encoding.DER)


def save_private_key(path: Path, key: PrivateKeyTypes, passphrase: bytes = b"") -> None:
    """Writes a key as PEM (PKCS#8) that only this user may read, durably.

    Args:
        passphrase: Encrypts it; empty: it stays readable for whoever has the file.

    Raises:
        DiskFullError: No room; nothing is left behind.
        StorageFailedError: The disk failed.
    """
    files.write_file_atomic(path, key_pem(key, passphrase))


def load_private_key(
    path: Path, *, certificate: bytes | None = None, passphrase: SecretPlace | None = None
) -> ec.EllipticCurvePrivateKey:
    """Reads a key from a PEM file.

    Args:
        path: The file, mode 0600.
        certificate: DER; when given, the key must belong to it.
        passphrase: Where that of an encrypted file is; not looked at for others.

    Raises:
        KeyUnusableError: The file is missing, open to others, no P-256 key, or of another
            certificate; or it is encrypted and its passphrase is missing or another one.
    """
    key = load_any_private_key(path, certificate=certificate, passphrase=passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVE:
        raise KeyUnusableError(f"the key in {path} is not an ECDSA P-256 key", path=str(path))
    return key


def load_lattice_key(
    path: Path, *, certificate: bytes, passphrase: SecretPlace | None = None
) -> MLDSA65PrivateKey:
    """Reads the second key of a seal of suite 2; else as ``load_private_key``.

    Raises:
        KeyUnusableError: As there.
    """
    key = load_any_private_key(path, certificate=certificate, passphrase=passphrase)
    if not isinstance(key, MLDSA65PrivateKey):
        raise KeyUnusableError(f"the key in {path} is not an ML-DSA-65 key", path=str(path))
    return key


def load_any_private_key(
    path: Path, *, certificate: bytes | None = None, passphrase: SecretPlace | None = None
) -> PrivateKeyTypes:
    """Reads a key of any kind; else as ``load_private_key``.

    Raises:
        KeyUnusableError: As there.
    """
    try:
        files.check_private(path)
    except DataFolderError as error:
        raise KeyUnusableError(f"{path} is a folder, not a key file", path=str(path)) from error
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES)
        secret = _passphrase(path, passphrase) if _ENCRYPTED in content else None
        key = serialization.load_pem_private_key(content, password=secret)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError(
            f"the key in {path} cannot be read",
            hint="restore it from the backup of the data folder; if it is encrypted, give the "
            "passphrase that it was encrypted with",
            path=str(path),
        ) from error
    if certificate is not None and not key_matches(key, certificate):
        raise KeyUnusableError(
            f"the key in {path} does not belong to its certificate",
            hint="restore key and certificate from the same backup",
            path=str(path),
        )
    return key


def is_encrypted(path: Path) -> bool:
    """Whether a key file needs a passphrase.

    Raises:
        KeyUnusableError: It cannot be read.
    """
    files.check_private(path)
    return _ENCRYPTED in path.read_bytes()


def _passphrase(path: Path, place: SecretPlace | None) -> bytes:
    if place is None:
        raise KeyUnusableError(
            f"the key in {path} is encrypted, and no passphrase is known", path=str(path)
        )
    return place.read()


def key_matches(key: PrivateKeyTypes, certificate: bytes) -> bool:
    """Tells whether a certificate (DER) is for this key, alone or as the second of a pair."""
    loaded = x509.load_der_x509_certificate(certificate)
    if isinstance(key, MLDSA65PrivateKey):
        return second_key(loaded) == key.public_key()
    return loaded.public_key() == key.public_key()


def key_pem(key: PrivateKeyTypes, passphrase: bytes = b"") -> bytes:
    """Returns a key as PEM (PKCS#8), encrypted when there is a passphrase.

    The form is that of RFC 8018, 6.2 (PBES2): PBKDF2 with SHA-256 and 2,048 rounds, AES-256-CBC;
    openssl reads it. So few rounds slow no guessing down: the passphrase must be a random one.
    """
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def certificate_pem(certificate: bytes) -> bytes:
    """Returns a certificate (DER) as PEM."""
    loaded = x509.load_der_x509_certificate(certificate)
    return loaded.public_bytes(serialization.Encoding.PEM)


def certificate_der(certificate: bytes) -> bytes:
    """Returns the first certificate of a PEM text as DER.

    Raises:
        ValueError: There is none.
    """
    return _der(x509.load_pem_x509_certificate(certificate))


def der_of(content: bytes) -> bytes:
    """Returns a certificate or a revocation list, PEM or DER, as DER.

    Raises:
        ValueError: It is neither.
    """
    encoding = serialization.Encoding.DER
    if b"-----BEGIN X509 CRL-----" in content:
        return x509.load_pem_x509_crl(content).public_bytes(encoding)
    if b"-----BEGIN CERTIFICATE-----" in content:
        return certificate_der(content)
    return content


def _proven_key(request: bytes) -> PublicKeyTypes:
    try:
        loaded = x509.load_der_x509_csr(request)
        public_key = loaded.public_key()
        sound = loaded.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError("the certificate request is damaged") from error
    if not sound:
        raise KeyUnusableError("the certificate request is not signed by its own key")
    return public_key


def _second_key(request: bytes) -> MLDSA65PublicKey:
    public_key = _proven_key(request)
    if isinstance(public_key, MLDSA65PublicKey):
        return public_key
    raise KeyUnusableError("the second certificate request is not for an ML-DSA-65 key")


def _requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    public_key = _proven_key(request)
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name == _CURVE:
        return public_key
    raise KeyUnusableError("the certificate request is not for an ECDSA P-256 key")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:MAX_NAME_LENGTH])]
    if organisation:
        shown = organisation[:MAX_NAME_LENGTH]
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, shown))
    return x509.Name(attributes)


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _revoked_line(certificate: RevokedCertificate) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(certificate.serial)
        .revocation_date(certificate.revoked_at)
    )
    if certificate.reason is not x509.ReasonFlags.unspecified:  # RFC 5280, 5.3.1: left out
        builder = builder.add_extension(x509.CRLReason(certificate.reason), critical=False)
    return builder.build()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
