"""The certificates of a server, replaced while it runs: its own, and those it lets in.

The signed directory is the trust store: a caller is let in when its own TLS certificate is
listed, no authority stands behind it. gRPC asks for certificates in each handshake, on a thread
of its own, and given something wrong keeps the old ones without a word. So everything is
validated when it is published, and a program compares ``loaded_version`` with the version of its
directory.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from edoccore.errors import KeyUnusableError
from edockit import tls13  # noqa: F401 - sets the environment gRPC reads
from edockit.grpc_peer import is_tls_certificate

# A new configuration makes the next handshake build a trust store, for which all others wait: half
# a second for 3,500 callers, because all are sorted again for each. So there is one only when
# something has changed. It also invalidates the session tickets of the old one; with an old ticket
# a caller gets in after its certificate has expired.
TICKET_LIFE_S = 3_600
KNOWN_PINS = 8_192  # read once each; a directory has some thousands


class ClientAuth(Enum):
    """Whether callers must show a certificate; Python gRPC cannot ask for one without requiring."""

    REQUIRED = "required"
    NOT_REQUESTED = "not_requested"


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What a server shows and whom it lets in."""

    chain: bytes  # PEM: the server's own certificate first
    key: bytes  # PEM, PKCS#8
    pins: Sequence[bytes] = ()  # certificates, DER: the callers of the directory
    version: int = 0  # of the directory the pins are from


class TlsProvider:
    """Hands the material in force to gRPC; any thread may publish newer material."""

    def __init__(
        self,
        material: TlsMaterial,
        *,
        client_auth: ClientAuth = ClientAuth.REQUIRED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the first material.

        Args:
            material: As for ``publish``.
            client_auth: REQUIRED between nodes, NOT_REQUESTED at the registry.
            clock: Seconds that only grow, for the life of session tickets.

        Raises:
            KeyUnusableError: As for ``publish``.
        """
        self._client_auth = client_auth
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded_version = material.version
        self._pair = b"", b""  # key and chain, PEM
        self._pins: dict[str, bytes] = {}  # PEM by fingerprint
        self._handed_at = float("-inf")
        self._shut_out: frozenset[str] = frozenset()
        self.publish(material)

    def publish(self, material: TlsMaterial) -> tuple[str, ...]:
        """Puts material in force for handshakes from now on; live connections stay.

        Pins that are no TLS certificates are left out, so that one bad entry of the directory
        does not shut out everybody.

        Returns:
            SHA-256 (hex) of each pin left out.

        Raises:
            KeyUnusableError: Chain or key cannot be read, or do not belong together; what was in
                force stays in force.
        """
        own = _check_own(material)
        pins, refused = _usable_pins(material.pins)
        pair = (material.key, material.chain)
        with self._lock:
            same = (self._pair, self._pins) == (pair, pins)
            self._pair, self._pins = pair, pins
            self._own = own.public_bytes(serialization.Encoding.PEM)
            self._version = material.version
            if not same:
                self._handed_at = float("-inf")
            elif self._handed_at > float("-inf"):
                self._loaded_version = material.version
        return refused

    def shut_out(self, fingerprints: Collection[str]) -> None:
        """Lets in no more connections of some callers, whatever is published, until told otherwise.

        Live connections stay.

        Args:
            fingerprints: SHA-256 (hex) of their certificates; all that are shut out from now on.
        """
        with self._lock:
            if self._shut_out != frozenset(fingerprints):
                self._shut_out = frozenset(fingerprints)
                self._handed_at = float("-inf")

    @property
    def loaded_version(self) -> int:
        """Version of the directory whose pins gRPC was last given."""
        with self._lock:
            return self._loaded_version

    def credentials(self) -> grpc.ServerCredentials:
        """Makes the credentials of one server port.

        The port opens with a trust store that lets nobody in; the first handshake has the real one
        built and waits for it, so that a server of thousands of callers is there at once.
        """
        required = self._client_auth is ClientAuth.REQUIRED
        with self._lock:
            trusted = self._own if required else None
            first = grpc.ssl_server_certificate_configuration([self._pair], trusted)
            self._handed_at = float("-inf")
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._fetch,  # type: ignore[arg-type]  # None is documented: "no change"
            require_client_authentication=required,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Gives gRPC newer material, or the same anew each hour; None keeps what it has."""
        with self._lock:
            if self._clock() - self._handed_at < TICKET_LIFE_S:
                return None
            self._handed_at = self._clock()
            self._loaded_version = self._version
            return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        required = self._client_auth is ClientAuth.REQUIRED
        trusted = self._trusted() if required else None
        return grpc.ssl_server_certificate_configuration([self._pair], trusted)

    def _trusted(self) -> bytes:
        let_in = (pem for digest, pem in self._pins.items() if digest not in self._shut_out)
        # Without any pin gRPC would start no server; its own certificate opens it to nobody else.
        return b"".join(let_in) or self._own


def _check_own(material: TlsMaterial) -> x509.Certificate:
    try:
        chain = x509.load_pem_x509_certificates(material.chain)
        key = serialization.load_pem_private_key(material.key, password=None)
    except (ValueError, TypeError) as error:
        raise KeyUnusableError("the TLS certificate or key of this server is damaged") from error
    if chain[0].public_key() != key.public_key():
        raise KeyUnusableError(
            "the TLS key of this server does not belong to its certificate",
            hint="restore key and certificate from the same backup",
        )
    return chain[0]


def _usable_pins(pins: Sequence[bytes]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Splits pins into those for TLS, by fingerprint, and fingerprints of the others.

    In the order in which the trust store sorts them, anew for each that is added: half the time.
    """
    read = sorted((_read_pin(pin) for pin in pins), key=lambda pin: (len(pin.name), pin.name))
    usable = {pin.fingerprint: pin.pem for pin in read if pin.pem}
    return usable, tuple(pin.fingerprint for pin in read if not pin.pem)


class _Pin(NamedTuple):
    """What is known of a pin: SHA-256, subject (DER), and PEM, which is empty when not for TLS."""

    fingerprint: str
    name: bytes
    pem: bytes


@lru_cache(KNOWN_PINS)
def _read_pin(pin: bytes) -> _Pin:
    try:
        certificate = x509.load_der_x509_certificate(pin)
        name = certificate.subject.public_bytes()  # read only when it is asked for
    except ValueError:
        return _Pin(_sha256(pin), b"", b"")
    pem = certificate.public_bytes(serialization.Encoding.PEM) if is_tls_certificate(pin) else b""
    return _Pin(_sha256(pin), name, pem)


def _sha256(content: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    return digest.finalize().hex()
