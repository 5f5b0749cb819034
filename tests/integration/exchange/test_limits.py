"""Peers that cost much: bombs, floods of items, silence, and bytes that trickle."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Need
from edocnode.rpc.peers import WRITE_FAILED
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import SERVICE, BadPeer, Ended, Stream, place
from tests.support.nodes import make_node, running, until
from tests.support.ports import free_port

PATIENCE_S = 1.0
SOON_S = 8.0  # within which the node must have acted, on a busy machine
MEBIBYTE = 1024 * 1024
MOST_GROWTH = 200 * MEBIBYTE


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Scene]:
    """A node that waits for nobody longer than a second."""
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01", patience_s=PATIENCE_S)
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        yield Scene(nation, node, peer, 0, nation.directory())


def length_delimited(field: int, content: bytes) -> bytes:
    """A field of a protobuf message, on the wire."""
    size, digits = len(content), bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([field << 3 | 2]) + bytes([*digits, size]) + content


def deep(levels: int) -> bytes:
    """Unknown messages inside each other."""
    data = b""
    for _ in range(levels):
        data = length_delimited(15, data)
    return data


BATCH, PARCEL = 2, 2  # numbers of fields
LIMIT, INVALID = "LIMIT_EXCEEDED", "REQUEST_INVALID"
UNREAD = f"RESOURCE_EXHAUSTED|{WRITE_FAILED}"  # refused at its header, while it was being written
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {  # and how the node ends the stream
    "two-million-parcels": (
        lambda: length_delimited(BATCH, b"\x12\x00" * 2_000_000),
        "RESOURCE_EXHAUSTED",
    ),
    "half-a-million-parcels": (
        lambda: length_delimited(BATCH, b"\x12\x00" * 520_000),
        "LIMIT_EXCEEDED",
    ),
    "half-a-million-seals": (
        lambda: length_delimited(BATCH, b"\x0a\x00" * 520_000),
        "LIMIT_EXCEEDED",
    ),
    "257-parcels": (lambda: length_delimited(BATCH, b"\x12\x00" * 257), LIMIT),
    "deep": (lambda: length_delimited(BATCH, length_delimited(PARCEL, deep(20_000))), ""),
    "no-protobuf": (lambda: b"\xff" * 1000, ""),
    "nothing": (lambda: b"", INVALID),
    "second-hello": (lambda: length_delimited(1, b""), INVALID),
    "seal-not-there": (
        lambda: length_delimited(BATCH, length_delimited(PARCEL, b"\x10\x09")),
        "REQUEST_INVALID",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_t25_a_message_that_explodes_ends_its_stream_alone(scene: Scene, bomb: str) -> None:
    make, reason = BOMBS[bomb]
    async with scene.peer.connect() as connection, connection.stream() as bystander:
        await scene.good(bystander)
        data, before = make(), resident_bytes()
        for _ in range(5):
            async with connection.stream() as stream:
                assert re.search(reason, str(await stream.refused(data)))
        assert resident_bytes() - before < MOST_GROWTH
        await scene.good(bystander)
    assert scene.node.inbox() == 200


def resident_bytes() -> int:
    """Memory of this process, in which the node runs."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


