"""What one caller may cost a server: each limit of the transport, set and at work."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from edockit.grpc_server import MAX_STREAMS_PER_CONNECTION, SERVER_OPTIONS, UNIX_SERVER_OPTIONS
from tests.integration.edockit import echo
from tests.integration.edockit.test_pinned_tls import TIMEOUT_S, Node
from tests.support.pki import Leaf, dns_name, tls_leaf

OPEN_FOR_S = 20
SET = {  # the largest that is right; the library's own defaults are far more, or no limit at all
    "grpc.max_concurrent_streams": 32,
    "grpc.max_receive_message_length": 1 << 20,
    "grpc.max_metadata_size": 8_192,
    "grpc.absolute_max_metadata_size": 16_384,
    "grpc.server.max_pending_requests": 1_024,
    "grpc.max_allowed_incoming_connections": 4_096,
    "grpc.server_handshake_timeout_ms": 10_000,
    "grpc.max_connection_idle_ms": 300_000,
    "grpc.max_connection_age_ms": 600_000,
    "grpc.max_connection_age_grace_ms": 3_600_000,
    "grpc.http2.ping_timeout_ms": 10_000,
    "grpc.http2.max_ping_strikes": 5,
}


@pytest.fixture(scope="module")
def leaves() -> tuple[Leaf, Leaf]:
    return tls_leaf("H29"), tls_leaf("G01")


@pytest.mark.parametrize("name", SET)
def test_t27_t29_limit_is_set_for_other_nodes(name: str) -> None:
    values = [value for option, value in SERVER_OPTIONS if option == name]
    assert len(values) == 1
    assert 0 < values[0] <= SET[name]


def test_programs_on_this_machine_have_the_limits_of_messages_and_headers_too() -> None:
    own = dict(UNIX_SERVER_OPTIONS)
    for name in ("grpc.max_receive_message_length", "grpc.absolute_max_metadata_size"):
        assert own[name] <= SET[name]


async def test_headers_over_the_limit_are_refused_and_the_connection_goes_on(
    leaves: tuple[Leaf, Leaf],
) -> None:
    server, client = leaves
    async with Node(server, client).running() as node, node.channel(client, server) as channel:
        call = channel.unary_unary(echo.UNARY)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x", metadata=[("x-filler", "a" * 20_000)], timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(b"x", metadata=[("x-filler", "a" * 4_000)], timeout=TIMEOUT_S) == b"x"


async def test_a_connection_has_32_streams_and_the_next_waits_for_an_end(
    leaves: tuple[Leaf, Leaf],
) -> None:
    server, client = leaves
    async with Node(server, client).running() as node, node.channel(client, server) as channel:
        streams = [
            channel.stream_stream(echo.STREAM)(endless(), timeout=OPEN_FOR_S)
            for _ in range(MAX_STREAMS_PER_CONNECTION)
        ]
        assert [await each.read() for each in streams] == [b"x"] * MAX_STREAMS_PER_CONNECTION
        one_more = channel.stream_stream(echo.STREAM)(endless(), timeout=OPEN_FOR_S)
        answer = asyncio.ensure_future(one_more.read())
        await asyncio.wait([answer], timeout=1)
        assert not answer.done()
        streams[0].cancel()
        assert await answer == b"x"
        for each in (*streams, one_more):
            each.cancel()


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(OPEN_FOR_S)


async def test_a_connection_over_the_number_that_is_allowed_is_closed(
    leaves: tuple[Leaf, Leaf],
) -> None:
    server, client = leaves
    allowed = {"grpc.max_allowed_incoming_connections": 2}
    async with Node(server, client).running(**allowed) as node:
        opened = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(3)]
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in opened]
        await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait(ends, timeout=1)
        assert len(done) == 1
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*ends)


@pytest.mark.parametrize("limit", ["idle", "age"])
async def test_a_connection_that_is_idle_or_old_is_ended(
    limit: str, leaves: tuple[Leaf, Leaf]
) -> None:
    """As a raw client that never goes away by itself sees it."""
    server, client = leaves
    options = {f"grpc.max_connection_{limit}_ms": 1_000, "grpc.max_connection_age_grace_ms": 500}
    async with Node(server, client).running(**options) as node:
        begun = time.monotonic()
        reader, writer = await connected(node, server, client)
        async with asyncio.timeout(TIMEOUT_S):
            while await reader.read(65_536):
                pass
        assert 0.5 < time.monotonic() - begun < TIMEOUT_S
        writer.close()


async def connected(
    node: Node, server: Leaf, client: Leaf
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with TLS and HTTP/2 that was greeted, and on which nothing is asked."""
    import tempfile
    from pathlib import Path

    context = ssl.create_default_context(cadata=server.certificate_pem.decode())
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.pem"
        own.write_bytes(client.certificate_pem + client.key_pem)
        context.load_cert_chain(own)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", node.port, ssl=context, server_hostname=dns_name("H29")
    )
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    await writer.drain()
    return reader, writer
