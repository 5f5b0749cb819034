"""Parts a disk damaged or a restore lost: never served, told, and fetched from who had them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest

from edoccore.errors import AgencyUnknownError
from edoccore.wire.status import raise_for
from edockit.blobs import BlobFolder, FileMark
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import PeerLink
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from edocnode.storage.store import NodeStore, open_store
from edocnode.workers.repairing import Repairer
from edocnode.workers.setting_aside import SettingAside
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import SERVICE, BadPeer, BadRecipient, Letter
from tests.support.nodes import TestNode, make_node, make_pair, running, until, utc_now
from tests.support.ports import free_port

LARGE = bytes(range(256)) * 8_000  # two chunks and more
DIGEST = sha256(LARGE).hexdigest()


def blob(node: TestNode) -> Path:
    """Where the large part lies."""
    return DataFolder(node.data).blobs / DIGEST[:2] / DIGEST[2:]


def quarantine(node: TestNode) -> list[Path]:
    """What was set aside."""
    return sorted((DataFolder(node.data).blobs / "quarantine").glob("*"))


def flip_a_bit(path: Path) -> bytes:
    """Damages a file in its middle; returns its bytes."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return bytes(content)


async def read(node: TestNode, message_id: bytes) -> bytes | None:
    """The large part as an office gets it; None when it is refused as damaged."""
    try:
        return await node.part(message_id, 1)
    except grpc.aio.AioRpcError as error:
        if raise_for(error).reason != "STORAGE_DAMAGED":
            raise
        return None


async def is_back(node: TestNode) -> bool:
    """Whether the part is whole again and nobody is alarmed any more."""
    try:
        content = blob(node).read_bytes()
    except FileNotFoundError:  # set aside, also at this very moment
        return False
    return content == LARGE and "PART_DAMAGED" not in node.alarms()


@dataclass
class Delivered:
    """Two nodes, of which the first sent a large document to the second."""

    sender: TestNode
    recipient: TestNode
    message_id: bytes


@pytest.fixture
async def delivered(tmp_path: Path) -> Delivered:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = await first.send(LARGE, to=["G01"])
        await first.delivered(sent)
    return Delivered(first, second, sent.message_id)


async def test_t31_a_received_part_that_is_damaged_is_set_aside_and_fetched_from_its_sender(
    delivered: Delivered,
) -> None:
    node = delivered.recipient
    async with running(node):
        damaged = flip_a_bit(blob(node))
        assert await read(node, delivered.message_id) is None
        await until(lambda: "PART_DAMAGED" in node.alarms())
        assert [path.read_bytes() for path in quarantine(node)] == [damaged]
        assert await read(node, delivered.message_id) is None  # nothing is served meanwhile
        async with running(delivered.sender):
            node.write("UPDATE damaged_part SET next_at = 0")
            await until(lambda: is_back(node), within_s=60)
            assert await read(node, delivered.message_id) == LARGE
    assert len(quarantine(node)) == 1


class Nobody:
    """No node can be asked for anything."""

    def link(self, agency: str) -> PeerLink:
        """Knows no agency."""
        raise AgencyUnknownError(agency)


class MeanwhileThere(BlobFolder):
    """A folder where the sound part is put just before a damaged one is set aside."""

    def set_aside(self, sha256: str, judged: FileMark) -> Path | None:
        """Sets aside what was judged, if it is there still."""
        self.put(LARGE, sha256)
        return super().set_aside(sha256, judged)


async def test_t31_a_part_that_came_back_while_it_was_judged_is_not_set_aside(
    delivered: Delivered,
) -> None:
    """The scrubber reads a damaged file to its end while the repair puts the sound one there."""
    node = delivered.recipient
    flip_a_bit(blob(node))
    folder = DataFolder(node.data)
    database = open_store(f"sqlite:///{folder.database_file}")
    repairer = Repairer(
        store=NodeStore(database),
        blobs=MeanwhileThere(folder.blobs),
        links=Nobody(),
        aside=SettingAside("repair", "Repair", alarms=NodeStore(database), clock=utc_now),
        clock=utc_now,
    )
    assert await repairer.look_at(DIGEST)
    database.close()
    assert (quarantine(node), node.alarms(), blob(node).read_bytes()) == ([], {}, LARGE)


