"""Makes the certificates and revocation lists that the tests of this folder judge."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from edoccore.identity.certificate import DOCUMENT_SIGNING

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
TLS_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SEAL_USAGES = (DOCUMENT_SIGNING,)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def key_usage(**allowed: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: allowed.get(usage, False) for usage in USAGES})


class Issuer:
    """A certification authority: the top one when made alone, else below another."""

    def __init__(
        self,
        common_name: str = "Network CA",
        above: "Issuer | None" = None,
        *,
        ca: bool = True,
        usage: x509.KeyUsage | None = None,
        extended: Iterable[ObjectIdentifier] = (),
    ) -> None:
        self.key = new_key()
        self.above = above or self
        self.name = name(common_name)
        builder = _builder(self.name, self.above.name, self.key, NOW - YEAR, NOW + 5 * YEAR)
        usage = usage or key_usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        self.certificate = builder.sign(self.above.key, hashes.SHA256())

    def issue(
        self,
        key: Key,
        *,
        usages: Iterable[ObjectIdentifier] | None = SEAL_USAGES,
        begins: datetime = NOW - YEAR / 12,
        ends: datetime = NOW + YEAR,
        ca: bool = False,
        usage: x509.KeyUsage | None = None,
        extra: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.Certificate:
        """Issues a leaf; by default a good seal certificate."""
        builder = _builder(name("H29"), self.name, key, begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        usage = usage or key_usage(digital_signature=True)
        builder = builder.add_extension(usage, critical=True)
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def revoke(
        self,
        certificates: Iterable[tuple[x509.Certificate, datetime]] = (),
        *,
        made: datetime = NOW - timedelta(days=1),
        next_update: datetime = NOW + timedelta(days=60),
        extra: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.CertificateRevocationList:
        """Makes a revocation list of these certificates and the moments they ended."""
        builder = x509.CertificateRevocationListBuilder(self.name, made, next_update)
        for certificate, since in certificates:
            entry = x509.RevokedCertificateBuilder(certificate.serial_number, since).build()
            builder = builder.add_revoked_certificate(entry)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
