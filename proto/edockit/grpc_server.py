"""Servers of the exchange: every bound on what a caller may cost, and errors of binding.

Which services run and who is trusted is the program's business; ``edockit.grpc_tls`` feeds the
certificates, ``edockit.grpc_peer`` checks each call.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc

from edoccore.errors import AddressInUseError, EdocError, SettingsError, StorageFailedError
from edockit.addresses import split_address
from edockit.connections import connections_allowed
from edockit.grpc_options import (
    FLOW_CONTROL,
    IDENTITY_COMPRESSION_ONLY,
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    PING_TIMEOUT_MS,
    Option,
)
from edockit.grpc_peer import CallGate, CallInterceptor, PeerCheck
from edockit.grpc_threads import ThreadedCallInterceptor
from edockit.grpc_tls import TlsProvider

ABSOLUTE_MAX_METADATA_BYTES = 16_384
# A raw HTTP/2 attacker opening 10,000 streams a second costs an honest caller 23 ms (99th
# percentile) at 32, and 390 ms with errors at the default.
MAX_STREAMS_PER_CONNECTION = 32
MAX_CONNECTIONS = 4_096  # fewer where the system gives fewer file descriptors
MAX_PENDING_REQUESTS = 1_024  # accepted by the connection, not yet by a thread or task
HANDSHAKE_TIMEOUT_MS = 10_000
CONNECTION_IDLE_MS = 30_000  # without a call; the caller closes it sooner
MAX_OFFICE_STREAMS = 1_000  # calls of one program on this machine at the same time
CONNECTION_AGE_MS = 600_000  # then GOAWAY; calls under way have the grace to end
CONNECTION_AGE_GRACE_MS = 3_600_000  # a big part may be on its way
MIN_PING_INTERVAL_MS = 1_000  # callers ping each 2 s
MAX_PING_STRIKES = 5
REGISTRY_THREADS = 16

SERVER_OPTIONS: tuple[Option, ...] = (
    ("grpc.so_reuseport", 0),  # else a second program would share the address unnoticed
    ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", ABSOLUTE_MAX_METADATA_BYTES),
    ("grpc.compression_enabled_algorithms_bitset", IDENTITY_COMPRESSION_ONLY),
    ("grpc.server.max_pending_requests", MAX_PENDING_REQUESTS),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE_MS),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
    ("grpc.http2.max_pings_without_data", 0),  # 0: as many as keepalive needs
    *FLOW_CONTROL,
)
# The office's programs on this machine are trusted to hold a connection as long as they like, and
# one document-management system hands in many documents at once.
UNIX_SERVER_OPTIONS: tuple[Option, ...] = (
    *(
        option
        for option in SERVER_OPTIONS
        if not option[0].startswith(
            ("grpc.max_connection_", "grpc.keepalive_", "grpc.max_concurrent_streams")
        )
    ),
    ("grpc.max_concurrent_streams", MAX_OFFICE_STREAMS),
)
# Whoever of the group has no token holds a call for a second; so many of them at once.
GROUP_OPTIONS: tuple[Option, ...] = (
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_allowed_incoming_connections", 200),
)


class _Server(Protocol):
    """What binding needs of both kinds of server."""

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Binds an address with TLS."""
        ...


def peer_server(
    check: PeerCheck,
    *,
    gate: CallGate | None = None,
    options: Sequence[tuple[str, Any]] = (),
    on_failure: Callable[[StorageFailedError], None] | None = None,
) -> grpc.aio.Server:
    """Makes an asynchronous server for other nodes; ``bind`` gives it an address.

    Args:
        check: Who may call, run on every call and message.
        gate: How much each caller may call; None: no bound but those of a connection.
        options: Replace or add to ``SERVER_OPTIONS``.
        on_failure: See ``CallInterceptor``.
    """
    room = ("grpc.max_allowed_incoming_connections", connections_allowed(MAX_CONNECTIONS))
    return grpc.aio.server(
        interceptors=[CallInterceptor(check, gate=gate, on_failure=on_failure)],
        options=_merged(SERVER_OPTIONS, [room, *options]),
    )


def office_server(
    on_failure: Callable[[StorageFailedError], None] | None = None,
    inner: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """Makes an asynchronous server for a Unix socket, where the file's owner is trusted.

    Args:
        on_failure: See ``CallInterceptor``.
        inner: Interceptors whose errors are told to the caller too.
    """
    interceptors = [CallInterceptor(on_failure=on_failure), *inner]
    return grpc.aio.server(interceptors=interceptors, options=list(UNIX_SERVER_OPTIONS))


def group_server(
    on_failure: Callable[[StorageFailedError], None],
    inner: Sequence[grpc.aio.ServerInterceptor],
) -> grpc.aio.Server:
    """Makes an asynchronous server for a Unix socket that a group may open, bounded accordingly.

    Args:
        on_failure: See ``CallInterceptor``.
        inner: Interceptors that say who calls; their errors are told to the caller.
    """
    options = _merged(UNIX_SERVER_OPTIONS, GROUP_OPTIONS)
    interceptors = [CallInterceptor(on_failure=on_failure), *inner]
    return grpc.aio.server(interceptors=interceptors, options=options)


def registry_server(
    *, threads: int = REGISTRY_THREADS, options: Sequence[tuple[str, Any]] = ()
) -> grpc.aio.Server:
    """Makes an asynchronous server of synchronous services whose callers prove nothing by TLS.

    Args:
        threads: Calls worked on at the same time.
        options: Replace or add to ``SERVER_OPTIONS``.
    """
    room = ("grpc.max_allowed_incoming_connections", connections_allowed(MAX_CONNECTIONS))
    return grpc.aio.server(
        interceptors=[ThreadedCallInterceptor(threads)],
        options=_merged(SERVER_OPTIONS, [room, *options]),
    )


def bind(server: _Server, address: str, tls: TlsProvider) -> int:
    """Binds a server to ``host:port`` with TLS; port 0 takes a free one.

    Returns:
        The port.

    Raises:
        AddressInUseError: Another program listens there.
        SettingsError: The address is not one of this machine or not allowed.
    """
    _probe(address)
    try:
        return server.add_secure_port(address, tls.credentials())
    except RuntimeError as error:  # taken since the probe; gRPC tells no cause
        raise AddressInUseError(
            f"the address {address} could not be bound",
            hint="stop the other program or choose another --listen",
            address=address,
        ) from error


def _probe(address: str) -> None:
    """Binds and lets go, because the system says why it refuses and gRPC does not."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, target = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(target)
            trial.listen()
    except OSError as error:
        raise _bind_error(address, error) from error


def _bind_error(address: str, error: OSError) -> EdocError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(
            f"another program already listens on {address}",
            hint="stop it or choose another --listen",
            address=address,
        )
    hint = "choose an address of this machine and a port that this user may open"
    return SettingsError(
        f"cannot listen on {address}: {error.strerror}", hint=hint, address=address
    )


def _merged(
    defaults: Sequence[Option], options: Sequence[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    return list({**dict(defaults), **dict(options)}.items())