async def test_t31_parts_that_vanished_are_found_at_the_start_and_come_back(
    delivered: Delivered,
) -> None:
    blob(delivered.recipient).unlink()
    async with running(delivered.sender, delivered.recipient):
        await until(lambda: is_back(delivered.recipient), within_s=60)


async def test_t31_the_scrubber_finds_damage_that_nobody_reads(delivered: Delivered) -> None:
    node = delivered.recipient
    flip_a_bit(blob(node))
    async with running(delivered.sender, node):
        await until(lambda: quarantine(node), within_s=60)
        await until(lambda: is_back(node), within_s=60)


async def test_t31_a_sent_part_comes_back_from_a_recipient_and_what_was_held_goes_on(
    tmp_path: Path,
) -> None:
    nation, sender, recipient = make_pair(tmp_path)
    port = free_port()
    nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hải Dương", address=f"127.0.0.1:{port}")
    nation.publish()
    for node in (sender, recipient):
        DirectoryFiles(DataFolder(node.data).directory, nation.anchor).save(nation.directory())
    late = make_node(nation, nation.agencies["H30"], tmp_path / "H30", port=port)
    async with running(sender, recipient):
        sent = await sender.send(LARGE, to=["G01", "H30"])
        await until(lambda: sender.state(sent.message_id) == "delivered")
    async with running(sender, late):
        flip_a_bit(blob(sender))
        await until(lambda: sender.state(sent.message_ids[1]) == "held", within_s=60)
        assert late.inbox() == 0
        async with running(recipient):
            sender.write("UPDATE damaged_part SET next_at = 0")
            await until(lambda: is_back(sender), within_s=60)
            await sender.delivered(sent, within_s=60)
    assert late.inbox() == 1


async def test_a_sender_restored_without_its_parts_gets_them_back(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"old", to=["G01"]))
    yesterday = first.backup(tmp_path / "yesterday")
    async with running(first, second):
        sent = await first.send(b"small", LARGE, to=["G01"])
        await first.delivered(sent)
    first.restore(yesterday)
    async with running(first, second):
        held = "SELECT count(*) FROM document WHERE complete = 1"
        await until(lambda: first.count(held) == 2, within_s=60)
        parts = [await first.part(sent.document_id, index) for index in (1, 2)]
    assert parts == [b"small", LARGE]


async def fetched(peer: BadPeer, letter: Letter, index: int | None) -> bytes:
    """What a node gives of a part, or of the envelope, to whoever asks."""
    request = messages.FetchRequest(
        message_id=UUID(letter.message_id).bytes,
        envelope_digest=sha256(letter.data).digest(),
        index=index or 0,
        envelope=index is None,
    )
    async with peer.connect() as connection:
        call = connection.channel.unary_stream(
            f"{SERVICE}/Fetch",
            request_serializer=messages.FetchRequest.SerializeToString,
            response_deserializer=messages.FetchResponse.FromString,
        )
        return b"".join([answer.chunk async for answer in call(request)])


async def test_a_part_is_given_back_to_nobody_but_who_has_had_it(scene: Scene) -> None:
    letter = scene.peer.letter(b"for G01 alone")
    async with scene.peer.stream() as stream:
        await stream.exchange(scene.peer.parcel(letter))
    assert await fetched(scene.peer, letter, 1) == b"for G01 alone"
    assert await fetched(scene.peer, letter, None) == letter.data
    for index in (1, None):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await fetched(scene.other(), letter, index)
        assert raise_for(refused.value).reason == "DOCUMENT_UNKNOWN"
    for wrong in (letter.parts[0:1], ()):
        other = scene.peer.letter(*wrong, message_id=letter.message_id)
        with pytest.raises(grpc.aio.AioRpcError):
            await fetched(scene.peer, other, 1)
    with pytest.raises(grpc.aio.AioRpcError):
        await fetched(scene.peer, letter, 2)


