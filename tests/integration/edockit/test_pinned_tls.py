"""Mutual TLS with the directory as trust store, over real connections."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from edoccore.errors import (
    AddressInUseError,
    AgencyUnknownError,
    EdocError,
    KeyUnusableError,
    PeerNotTrustedError,
    PeerUnreachableError,
    SettingsError,
)
from edoccore.wire.status import raise_for
from edockit import grpc_client, grpc_peer, grpc_server
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from tests.integration.edockit import echo
from tests.support.pki import Leaf, dns_name, seal_leaf, tls_leaf

TIMEOUT_S = 10


class Directory:
    """The certificates trusted at this moment, as a program would have it."""

    def __init__(self, *leaves: Leaf) -> None:
        self.pins = [leaf.certificate for leaf in leaves]

    def check(self, auth_context: grpc_peer.AuthContext) -> str:
        grpc_peer.require_tls13(auth_context)
        certificate = grpc_peer.peer_certificate(auth_context)
        if not grpc_peer.is_tls_certificate(certificate):
            raise PeerNotTrustedError("this is no TLS certificate")
        if certificate not in self.pins:
            raise PeerNotTrustedError("this certificate is not listed")
        return hashlib.sha256(certificate).hexdigest()


class Node:
    """A running server with its trust store and directory."""

    def __init__(self, own: Leaf, *callers: Leaf) -> None:
        self.own = own
        self.directory = Directory(*callers)
        self.tls = TlsProvider(self.material(*callers))
        self.port = 0

    def material(self, *callers: Leaf, own: Leaf | None = None, version: int = 1) -> TlsMaterial:
        leaf = own or self.own
        pins = [caller.certificate for caller in callers]
        return TlsMaterial(leaf.certificate_pem, leaf.key_pem, pins, version)

    @contextlib.asynccontextmanager
    async def running(self, **options: object) -> AsyncIterator["Node"]:
        server = grpc_server.peer_server(self.directory.check, options=list(options.items()))
        server.add_generic_rpc_handlers((echo.handler(),))
        self.port = grpc_server.bind(server, "127.0.0.1:0", self.tls)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    def channel(self, caller: Leaf | None, *pins: Leaf, name: str = "H29") -> grpc.aio.Channel:
        return grpc_client.peer_channel(
            f"127.0.0.1:{self.port}",
            own_chain=caller.certificate_pem if caller else None,
            own_key=caller.key_pem if caller else None,
            pins=[pin.certificate_pem for pin in pins],
            server_name=dns_name(name),
        )

    async def call(self, caller: Leaf | None, *pins: Leaf, method: str = echo.WHO) -> bytes:
        async with self.channel(caller, *pins) as channel:
            try:
                return await channel.unary_unary(method)(b"x", timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                raise raise_for(error) from error


def fingerprint(leaf: Leaf) -> bytes:
    return hashlib.sha256(leaf.certificate).hexdigest().encode()


@pytest.mark.parametrize("server_uses", ["current", "next"])
@pytest.mark.parametrize("client_pins", [["current"], ["current", "next"], ["next"]])
@pytest.mark.parametrize("client_uses", ["current", "next"])
@pytest.mark.parametrize("server_pins", [["current"], ["current", "next"], ["next"]])
async def test_every_overlap_of_current_and_next_certificates(
    server_uses: str, client_pins: list[str], client_uses: str, server_pins: list[str]
) -> None:
    servers = {"current": tls_leaf("H29"), "next": tls_leaf("H29")}
    clients = {"current": tls_leaf("G01"), "next": tls_leaf("G01")}
    node = Node(servers[server_uses], *(clients[name] for name in server_pins))
    async with node.running():
        pins = [servers[name] for name in client_pins]
        if server_uses in client_pins and client_uses in server_pins:
            answer = await node.call(clients[client_uses], *pins)
            assert answer == fingerprint(clients[client_uses])
        else:
            with pytest.raises(PeerUnreachableError):
                await node.call(clients[client_uses], *pins)


async def test_an_unlisted_certificate_of_the_same_name_is_refused_both_ways() -> None:
    server, client, impostor = tls_leaf("H29"), tls_leaf("G01"), tls_leaf("G01")
    async with Node(server, client).running() as node:
        with pytest.raises(PeerUnreachableError):
            await node.call(impostor, server)
        with pytest.raises(PeerUnreachableError):
            await node.call(client, tls_leaf("H29"))
        assert await node.call(client, server) == fingerprint(client)


async def test_a_caller_without_certificate_is_refused() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, client).running() as node:
        with pytest.raises(PeerUnreachableError):
            await node.call(None, server)


async def test_an_expired_or_future_certificate_is_refused_although_listed() -> None:
    server = tls_leaf("H29")
    expired = tls_leaf("G01", starts_in=timedelta(days=-9), ends_in=timedelta(days=-1))
    future = tls_leaf("G01", starts_in=timedelta(days=1))
    async with Node(server, expired, future).running() as node:
        for caller in (expired, future):
            with pytest.raises(PeerUnreachableError):
                await node.call(caller, server)
    async with Node(expired, server).running() as node, node.channel(server, expired) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(echo.WHO)(b"x", timeout=TIMEOUT_S)


async def test_a_seal_certificate_never_reaches_the_trust_store() -> None:
    server, client, seal = tls_leaf("H29"), tls_leaf("G01"), seal_leaf("G01")
    node = Node(server, client)
    left_out = node.tls.publish(node.material(client, seal))
    assert left_out == (hashlib.sha256(seal.certificate).hexdigest(),)
    async with node.running():
        with pytest.raises(PeerUnreachableError):
            await node.call(seal, server)


async def test_a_seal_certificate_that_tls_lets_in_is_refused_by_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, seal = tls_leaf("H29"), seal_leaf("G01")
    with monkeypatch.context() as patch:  # a trust store that lost the first control
        patch.setattr("edockit.grpc_tls.is_tls_certificate", lambda _certificate: True)
        node = Node(server, seal)
    async with node.running():
        with pytest.raises(PeerNotTrustedError, match="no TLS certificate"):
            await node.call(seal, server)


async def test_a_certificate_removed_from_the_directory_ends_open_streams() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, client).running() as node, node.channel(client, server) as channel:
        for method in (echo.STREAM, echo.READ):
            node.directory.pins = [client.certificate]
            stream = channel.stream_stream(method)(timeout=TIMEOUT_S)
            await stream.write(b"one")
            assert await stream.read() == b"one"
            node.directory.pins.clear()
            await stream.write(b"two")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(echo.UNARY)(b"x", timeout=TIMEOUT_S)
        assert isinstance(raise_for(caught.value), PeerNotTrustedError)


async def test_published_material_holds_for_the_next_handshake() -> None:
    server, old, new = tls_leaf("H29"), tls_leaf("G01"), tls_leaf("G02")
    successor = tls_leaf("H29")
    async with Node(server, old).running() as node:
        assert await node.call(old, server) == fingerprint(old)
        node.directory.pins.append(new.certificate)
        node.tls.publish(node.material(new, own=successor, version=7))
        assert node.tls.loaded_version == 1
        assert await node.call(new, server, successor) == fingerprint(new)
        assert node.tls.loaded_version == 7
        with pytest.raises(PeerUnreachableError):
            await node.call(old, successor)


async def test_who_is_shut_out_gets_no_connection_until_let_in_again() -> None:
    server, loud, quiet = tls_leaf("H29"), tls_leaf("G01"), tls_leaf("G02")
    async with Node(server, loud, quiet).running() as node:
        for _ in range(2):
            assert await node.call(loud, server) == fingerprint(loud)
            node.tls.shut_out([fingerprint(loud).decode()])
            node.tls.publish(node.material(loud, quiet, version=2))
            with pytest.raises(PeerUnreachableError):
                await node.call(loud, server)
            assert await node.call(quiet, server) == fingerprint(quiet)
            node.tls.shut_out([])


async def test_whoever_is_alone_and_shut_out_opens_the_server_to_nobody() -> None:
    server, loud = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, loud).running() as node:
        node.tls.shut_out([fingerprint(loud).decode()])
        with pytest.raises(PeerUnreachableError):
            await node.call(loud, server)


async def test_a_nation_of_pins_that_is_published_anew_refuses_nobody() -> None:
    server, caller = tls_leaf("H29"), tls_leaf("G01")
    nation = [tls_leaf(f"X{number}") for number in range(3_500)]
    async with Node(server, caller, *nation).running() as node:
        node.tls.publish(node.material(caller, *nation[1:], version=2))
        assert await node.call(caller, server) == fingerprint(caller)
        assert node.tls.loaded_version == 2


def test_what_has_not_changed_is_not_handed_out_again() -> None:
    leaf, caller = tls_leaf("H29"), tls_leaf("G01")
    pins = [caller.certificate]
    tls = TlsProvider(TlsMaterial(leaf.certificate_pem, leaf.key_pem, pins, version=1))
    tls.credentials()
    assert tls._fetch() is not None  # the first handshake's, for which the port has not waited
    tls.publish(TlsMaterial(leaf.certificate_pem, leaf.key_pem, pins, version=2))
    tls.shut_out([])
    assert tls._fetch() is None
    assert tls.loaded_version == 2
    tls.shut_out([fingerprint(caller).decode()])
    assert tls._fetch() is not None
    tls.publish(TlsMaterial(leaf.certificate_pem, leaf.key_pem, [], version=3))
    assert tls.loaded_version == 2
    assert tls._fetch() is not None
    assert tls.loaded_version == 3


async def test_unusable_material_is_refused_and_the_old_stays_in_force() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, client).running() as node:
        pair = tls_leaf("H29")
        for chain, key in (
            (pair.certificate_pem, server.key_pem),
            (b"rubbish", server.key_pem),
            (server.certificate_pem, b"rubbish"),
        ):
            with pytest.raises(KeyUnusableError):
                node.tls.publish(TlsMaterial(chain, key))
        left_out = node.tls.publish(
            TlsMaterial(server.certificate_pem, server.key_pem, [client.certificate, b"bad"])
        )
        assert left_out == (hashlib.sha256(b"bad").hexdigest(),)
        assert await node.call(client, server) == fingerprint(client)


def test_a_configuration_is_given_anew_each_hour_to_end_session_tickets() -> None:
    moment = 0.0
    leaf = tls_leaf("H29")
    material = TlsMaterial(leaf.certificate_pem, leaf.key_pem)
    tls = TlsProvider(material, clock=lambda: moment)
    tls.credentials()
    assert tls._fetch() is not None
    assert tls._fetch() is None
    moment = 3_599.0
    assert tls._fetch() is None
    moment = 3_600.0
    assert tls._fetch() is not None
    assert tls._fetch() is None


TLS12_CLIENT = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.maximum_version = getattr(ssl.TLSVersion, sys.argv[2])
context.set_alpn_protocols(["h2"])
try:
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))) as c:
        print(c.version())
except (ssl.SSLError, ConnectionError):
    print("refused")
"""

