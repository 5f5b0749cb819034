"""Channels to peers, to the registry and to the program on this machine.

A channel to an agency trusts that agency's own TLS certificates and nothing else: no authority
and no name of the machine's DNS can put another in its place. Channels never retry, compress or
share connections; what to try again, and when, is the queue's decision.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509

from edoccore.errors import PeerNotTrustedError, PeerUnreachableError
from edoccore.identity.certificate import UNREADABLE
from edockit.addresses import split_address
from edockit.grpc_options import (
    FLOW_CONTROL,
    IDENTITY_COMPRESSION_ONLY,
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    PING_TIMEOUT_MS,
)

FIRST_RECONNECT_MS = 250
MAX_RECONNECT_MS = 4_000  # a peer that returns is found within five seconds
# An attempt may take so long: the peer may be far away, or build its trust store anew (see
# ``grpc_tls``). TCP asks again after 1 and 3 s by itself, so a peer that returns is found.
CONNECT_MS = 5_000
CONNECTION_IDLE_MS = 25_000  # without a call: no half-open connection waits for the next one
READ_CERTIFICATE_TIMEOUT_S = 10.0

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.compression_enabled_algorithms_bitset", IDENTITY_COMPRESSION_ONLY),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),  # the environment of a service decides nothing here
    ("grpc.use_local_subchannel_pool", 1),  # an own connection for each channel
    ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_MS),
    *FLOW_CONTROL,
)
_KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.client_idle_timeout_ms", CONNECTION_IDLE_MS),
)


@dataclass(frozen=True, slots=True)
class ServerLeaf:
    """The certificate a server showed, and a name in it to ask for; nothing of it is trusted."""

    certificate: bytes  # PEM
    server_name: str


def peer_channel(
    address: str,
    *,
    own_chain: bytes | None,
    own_key: bytes | None,
    pins: Sequence[bytes],
    server_name: str,
) -> grpc.aio.Channel:
    """Makes an asynchronous channel to one agency; connects when it is used.

    Args:
        address: ``host:port`` as published; whatever it says, it is looked up as a host.
        own_chain: PEM shown to the peer; None towards the registry, which asks for none.
        own_key: PEM of its key.
        pins: PEM, every TLS certificate of that agency in force; make a new channel when they
            change.
        server_name: The DNS name in the peer's certificate.

    Raises:
        PeerNotTrustedError: There is no pin.
    """
    credentials = _credentials(own_chain, own_key, pins)
    return grpc.aio.secure_channel(
        _target(address), credentials, options=_peer_options(server_name)
    )


def peer_channel_sync(
    address: str,
    *,
    own_chain: bytes | None,
    own_key: bytes | None,
    pins: Sequence[bytes],
    server_name: str,
) -> grpc.Channel:
    """Makes a synchronous channel to one agency; otherwise as ``peer_channel``.

    Raises:
        PeerNotTrustedError: There is no pin.
    """
    credentials = _credentials(own_chain, own_key, pins)
    return grpc.secure_channel(_target(address), credentials, options=_peer_options(server_name))


def unix_channel(path: Path) -> grpc.aio.Channel:
    """Makes an asynchronous channel to the program on this machine."""
    return grpc.aio.insecure_channel(f"unix:{path}", options=_unix_options())


def unix_channel_sync(path: Path) -> grpc.Channel:
    """Makes a synchronous channel to the program on this machine, for commands."""
    return grpc.insecure_channel(f"unix:{path}", options=_unix_options())


def read_server_leaf(address: str, *, timeout_s: float = READ_CERTIFICATE_TIMEOUT_S) -> ServerLeaf:
    """Reads the TLS certificate a server shows, without trusting it.

    Joining begins with the hash of a signed file and nothing else, and gRPC cannot connect
    without trust. So the certificate is read by a bare handshake and pinned for one channel, over
    which only files are read that prove themselves by their signatures.

    Raises:
        PeerUnreachableError: Nobody answers with TLS 1.3 there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    host, port = split_address(address)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            certificate = connection.getpeercert(binary_form=True)
    except OSError as error:
        raise PeerUnreachableError(
            f"nobody answers at {address}: {error.strerror or error}",
            hint="check the address and that the port is open",
            address=address,
        ) from error
    if certificate is None:
        raise PeerUnreachableError(f"{address} showed no certificate", address=address)
    return ServerLeaf(ssl.DER_cert_to_PEM_cert(certificate).encode(), _dns_name(certificate))


@contextlib.contextmanager
def unverified_channel(address: str) -> Iterator[grpc.Channel]:
    """Opens a channel to whoever answers, for reading files that prove themselves; see above.

    Nothing secret may be sent over it.

    Raises:
        PeerUnreachableError: Nobody answers with TLS 1.3 there.
    """
    leaf = read_server_leaf(address)
    channel = peer_channel_sync(
        address,
        own_chain=None,
        own_key=None,
        pins=[leaf.certificate],
        server_name=leaf.server_name,
    )
    with channel:
        yield channel


def _credentials(
    own_chain: bytes | None, own_key: bytes | None, pins: Sequence[bytes]
) -> grpc.ChannelCredentials:
    if not pins:  # gRPC would fall back to the authorities of the machine
        raise PeerNotTrustedError(
            "the directory has no TLS certificate in force for this agency",
            hint="wait for its new certificate, or refresh the directory",
        )
    return grpc.ssl_channel_credentials(b"".join(pins), own_key, own_chain)


def _target(address: str) -> str:
    """Makes the address a host name to look up, never another kind of gRPC target."""
    split_address(address)
    return f"dns:///{address}"


def _peer_options(server_name: str) -> list[tuple[str, int | str]]:
    name = ("grpc.ssl_target_name_override", server_name)
    return [*_OPTIONS, *_KEEPALIVE, name, ("grpc.default_authority", server_name)]


def _unix_options() -> list[tuple[str, int | str]]:
    return [*_OPTIONS, ("grpc.default_authority", "localhost")]


def _dns_name(certificate: bytes) -> str:
    try:
        loaded = x509.load_der_x509_certificate(certificate)
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, *UNREADABLE):
        found = []
    if not found:
        raise PeerNotTrustedError("the server's certificate carries no name")
    return found[0]
