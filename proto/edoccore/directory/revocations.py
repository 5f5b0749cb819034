"""All that was ever revoked: the registry's list and the CRLs of the issuing authorities.

Revocations are never undone, so what a reader knows is a union that only grows; two sources that
disagree about a moment are settled for the earlier one. Which certificates exist is not known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import UNSET

from edoccore.directory.layout import RevocationEntry
from edoccore.identity.chain import takes_back
from edoccore.signing.statements import parse_time

_Key = TypeVar("_Key", str, tuple[str, int])
Serial = tuple[str, int]  # SHA-256 of the issuer's public key (SPKI, lower hex), serial number


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One certificate's end.

    Attributes:
        worthless_from: From this moment on, what the key did counts for nothing: the compromise
            when one is known, else the revocation.
    """

    reason: str
    revoked_at: datetime
    worthless_from: datetime


@dataclass(frozen=True, slots=True)
class Revocations:
    """Revocations by certificate, and by issuer and serial number."""

    certificates: Mapping[str, Revocation] = field(default_factory=dict)
    serials: Mapping[Serial, Revocation] = field(default_factory=dict)

    def union(self, other: "Revocations") -> "Revocations":
        """All that either knows; the earlier moment where both do."""
        return Revocations(
            _union(self.certificates, other.certificates), _union(self.serials, other.serials)
        )

    def find(self, digest: str, serial: Serial | None = None) -> Revocation | None:
        """The revocation of a certificate, if any.

        Args:
            digest: SHA-256 of the certificate, lower hex.
            serial: Its issuer and serial number, when an authority of the network issued it.
        """
        by_digest = self.certificates.get(digest)
        by_serial = self.serials.get(serial) if serial else None
        if by_digest and by_serial:
            return _earlier(by_digest, by_serial)
        return by_digest or by_serial


def from_entries(entries: Iterable[RevocationEntry]) -> Revocations:
    """Reads the registry's list.

    Raises:
        ValueError: A time in it is no real time.
    """
    found: dict[str, Revocation] = {}
    for entry in entries:
        found = _union(found, {entry.sha256: _revocation(entry)})
    return Revocations(certificates=found)


def from_crl(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> Revocations:
    """Reads a CRL whose signature was checked with its authority."""
    issuer = key_digest(authority)
    return Revocations(
        serials={
            (issuer, item.serial_number): Revocation(
                reason="listed in the CRL of its issuing authority",
                revoked_at=item.revocation_date_utc,
                worthless_from=item.revocation_date_utc,
            )
            for item in crl
            if not takes_back(item)
        }
    )


def key_digest(authority: x509.Certificate) -> str:
    """SHA-256 of an authority's public key; stays when its certificate is renewed."""
    key = authority.public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _revocation(entry: RevocationEntry) -> Revocation:
    revoked_at = parse_time(entry.revoked_at)
    since = entry.compromised_since
    compromised = revoked_at if since is UNSET else parse_time(str(since))
    return Revocation(
        reason=entry.reason, revoked_at=revoked_at, worthless_from=min(revoked_at, compromised)
    )


def _union(
    one: Mapping[_Key, Revocation], other: Mapping[_Key, Revocation]
) -> dict[_Key, Revocation]:
    merged = dict(one)
    for key, revocation in other.items():
        known = merged.get(key)
        merged[key] = revocation if known is None else _earlier(known, revocation)
    return merged


def _earlier(one: Revocation, other: Revocation) -> Revocation:
    return min(one, other, key=lambda item: (item.worthless_from, item.revoked_at, item.reason))