async def test_a_part_is_not_given_to_a_recipient_that_never_acknowledged_it(
    tmp_path: Path,
) -> None:
    """Whoever refuses a document does not get it by the back door."""
    port = free_port()
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    async with running(node):
        sent = await node.send(b"never acknowledged", to=["H29"])
        await until(lambda: node.state(sent.message_id) != "unsealed")
        (envelope,) = node.rows("SELECT data FROM delivery_envelope")[0]
        caller = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        request = messages.FetchRequest(
            message_id=sent.message_id, envelope_digest=sha256(envelope).digest(), index=1
        )
        async with caller.connect() as connection:
            call = connection.channel.unary_stream(
                f"{SERVICE}/Fetch",
                request_serializer=messages.FetchRequest.SerializeToString,
                response_deserializer=messages.FetchResponse.FromString,
            )
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await anext(aiter(call(request)))
    assert raise_for(refused.value).reason == "DOCUMENT_UNKNOWN"


class BadSource(BadRecipient):
    """Gives back whatever a test wants."""

    given = b""
    asked: list[int]

    async def Fetch(  # noqa: N802
        self, request: messages.FetchRequest, context: Any
    ) -> AsyncIterator[messages.FetchResponse]:
        """Gives it back."""
        self.asked.append(request.offset)
        for start in range(request.offset, len(self.given), 500_000):
            yield messages.FetchResponse(chunk=self.given[start : start + 500_000])


@contextlib.asynccontextmanager
async def damaged_at_g01(tmp_path: Path) -> AsyncIterator[tuple[TestNode, BadSource]]:
    """A node of G01 whose large part, received from H29, vanished."""
    port = free_port()
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    source = BadSource(nation, nation.agencies["H29"], port)
    source.asked = []
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        letter = peer.letter(LARGE)
        async with peer.connect() as connection, connection.stream() as stream:
            await stream.exchange(peer.offer(letter))
            for index, content in enumerate(letter.parts):
                await connection.transfer(letter, index, *_chunks(content))
            await stream.exchange(peer.offer(letter))
    assert blob(node).exists()
    blob(node).unlink()
    async with source.serve(), running(node):
        yield node, source


def _chunks(content: bytes) -> list[bytes]:
    return [content[start : start + 900_000] for start in range(0, len(content), 900_000)]


BENDS: dict[str, Callable[[bytes], bytes]] = {
    "other bytes": lambda content: content[:-1] + b"\x00",
    "a byte more": lambda content: content + b"\x00",
}


@pytest.mark.parametrize("bend", BENDS)
async def test_bytes_of_another_digest_are_never_put_back(tmp_path: Path, bend: str) -> None:
    async with damaged_at_g01(tmp_path) as (node, source):
        source.given = BENDS[bend](LARGE)
        tries = "SELECT count(*) FROM damaged_part WHERE attempts > 0"
        await until(lambda: node.count(tries), within_s=60)
        assert not blob(node).exists()
        await until(lambda: "PART_DAMAGED" in node.alarms())
        source.given = LARGE
        node.write("UPDATE damaged_part SET next_at = 0")
        await until(lambda: is_back(node), within_s=60)
        assert source.asked == [0, 0]  # nothing of the wrong bytes was kept


async def test_a_part_that_breaks_off_goes_on_from_what_came(tmp_path: Path) -> None:
    async with damaged_at_g01(tmp_path) as (node, source):
        source.given = LARGE[:1_500_000]
        tries = "SELECT count(*) FROM damaged_part WHERE attempts > 0"
        await until(lambda: node.count(tries), within_s=60)
        source.given = LARGE
        node.write("UPDATE damaged_part SET next_at = 0")
        await until(lambda: is_back(node), within_s=60)
        assert source.asked == [0, 1_500_000]


async def test_many_damaged_parts_do_not_stop_one_another(delivered: Delivered) -> None:
    node = delivered.recipient
    async with running(delivered.sender, node):
        others = [bytes([number]) * 100_000 for number in range(5)]
        sent = [await delivered.sender.send(content, to=["G01"]) for content in others]
        await delivered.sender.delivered(*sent)
        places = [DataFolder(node.data).blobs / sha256(c).hexdigest()[:2] for c in others]
        assert all(place.is_dir() for place in places)
    for path in DataFolder(node.data).blobs.glob("??/*"):
        path.unlink()
    async with running(delivered.sender, node):
        await until(lambda: len(list(DataFolder(node.data).blobs.glob("??/*"))) == 6, within_s=60)
        await asyncio.sleep(0)
        await until(lambda: "PART_DAMAGED" not in node.alarms())


