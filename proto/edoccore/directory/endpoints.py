"""Where a node is reached and with which TLS certificates, as its own agency sealed it.

The registry only passes these statements on: it cannot make one up, because each is checked here
under the seal of the agency it speaks for. What is in force at a moment is ``view``'s part.
"""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from msgspec import UNSET

from edoccore.directory.layout import SealedEntry, from_base64, json_bytes, to_base64
from edoccore.directory.remembering import Remembered
from edoccore.directory.seals import ListedSeal
from edoccore.errors import (
    DirectoryInvalidError,
    EndpointRefusedError,
    PeerNotTrustedError,
    SealInvalidError,
    WrongNetworkError,
)
from edoccore.identity.certificate import (
    UNREADABLE,
    certificate_digest,
    check_tls_certificate,
    read_certificate,
)
from edoccore.identity.encryption import SUITE, PublicEncryptionKey
from edoccore.identity.keys import verify_signature
from edoccore.signing import canonical, statements
from edoccore.signing.seal import SealedStatement, SignedSeal, check_membership


@dataclass(frozen=True, slots=True)
class TlsPin:
    """A TLS certificate that stands for an agency's node."""

    agency: str
    sha256: str
    certificate: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime

    def is_valid(self, at: datetime) -> bool:
        """Whether the certificate is within its dates."""
        return self.not_before <= at <= self.not_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A checked endpoint statement.

    Attributes:
        addresses: host:port, the preferred one first.
        server_name: DNS name in the certificates.
        pins: Current and next TLS certificate.
        abilities: Statement types that the node understands.
        counter: Of the statement.
        listed: The certificate it was sealed with; the statement ends with it.
        sealed: The statement as sealed, for passing on.
    """

    agency: str
    addresses: tuple[str, ...]
    server_name: str
    pins: tuple[TlsPin, ...]
    abilities: tuple[str, ...]
    counter: int
    listed: ListedSeal
    sealed: SealedStatement


def encryption_key(endpoint: Endpoint) -> PublicEncryptionKey | None:
    """What parts for the agency's node are encrypted to, as its own seal says; None: nothing.

    A key of a suite that is not known here counts as none, and so does one that is damaged.
    """
    stated = canonical.decode(endpoint.sealed.statement, statements.Endpoint).encryption
    if stated is UNSET or stated.suite != SUITE:
        return None
    try:
        found = PublicEncryptionKey(from_base64(stated.key))
    except DirectoryInvalidError:
        return None
    return found if found.is_usable else None


def to_entry(sealed: SealedStatement) -> SealedEntry:
    """Puts a sealed endpoint statement, which was checked, into its directory entry."""
    return SealedEntry(
        statement=msgspec.json.decode(sealed.statement),
        leaf=sealed.leaf,
        proof=tuple(item.hex() for item in sealed.proof),
        seal=msgspec.json.decode(sealed.seal.data),
        signature=to_base64(sealed.seal.signature),
    )


def from_entry(entry: SealedEntry) -> SealedStatement:
    """Takes a sealed endpoint statement out of its directory entry, unchecked.

    Raises:
        DirectoryInvalidError: The entry is damaged.
    """
    return SealedStatement(
        statement=json_bytes(entry.statement),
        leaf=entry.leaf,
        proof=tuple(bytes.fromhex(item) for item in entry.proof),
        seal=SignedSeal(json_bytes(entry.seal), from_base64(entry.signature)),
    )


def seal_of(sealed: SealedStatement) -> statements.Seal:
    """The seal over an endpoint statement, decoded but not yet checked.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: The bytes are no seal.
    """
    return canonical.decode(sealed.seal.data, statements.Seal)


def time_of(seal: statements.Seal) -> datetime:
    """The time that the seal names.

    Raises:
        SealInvalidError: It is no real time.
    """
    try:
        return statements.parse_time(seal.time)
    except ValueError as error:
        raise SealInvalidError(f"The seal of {seal.signer} names no real time.") from error


_Statement = tuple[SealedStatement, ListedSeal, str]  # with certificate and network
_checked: Remembered[_Statement, "Endpoint"] = Remembered(
    16384
)  # 0.3 ms each; checked at a refresh


def remember_endpoint(endpoint: Endpoint, network: str) -> None:
    """Keeps what ``check_endpoint`` gave once, so that it gives it again without checking."""
    _checked.put((endpoint.sealed, endpoint.listed, network), endpoint)


def check_endpoint(sealed: SealedStatement, listed: ListedSeal, network: str) -> Endpoint:
    """Checks an endpoint statement under a certificate that may seal for its agency.

    Whether that certificate is revoked or out of date is not asked here.

    Args:
        sealed: Statement, proof and seal.
        listed: The certificate that the seal names, as ``SealBook.check_seal`` found it.
        network: The network it must be for.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError: The bytes.
        WrongNetworkError: Statement or seal is for another network.
        SealInvalidError: Signature or proof do not fit.
        EndpointRefusedError: It speaks for another agency than the one that sealed it.
        PeerNotTrustedError: A TLS certificate in it cannot be used.
    """
    return _checked.get((sealed, listed, network), lambda: _check(sealed, listed, network))


def _check(sealed: SealedStatement, listed: ListedSeal, network: str) -> Endpoint:
    seal = seal_of(sealed)
    statement = canonical.decode(sealed.statement, statements.Endpoint)
    _check_network(seal, statement, network)
    verify_signature(listed.key, seal.suite, sealed.seal.data, sealed.seal.signature)
    check_membership(seal, sealed.statement, sealed.leaf, sealed.proof)
    if statement.agency != seal.signer or seal.signer != listed.agency:
        raise EndpointRefusedError(
            f"The endpoint statement of {statement.agency} was sealed by {seal.signer}.",
            agency=statement.agency,
        )
    return Endpoint(
        agency=statement.agency,
        addresses=statement.addresses,
        server_name=statement.server_name,
        pins=tuple(_pin(statement.agency, text) for text in statement.certificates),
        abilities=statement.abilities,
        counter=statement.counter,
        listed=listed,
        sealed=sealed,
    )


def _check_network(seal: statements.Seal, statement: statements.Endpoint, network: str) -> None:
    if seal.network != network or statement.network != network:
        raise WrongNetworkError(
            f"The endpoint statement of {statement.agency} was not made for network {network}.",
            agency=statement.agency,
        )


def _pin(agency: str, text: str) -> TlsPin:
    """Reads a TLS certificate; it must be the agency's own.

    Certificates are public, so a neighbour could list one that is not its own and be taken for its
    owner. The certificate therefore names its agency and is signed by its own key.
    """
    try:
        data = from_base64(text)
        certificate = read_certificate(data)
        certificate.verify_directly_issued_by(certificate)
    except (DirectoryInvalidError, InvalidSignature, *UNREADABLE) as error:
        raise PeerNotTrustedError(
            f"A TLS certificate of {agency} is unreadable or not self-signed.", agency=agency
        ) from error
    check_tls_certificate(certificate, certificate.not_valid_before_utc)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [agency]:
        raise PeerNotTrustedError(
            f"A TLS certificate listed by {agency} does not have that code as its common name.",
            agency=agency,
        )
    return TlsPin(
        agency,
        certificate_digest(data),
        data,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
