"""Which endpoint statements are published: those that an agency sealed itself, newer than before.

The registry only passes them on: readers check seal and counter again, so it cannot invent one.
What is checked here keeps nonsense out of the directory.
"""

from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edoccore.directory import endpoints as endpoint_rules
from edoccore.directory.endpoints import TlsPin
from edoccore.directory.view import Directory
from edoccore.errors import EndpointRefusedError, PeerNotTrustedError, WrongNetworkError
from edoccore.signing import canonical, statements
from edoccore.signing.seal import SealedStatement
from edocregistry.domain.agencies import answering_agency, check_has_node
from edocregistry.domain.model import Endpoint
from edocregistry.domain.ports import Records

MAX_PORT = 65535
MAX_AHEAD = timedelta(minutes=5)  # of a counter, or a thief could make it the last one for ever


def accept_endpoint(
    records: Records, sealed: SealedStatement, directory: Directory, now: datetime
) -> Endpoint:
    """Keeps an endpoint statement, or finds that it is the one in hand.

    Args:
        records: Where it is kept.
        sealed: As received.
        directory: The one in force; says who may seal.
        now: Moment of the call.

    Raises:
        NotCanonicalError, StatementTooLargeError, StatementTypeError, WrongNetworkError,
        AgencyUnknownError, SealCertificateError, SealInvalidError: A check of the seal failed.
        AgencyInactiveError: The agency is suspended, or has ended and wound up.
        EndpointRefusedError: Not by its own agency, out of date, or with unfit certificates.
    """
    statement = canonical.decode(sealed.statement, statements.Endpoint)
    known = records.endpoint(statement.agency)
    if known is not None and known.statement == sealed.statement:
        return known
    pins = _check_seal(sealed, statement, directory, now)
    check_has_node(answering_agency(records, statement.agency, now))
    if known is not None and statement.counter <= known.counter:
        raise _refused(statement, f"its counter {statement.counter} is not above {known.counter}")
    if statement.counter > int((now + MAX_AHEAD).timestamp() * 1000):
        raise _refused(statement, f"its counter {statement.counter} is of a later time than now")
    endpoint = Endpoint.of(statement.agency, statement.counter, sealed, now)
    _check_addresses(statement)
    _check_certificates(records, statement, pins, now)
    records.put_endpoint(endpoint)
    return endpoint


def _check_seal(
    sealed: SealedStatement, statement: statements.Endpoint, directory: Directory, now: datetime
) -> tuple[TlsPin, ...]:
    """Checks 1 to 5 (bytes, network, certificate, signature, proof); returns the TLS pins."""
    seal = endpoint_rules.seal_of(sealed)
    for network in (seal.network, statement.network):
        if network != directory.network:
            raise WrongNetworkError(
                f"The endpoint statement is for {network}, not for {directory.network}."
            )
    directory.seal_key(seal, now)
    listed = directory.seals.check_seal(seal, now)
    try:
        return endpoint_rules.check_endpoint(sealed, listed, directory.network).pins
    except PeerNotTrustedError as error:
        raise _refused(statement, error.message) from error


def _check_addresses(statement: statements.Endpoint) -> None:
    for address in statement.addresses:
        host, _, port = address.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        plain = ":" not in host and not any(character.isspace() for character in host)
        if not host or not (bracketed or plain):
            raise _refused(statement, f"{address!r} is not host:port")
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= MAX_PORT:
            raise _refused(statement, f"{address!r} has no port from 1 to {MAX_PORT}")


def _check_certificates(
    records: Records, statement: statements.Endpoint, pins: tuple[TlsPin, ...], now: datetime
) -> None:
    """Each TLS certificate is in force, names the server, was not revoked and is no seal."""
    seal_keys = {item.key_sha256 for item in records.seal_certificates(statement.agency)}
    revoked = {item.sha256 for item in records.revocations(statement.agency)}
    if len({pin.sha256 for pin in pins}) != len(pins):
        raise _refused(statement, "it lists one TLS certificate twice")
    for pin in pins:
        certificate = x509.load_der_x509_certificate(pin.certificate)
        name = f"the TLS certificate {pin.sha256[:16]}…"
        if not pin.is_valid(now):
            raise _refused(statement, f"{name} is not valid now")
        if statement.server_name not in _dns_names(certificate):
            raise _refused(statement, f"{name} is not for {statement.server_name}")
        if _key_sha256(certificate) in seal_keys:
            raise _refused(statement, f"{name} has the key of a seal")
        if pin.sha256 in revoked:
            raise _refused(statement, f"{name} was revoked")


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _key_sha256(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _refused(statement: statements.Endpoint, why: str) -> EndpointRefusedError:
    return EndpointRefusedError(
        f"The endpoint statement of {statement.agency} is refused: {why}.",
        hint="Seal a new statement with: edocnode endpoint set HOST:PORT",
        agency=statement.agency,
    )
