"""The registry's own entry of the directory: how nodes find and check it like any agency.

Each time its endpoint changes it opens an epoch and seals opening and statement together; it has
no other journal, because it never sends or receives a document.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509

from edoccore.directory.layout import to_base64
from edoccore.identity.keys import Signer
from edoccore.signing import canonical, merkle, statements
from edoccore.signing.seal import SealedStatement, SealPlace, SignedSeal, draft
from edoccore.signing.statements import DirectoryMark, time_text
from edocregistry.domain.model import REGISTRY_CODE, Endpoint

TLS_LIFE = timedelta(days=800)  # a year as next, a year as current, and time to notice
TLS_CERTIFICATES = 2  # current and next
TLS_CHANGE_AFTER = timedelta(days=365)
SEAL_CHANGE_BEFORE = timedelta(days=60)
ENDPOINT_LEAF = 1  # leaf 0 is the opening of the epoch
_RANDOM_BITS = 74  # of a UUIDv7


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAddress:
    """Where and with which TLS certificates (DER, current first) the registry is reached."""

    address: str
    server_name: str
    certificates: tuple[bytes, ...]


def server_name(network: str) -> str:
    """DNS name in the registry's TLS certificates; looked up nowhere, only compared."""
    return f"registry.{network}.internal"


def seal_own_endpoint(
    signer: Signer,
    address: OwnAddress,
    *,
    network: str,
    issuer: str,
    mark: DirectoryMark,
    epoch: str,
    counter: int,
    now: datetime,
) -> SealedStatement:
    """Seals the registry's endpoint statement in an epoch of its own.

    Args:
        signer: The registry's seal.
        address: What the statement says.
        network: This network.
        issuer: SHA-256 of the issuing CA's certificate, lower hex.
        mark: The directory in force.
        epoch: A new UUIDv7.
        counter: Above that of the statement before.
        now: Time of the seal.
    """
    opening = statements.EpochOpening(
        network=network, agency=REGISTRY_CODE, epoch=epoch, reason="start"
    )
    endpoint = statements.Endpoint(
        network=network,
        agency=REGISTRY_CODE,
        addresses=(address.address,),
        server_name=address.server_name,
        certificates=tuple(to_base64(item) for item in address.certificates),
        abilities=(),
        counter=counter,
        created=time_text(now),
    )
    place = SealPlace(
        network=network,
        signer=REGISTRY_CODE,
        certificates=(signer.certificate_digest, issuer),
        suite=signer.suite,
        directory=mark,
        epoch=epoch,
        index=0,
        journal_root=merkle.EMPTY_ROOT,
    )
    sealed = [canonical.encode(opening), canonical.encode(endpoint)]
    made = draft(place, sealed, [], time=now)
    proof = tuple(made.statement_proofs[ENDPOINT_LEAF])
    signed = SignedSeal(made.data, signer.sign(made.data))
    return SealedStatement(sealed[ENDPOINT_LEAF], ENDPOINT_LEAF, proof, signed)


def next_counter(known: Endpoint | None, now: datetime) -> int:
    """Counter of the next endpoint statement: max(last + 1, unix milliseconds)."""
    milliseconds = int(now.timestamp() * 1000)
    return milliseconds if known is None else max(known.counter + 1, milliseconds)


def tls_change_is_due(following: bytes, now: datetime) -> bool:
    """Whether the next TLS certificate (DER) should take over and a new next be published.

    It is published for a year by then, so every directory without it has long expired.
    """
    made = x509.load_der_x509_certificate(following).not_valid_before_utc
    return now >= made + TLS_CHANGE_AFTER


def seal_change_is_due(certificate: bytes, now: datetime) -> bool:
    """Whether the registry needs a new seal certificate (DER) soon."""
    ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    return now >= ends - SEAL_CHANGE_BEFORE


def says(known: Endpoint, address: str, seal_sha256: str) -> bool:
    """Whether an endpoint statement names an address and stands under a seal."""
    seal = canonical.decode(known.seal, statements.Seal)
    return address in addresses(known) and seal.certificates[0] == seal_sha256


def addresses(known: Endpoint) -> tuple[str, ...]:
    """Addresses in an endpoint statement."""
    return canonical.decode(known.statement, statements.Endpoint).addresses


def epoch_id(now: datetime, chance: int) -> str:
    """Makes a UUIDv7 from a moment and random bits (RFC 9562, 5.7)."""
    bits = chance & ((1 << _RANDOM_BITS) - 1)
    high = (int(now.timestamp() * 1000) << 16) | 0x7000 | (bits >> 62)
    low = (0b10 << 62) | (bits & ((1 << 62) - 1))
    return str(UUID(int=(high << 64) | low))