def change_small_part(node: TestNode, table: str) -> None:
    """Changes the last byte of the small parts in the database, as a disk would."""
    changed = "CAST(substr(inline, 1, length(inline) - 1) || '?' AS BLOB)"
    node.write(f"UPDATE {table} SET inline = {changed}")


async def test_t31_a_small_part_that_changed_in_the_database_is_not_served_and_comes_back(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(b"small", b"other", to=["G01"])
        await sender.delivered(sent)
    async with running(recipient):
        change_small_part(recipient, "incoming")
        assert await recipient.part(sent.document_id, 1) == b"small"
        with pytest.raises(grpc.aio.AioRpcError, match="other bytes in the database"):
            await recipient.part(sent.document_id, 2)
        await until(lambda: "PART_DAMAGED" in recipient.alarms())
        async with running(sender):
            # A try that failed while the sender was down is made again after a minute.
            await until(lambda: "PART_DAMAGED" not in recipient.alarms(), within_s=90)
            assert await recipient.part(sent.document_id, 2) == b"other"
    assert recipient.count("SELECT count(*) FROM damaged_message") == 0


@pytest.mark.parametrize("table", ["document", "incoming"])
async def test_t31_the_scrubber_finds_what_changed_in_the_database(
    tmp_path: Path, table: str
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(b"small", to=["G01"])
        await sender.delivered(sent)
    node = sender if table == "document" else recipient
    sound = node.rows(f"SELECT inline FROM {table}")
    change_small_part(node, table)
    async with running(sender, recipient):
        await until(lambda: node.rows(f"SELECT inline FROM {table}") == sound, within_s=60)
        await until(lambda: "PART_DAMAGED" not in node.alarms())
        assert await node.part(sent.document_id, 1) == b"small"


async def test_t31_an_envelope_that_changed_in_the_database_is_told_and_comes_back(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        await sender.delivered(await sender.send(b"small", to=["G01"]))
    row = recipient.rows("SELECT envelope, inline FROM incoming")
    recipient.write(
        "UPDATE incoming SET envelope = CAST(replace(envelope, 'H29', 'H28') AS BLOB), "
        "inline = CAST(replace(inline, 'small', 'spoilt') AS BLOB)"
    )
    spoilt = recipient.rows("SELECT envelope, inline FROM incoming")
    async with running(recipient):
        await until(lambda: "PART_DAMAGED" in recipient.alarms(), within_s=60)
        assert recipient.rows("SELECT envelope, inline FROM incoming") == spoilt
        async with running(sender):
            await until(lambda: "PART_DAMAGED" not in recipient.alarms(), within_s=90)
    assert recipient.rows("SELECT envelope, inline FROM incoming") == row


@pytest.mark.parametrize("bend", BENDS)
async def test_t31_of_an_envelope_nothing_else_is_put_back_than_what_had_arrived(
    tmp_path: Path, bend: str
) -> None:
    async with damaged_at_g01(tmp_path) as (node, source):
        source.given = LARGE
        await until(lambda: is_back(node), within_s=60)
    ((envelope,),) = node.rows("SELECT envelope FROM incoming")
    node.write("UPDATE incoming SET envelope = x'7b7d'")
    source.asked, source.given = [], BENDS[bend](envelope)
    async with source.serve(), running(node):
        await until(lambda: source.asked, within_s=60)
        await asyncio.sleep(0.2)
        assert node.rows("SELECT envelope FROM incoming") == [(b"{}",)]
        assert "PART_DAMAGED" in node.alarms()
    source.given = envelope
    async with source.serve(), running(node):
        await until(lambda: "PART_DAMAGED" not in node.alarms(), within_s=60)
    assert node.rows("SELECT envelope FROM incoming") == [(envelope,)]