SERVER_PROGRAM = """
from edockit import tls13
import asyncio, grpc, sys
from edockit import grpc_server
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
assert tls13.in_force()
chain, key = sys.argv[1].encode(), sys.argv[2].encode()
async def main():
    server = grpc_server.registry_server()
    tls = TlsProvider(TlsMaterial(chain, key), client_auth=ClientAuth.NOT_REQUESTED)
    print(grpc_server.bind(server, "127.0.0.1:0", tls), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)
asyncio.run(main())
"""


def test_tls_1_2_is_refused_in_the_handshake_of_a_program() -> None:
    leaf = tls_leaf("H29")
    command = [sys.executable, "-c", SERVER_PROGRAM, leaf.certificate_pem, leaf.key_pem]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        outcomes = [
            subprocess.run(
                [sys.executable, "-c", TLS12_CLIENT, port, version],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for version in ("TLSv1_2", "TLSv1_3")
        ]
        server.communicate("")
    assert outcomes == ["refused", "TLSv1.3"]


@pytest.mark.parametrize("version", [[], [b"TLSv1.2"], [b"TLSv1.3", b"TLSv1.2"]])
def test_an_older_tls_version_is_refused_by_the_check(version: list[bytes]) -> None:
    with pytest.raises(PeerNotTrustedError, match=r"TLS 1\.3"):
        grpc_peer.require_tls13({"ssl_tls_version": version})
    grpc_peer.require_tls13({"ssl_tls_version": [b"TLSv1.3"]})


async def test_a_synchronous_service_asks_for_tls_1_3_behind_the_handshake() -> None:
    server = grpc_server.registry_server()
    methods = {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await channel.unary_unary("/t.T/Say")(b"hi", timeout=TIMEOUT_S)
        assert isinstance(raise_for(caught.value), PeerNotTrustedError)
    await server.stop(0)


@pytest.mark.parametrize("program", ["edocnode", "edocregistry"])
def test_programs_turn_tls_1_2_off_before_grpc_is_imported(program: str) -> None:
    code = (
        f"import sys, {program}.cli.main; from edockit import tls13; import grpc, os; "
        "print(tls13.in_force(), os.environ['GRPC_SSL_CIPHER_SUITES'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "ECDHE-RSA-AES256-GCM-SHA384"]


async def test_compressed_requests_are_refused() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, client).running() as node:
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{node.port}",
            grpc.ssl_channel_credentials(
                server.certificate_pem, client.key_pem, client.certificate_pem
            ),
            options=[("grpc.ssl_target_name_override", dns_name("H29"))],
            compression=grpc.Compression.Gzip,
        )
        async with channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(echo.UNARY)(bytes(500_000), timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_over_one_mebibyte_is_refused_by_both_sides() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    size = grpc_server.MAX_MESSAGE_BYTES
    async with Node(server, client).running() as node:
        async with node.channel(client, server) as channel:
            call = channel.unary_unary(echo.UNARY)
            assert len(await call(bytes(size), timeout=TIMEOUT_S)) == size
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(bytes(size + 1), timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        careless = grpc.aio.secure_channel(
            f"127.0.0.1:{node.port}",
            grpc.ssl_channel_credentials(
                server.certificate_pem, client.key_pem, client.certificate_pem
            ),
            options=[("grpc.ssl_target_name_override", dns_name("H29"))],
        )
        async with careless:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await careless.unary_unary(echo.WHO)(bytes(size + 1), timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_errors_arrive_as_the_class_that_was_raised_and_faults_without_their_text() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    async with Node(server, client).running() as node:
        with pytest.raises(AgencyUnknownError, match="no agency Z99") as caught:
            await node.call(client, server, method=echo.FAIL)
        assert caught.value.hint == "check the code"
        assert caught.value.fields == {"agency": "Z99"}
        with pytest.raises(AgencyUnknownError, match=r"^Không tìm thấy") as long:
            await node.call(client, server, method=echo.FAIL_AT_LENGTH)
        assert long.value.hint.startswith("Ủy ban")
        assert "field_0" in long.value.fields
        with pytest.raises(EdocError) as fault:
            await node.call(client, server, method=echo.BREAK)
        assert fault.value.reason == "INTERNAL"
        assert "geheim" not in str(fault.value)
        async with node.channel(client, server) as channel:
            stream = channel.stream_stream(echo.BREAK_STREAM)(timeout=TIMEOUT_S)
            await stream.write(b"one")
            assert await stream.read() == b"one"
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
            assert isinstance(raise_for(ended.value), AgencyUnknownError)


async def test_a_taken_address_is_told_and_never_shared() -> None:
    leaf = tls_leaf("H29")
    tls = TlsProvider(TlsMaterial(leaf.certificate_pem, leaf.key_pem))
    first, second = grpc_server.registry_server(), grpc_server.registry_server()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AddressInUseError, match=address):
            grpc_server.bind(second, address, tls)
    taken = f"127.0.0.1:{grpc_server.bind(first, '127.0.0.1:0', tls)}"
    await first.start()
    with pytest.raises(AddressInUseError, match=taken):
        grpc_server.bind(second, taken, tls)
    await first.stop(0)
    await second.stop(0)


@pytest.mark.parametrize("address", ["203.0.113.7:0", "nowhere.invalid:0"])
async def test_an_address_of_another_machine_is_told(address: str) -> None:
    leaf = tls_leaf("H29")
    tls = TlsProvider(TlsMaterial(leaf.certificate_pem, leaf.key_pem))
    server = grpc_server.registry_server()
    with pytest.raises(SettingsError, match="cannot listen"):
        grpc_server.bind(server, address, tls)
    await server.stop(0)


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:", ":80", "host:http", "host:70000", "::1:80", "[h]:80", "host:-1"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError):
        grpc_server.split_address(address)


def test_addresses_are_split() -> None:
    assert grpc_server.split_address("node.bnv.test:8443") == ("node.bnv.test", 8443)
    assert grpc_server.split_address("[::1]:0") == ("::1", 0)


async def test_the_certificate_of_an_unknown_server_is_read_and_pinned_for_one_channel() -> None:
    leaf = tls_leaf("REGISTRY")
    material = TlsMaterial(leaf.certificate_pem, leaf.key_pem)
    tls = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
    server = grpc_server.registry_server()
    methods = {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    address = f"127.0.0.1:{grpc_server.bind(server, '127.0.0.1:0', tls)}"
    await server.start()
    read = await asyncio.to_thread(grpc_client.read_server_leaf, address)
    assert ssl.PEM_cert_to_DER_cert(read.certificate.decode()) == leaf.certificate
    assert read.server_name == dns_name("REGISTRY")

    def said() -> object:
        with grpc_client.unverified_channel(address) as channel:
            return channel.unary_unary("/t.T/Say")(b"hi", timeout=TIMEOUT_S)

    assert await asyncio.to_thread(said) == b"hi"
    await server.stop(0)
    with pytest.raises(PeerUnreachableError):
        grpc_client.read_server_leaf(address)


def test_reading_a_certificate_from_a_silent_server_ends() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(PeerUnreachableError):
            grpc_client.read_server_leaf(address, timeout_s=0.2)


def test_a_channel_without_pins_is_never_made() -> None:
    with pytest.raises(PeerNotTrustedError):
        grpc_client.peer_channel_sync(
            "127.0.0.1:1", own_chain=None, own_key=None, pins=[], server_name="h29.edoc.test"
        )


async def test_a_synchronous_service_ends_calls_with_the_same_errors() -> None:
    leaf = tls_leaf("REGISTRY")
    material = TlsMaterial(leaf.certificate_pem, leaf.key_pem)
    tls = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
    server = grpc_server.registry_server()

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        raise AgencyUnknownError("no agency Z99")

    def break_stream(request: bytes, context: grpc.ServicerContext):
        yield b"one"
        raise KeyError("geheim")

    methods = {
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Break": grpc.unary_stream_rpc_method_handler(break_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    address = f"127.0.0.1:{grpc_server.bind(server, '127.0.0.1:0', tls)}"
    await server.start()

    def asks() -> None:
        with grpc_client.unverified_channel(address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/t.T/Fail")(b"", timeout=TIMEOUT_S)
            assert isinstance(raise_for(caught.value), AgencyUnknownError)
            answers = channel.unary_stream("/t.T/Break")(b"", timeout=TIMEOUT_S)
            assert next(answers) == b"one"
            with pytest.raises(grpc.RpcError) as caught:
                next(answers)
            error = raise_for(caught.value)
            assert error.reason == "INTERNAL"
            assert "geheim" not in str(error)

    await asyncio.to_thread(asks)
    await server.stop(0)


async def test_a_silent_link_is_noticed_by_keepalive() -> None:
    server, client = tls_leaf("H29"), tls_leaf("G01")
    frozen = threading.Event()
    async with Node(server, client).running() as node:
        port, ended = start_relay(node.port, frozen)
        channel = grpc_client.peer_channel(
            f"127.0.0.1:{port}",
            own_chain=client.certificate_pem,
            own_key=client.key_pem,
            pins=[server.certificate_pem],
            server_name=dns_name("H29"),
        )
        async with channel:
            stream = channel.stream_stream(echo.STREAM)(timeout=40)
            await stream.write(b"one")
            assert await stream.read() == b"one"
            frozen.set()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        ended.set()


def start_relay(target: int, frozen: threading.Event) -> tuple[int, threading.Event]:
    """Forwards one connection until it is told to go silent, keeping it open."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    ended = threading.Event()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if frozen.is_set():
                    break
                sink.sendall(data)

    def serve() -> None:
        inner, _ = listener.accept()
        outer = socket.create_connection(("127.0.0.1", target))
        pumps = [
            threading.Thread(target=pump, args=pair, daemon=True)
            for pair in ((inner, outer), (outer, inner))
        ]
        for thread in pumps:
            thread.start()
        ended.wait(60)
        for end in (inner, outer, listener):
            end.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], ended