async def test_t25_a_batch_of_256_parcels_is_answered(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        await scene.good(stream, 256)


@pytest.mark.parametrize("method", ["Deliver", "Transfer"])
async def test_t26_compressed_streams_are_refused_before_their_first_message(
    scene: Scene, method: str
) -> None:
    async with scene.peer.connect() as connection, connection.stream() as bystander:
        stream = Stream(connection.call(method, compression=grpc.Compression.Gzip))
        assert (await stream.refused()).code is grpc.StatusCode.UNIMPLEMENTED
        await scene.good(bystander)


async def test_t26_a_compressed_message_is_refused_unread(scene: Scene) -> None:
    async with scene.peer.connect() as connection, connection.stream() as bystander:
        call = connection.channel.unary_unary(f"{SERVICE}/Hello")
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await call(bytes(64 * MEBIBYTE), compression=grpc.Compression.Gzip, timeout=60)
        await scene.good(bystander)


async def test_t27_a_handshake_that_stops_half_way_is_ended(impatient: Scene) -> None:
    host, _, port = impatient.node.address.rpartition(":")
    silent, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(SOON_S):
        assert await silent.read() == b""
    writer.close()
    begun, writer = await asyncio.open_connection(host, int(port))
    writer.write(client_hello()[:50])
    async with asyncio.timeout(SOON_S):
        assert await begun.read() == b""
    writer.close()
    async with impatient.peer.stream() as stream:
        await impatient.good(stream)


def client_hello() -> bytes:
    """The first bytes of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="g01.edoc.test").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without an answer")


@pytest.mark.parametrize("method", ["Deliver", "Transfer"])
async def test_t27_a_stream_that_never_says_anything_is_ended(
    impatient: Scene, method: str
) -> None:
    async with impatient.peer.connect() as connection, asyncio.timeout(SOON_S):
        with pytest.raises(Ended, match="LIMIT_EXCEEDED"):
            await Stream(connection.call(method)).read()
        async with connection.stream() as stream:
            await impatient.good(stream)


async def test_t27_a_stream_on_which_nothing_follows_the_hello_is_ended(impatient: Scene) -> None:
    async with impatient.peer.stream() as stream, asyncio.timeout(SOON_S):
        await impatient.good(stream, 1)
        with pytest.raises(Ended, match="LIMIT_EXCEEDED"):
            await stream.read()


async def test_t27_a_part_that_trickles_is_cut_off_and_goes_on_later(impatient: Scene) -> None:
    letter = impatient.peer.letter(bytes(range(256)) * 2_000)
    part = letter.parts[1]
    async with impatient.peer.connect() as connection, connection.stream() as deliveries:
        await deliveries.exchange(impatient.peer.offer(letter))
        await connection.transfer(letter, 0, letter.parts[0])
        sent = 0
        async with asyncio.timeout(SOON_S):
            stream = Stream(connection.call("Transfer"))
            await stream.write(place(letter, 1))
            with contextlib.suppress(Ended):
                while True:
                    await stream.write(messages.TransferRequest(chunk=part[sent : sent + 1]))
                    sent += 1
                    await asyncio.sleep(PATIENCE_S / 20)  # always well within its patience
            assert (await stream.refused()).reason == "LIMIT_EXCEEDED"
    assert 0 < sent < 100
    async with impatient.peer.connect() as connection, connection.stream() as deliveries:
        (need,) = await deliveries.exchange(impatient.peer.offer(letter))
        assert isinstance(need, Need)
        (wanted,) = need.parts
        assert 0 < wanted.offset <= sent
        await connection.transfer(letter, 1, part[wanted.offset :])
        (answer,) = await deliveries.exchange(impatient.peer.offer(letter))
        assert impatient.told(answer) == ("received", "")


async def test_t27_what_an_unfinished_offer_reserved_is_returned_when_its_life_ends(
    tmp_path: Path,
) -> None:
    shift = timedelta()
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01", staging_quota_gib=1)
    node.clock = lambda: datetime.now(UTC) + shift
    half = 600 * MEBIBYTE
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        other = BadPeer(nation, nation.agencies["H30"], node.agency, node.address)
        letters = [peer.letter(size_stated=half) for _ in range(2)]
        async with peer.connect() as connection, connection.stream() as stream:
            (need,) = await stream.exchange(peer.offer(letters[0]))
            assert isinstance(need, Need)
            with pytest.raises(Ended):
                await connection.transfer(letters[0], 1, b"begun")
            (answer,) = await stream.exchange(peer.offer(letters[1]))
            assert answer.reason == "QUOTA_EXCEEDED"
        async with other.stream() as theirs:  # one agency's quota is its own
            (need,) = await theirs.exchange(other.offer(other.letter(size_stated=half)))
            assert isinstance(need, Need)
    shift = timedelta(days=8)
    async with running(node):
        await until(lambda: node.count("SELECT count(*) FROM stage") == 0)
        await until(lambda: not list((node.data / "blobs" / "staging").iterdir()))
        peer.address = node.address
        async with peer.stream() as stream:
            (need,) = await stream.exchange(peer.offer(letters[1]))
            assert isinstance(need, Need)
