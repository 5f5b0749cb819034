"""Parts on their way in: never another envelope's, never lost by a crash, never by two at once."""

import asyncio
import contextlib
from uuid import UUID

import pytest

from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Need
from tests.integration.exchange.conftest import Scene
from tests.integration.exchange.test_part_bytes import part_of
from tests.integration.exchange.test_parts import LARGE, staged_files
from tests.support.bad_peer import Connection, Ended, Letter, Stream, place
from tests.support.nodes import until

OTHER = LARGE[::-1]


async def test_t15_parts_of_one_envelope_never_stand_for_those_of_another_with_its_id(
    scene: Scene,
) -> None:
    first = scene.peer.letter(LARGE)
    rival = scene.peer.letter(OTHER, message_id=first.message_id)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(first))
        for index, content in enumerate(first.parts):
            await connection.transfer(first, index, content)
        (answer,) = await stream.exchange(scene.peer.offer(rival))
        assert isinstance(answer, Need), scene.told(answer)
        for index, content in enumerate(rival.parts):
            await connection.transfer(rival, index, content)
        (answer,) = await stream.exchange(scene.peer.offer(rival))
        assert scene.told(answer) == ("received", "")
        kept = UUID(rival.envelope.document_id).bytes
        assert await part_of(scene.node, kept, 1) == OTHER
        await scene.good(stream)


async def offered(stream: Stream, scene: Scene, letter: Letter) -> list[tuple[int, int]]:
    (need,) = await stream.exchange(scene.peer.offer(letter))
    assert isinstance(need, Need)
    return [(part.index, part.offset) for part in need.parts]


async def test_a_node_killed_between_moving_and_noting_a_part_does_not_ask_for_it_again(
    scene: Scene,
) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        assert await offered(stream, scene, letter) == [(0, 0), (1, 0)]
        await connection.transfer(letter, 0, letter.parts[0])
        await connection.transfer(letter, 1, LARGE)
        scene.node.write("UPDATE stage_part SET complete = 0 WHERE part_index = 1")
        assert await offered(stream, scene, letter) == [(1, len(LARGE))]
        assert await connection.transfer(letter, 1) == len(LARGE)
        (answer,) = await stream.exchange(scene.peer.offer(letter))
        assert scene.told(answer) == ("received", "")
    assert staged_files(scene.node) == []


async def begun(connection: Connection, letter: Letter, index: int, chunk: bytes) -> Stream:
    """A transfer of which a chunk has come."""
    stream = Stream(connection.call("Transfer"))
    await stream.write(place(letter, index))
    await stream.read()
    await stream.write(messages.TransferRequest(chunk=chunk))
    await stream.read()
    return stream


async def test_a_part_whose_staged_bytes_vanished_is_asked_for_from_its_start(
    scene: Scene,
) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        with pytest.raises(Ended, match="PART_DIGEST_MISMATCH"):
            await connection.transfer(letter, 1, LARGE[:300_000])
        for name in staged_files(scene.node):
            (scene.node.data / "blobs" / "staging" / name).unlink()
        await connection.transfer(letter, 0, letter.parts[0])
        assert await connection.transfer(letter, 1, LARGE) == len(LARGE)
        (answer,) = await stream.exchange(scene.peer.offer(letter))
        assert scene.told(answer) == ("received", "")


async def test_a_part_that_vanished_before_its_document_was_kept_is_asked_for_again(
    scene: Scene,
) -> None:
    first, second = scene.peer.letter(LARGE), scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        for index, content in await _parts_wanted(stream, scene, first):
            await connection.transfer(first, index, content)
        await stream.exchange(scene.peer.offer(first))
        assert await offered(stream, scene, second) == [(0, 0)]  # it delivered the other before
        (blob,) = [path for path in (scene.node.data / "blobs").glob("??/*") if path.is_file()]
        blob.unlink()
        await connection.transfer(second, 0, second.parts[0])
        (answer,) = await stream.exchange(scene.peer.offer(second))
        assert scene.told(answer) == ("try_later", "PART_DIGEST_MISMATCH")
        assert await offered(stream, scene, second) == [(1, 0)]
        await connection.transfer(second, 1, LARGE)
        (answer,) = await stream.exchange(scene.peer.offer(second))
        assert scene.told(answer) == ("received", "")


async def _parts_wanted(stream: Stream, scene: Scene, letter: Letter) -> list[tuple[int, bytes]]:
    return [(index, letter.parts[index]) for index, _ in await offered(stream, scene, letter)]


async def test_transfers_of_one_part_at_once_never_damage_what_is_kept(scene: Scene) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        await connection.transfer(letter, 0, letter.parts[0])

        async def one(content: bytes) -> None:
            chunks = [content[at : at + 20_000] for at in range(0, len(content), 20_000)]
            with contextlib.suppress(Ended):
                await connection.transfer(letter, 1, *chunks)

        for _ in range(3):
            await asyncio.gather(*(one(content) for content in (LARGE, OTHER) * 4))
        (answer,) = await stream.exchange(scene.peer.offer(letter))
        while isinstance(answer, Need):
            await one(LARGE)
            (answer,) = await stream.exchange(scene.peer.offer(letter))
        assert scene.told(answer) == ("received", "")
        kept = UUID(letter.envelope.document_id).bytes
        assert await part_of(scene.node, kept, 1) == LARGE


async def test_a_transfer_that_another_takes_over_ends_and_the_node_goes_on(scene: Scene) -> None:
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        await connection.transfer(letter, 0, letter.parts[0])
        first = await begun(connection, letter, 1, LARGE[:100_000])
        assert await connection.transfer(letter, 1, LARGE[100_000:]) == len(LARGE)
        await first.write(messages.TransferRequest(chunk=b"x"))
        with pytest.raises(Ended, match="PART_DIGEST_MISMATCH"):
            await _read_on(first)
        (answer,) = await stream.exchange(scene.peer.offer(letter))
        assert scene.told(answer) == ("received", "")


async def _read_on(stream: Stream) -> None:
    """What is on disk is told before the end is."""
    while True:
        await stream.read()


async def test_a_file_that_no_offer_knows_any_more_is_removed_at_the_next_start(
    scene: Scene,
) -> None:
    """A node may die after an offer is forgotten and before its files are gone."""
    staging = scene.node.data / "blobs" / "staging"
    orphan = staging / f"H29-{bytes(16).hex()}-0"
    orphan.write_bytes(b"left over")
    await scene.node.stop()
    await scene.node.start()
    await until(lambda: not orphan.exists())
