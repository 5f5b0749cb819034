"""Keys and certificates for tests: quick to make, real in every respect."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from edoccore.identity.request import SealRequest
from edockit import certificates

CRL_URL = "http://registry.test/seal.crl"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its key."""

    certificate: bytes  # DER
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return certificates.certificate_pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM."""
        return certificates.key_pem(self.key)


def now() -> datetime:
    """Returns this second."""
    return datetime.now(UTC).replace(microsecond=0)


def dns_name(code: str) -> str:
    """Returns a name for the TLS certificate of an agency."""
    return f"{code.lower().replace('.', '-')}.edoc.test"


def tls_leaf(
    code: str = "H29",
    *,
    name: str | None = None,
    starts_in: timedelta = timedelta(days=-1),
    ends_in: timedelta = timedelta(days=365),
) -> Leaf:
    """Makes a TLS certificate of an agency."""
    key = certificates.new_private_key()
    certificate = certificates.self_signed_tls(
        key,
        common_name=code,
        dns_name=name or dns_name(code),
        not_before=now() + starts_in,
        not_after=now() + ends_in,
    )
    return Leaf(certificate, key)


@functools.cache
def seal_authority(name: str = "Test seals") -> Leaf:
    """Makes the authority that issues seal certificates; the same one for each name."""
    key = certificates.new_private_key()
    certificate = certificates.new_ca(
        key,
        name=name,
        not_before=now() - timedelta(days=30),
        not_after=now() + timedelta(days=3650),
    )
    return Leaf(certificate, key)


def seal_leaf(
    code: str = "H29",
    *,
    authority: Leaf | None = None,
    starts_in: timedelta = timedelta(days=-1),
    ends_in: timedelta = timedelta(days=365),
) -> Leaf:
    """Makes a seal certificate of an agency, issued by an authority."""
    issuer = authority or seal_authority()
    key = certificates.new_private_key()
    certificate = certificates.issue_seal(
        issuer.key,
        issuer.certificate,
        SealRequest(certificates.seal_request(key, code)),
        agency_code=code,
        organisation=f"Cơ quan {code}",
        not_before=now() + starts_in,
        not_after=now() + ends_in,
        crl_url=CRL_URL,
    )
    return Leaf(certificate, key)
