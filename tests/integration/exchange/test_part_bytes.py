"""Whatever way a part travels, the recipient's office reads exactly the bytes that were sent."""

import os
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from edoccore.errors import PartDigestError, StorageDamagedError
from edoccore.wire.status import raise_for
from edockit.blobs import BlobFolder
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.domain.model import INLINE_PARCEL_BYTES, INLINE_PART_BYTES
from edocnode.workers.parts import ShelfSource
from tests.integration.exchange.conftest import Scene
from tests.support.bad_peer import part
from tests.support.nodes import TestNode, make_pair, running


async def part_of(node: TestNode, document_id: bytes, index: int) -> bytes:
    """A part as the office of a node gets it."""
    request = offices.GetPartRequest(id=str(UUID(bytes=document_id)), index=index)
    async with node.office() as stub:
        return b"".join([answer.chunk async for answer in stub.GetPart(request)])


@pytest.mark.parametrize(
    "sizes",
    [
        (0, 1, INLINE_PART_BYTES),
        (INLINE_PART_BYTES + 1,),
        (100_000, 10, 100_000),
        (INLINE_PARCEL_BYTES, INLINE_PART_BYTES, 5),
    ],
)
async def test_parts_of_every_size_are_read_at_the_recipient(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    _, first, second = make_pair(tmp_path)
    contents = [os.urandom(size) for size in sizes]
    async with running(first, second):
        sent = await first.send(*contents, to=["G01"])
        await first.delivered(sent)
        for index, content in enumerate(contents, 1):
            assert await part_of(second, sent.document_id, index) == content


@pytest.mark.parametrize("size", [1_000, INLINE_PART_BYTES + 1])
async def test_t31_a_part_that_rotted_on_the_disk_is_never_read_as_sound(
    tmp_path: Path, size: int
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = await first.send(os.urandom(size), to=["G01"])
        await first.delivered(sent)
        for node, table in ((first, "document"), (second, "incoming")):
            for blob in (node.data / "blobs").glob("??/*"):
                content = bytearray(blob.read_bytes())
                content[size // 2] ^= 1
                blob.write_bytes(content)
            ((inline,),) = node.rows(f"SELECT inline FROM {table}")
            rotten = bytearray(inline)
            rotten[-1] ^= 1
            node.write(f"UPDATE {table} SET inline = x'{rotten.hex()}'")
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await part_of(node, sent.document_id, 1)
            assert isinstance(raise_for(failed.value), StorageDamagedError)


async def test_more_than_may_ride_inline_must_be_offered(scene: Scene) -> None:
    letter = scene.peer.letter(bytes(INLINE_PARCEL_BYTES))
    async with scene.peer.stream() as stream:
        (answer,) = await stream.exchange(scene.peer.parcel(letter))
        assert scene.told(answer) == ("refused", "LIMIT_EXCEEDED")
        await scene.good(stream)
    assert scene.node.inbox() == 100


@pytest.mark.parametrize("inline", [True, False])
async def test_an_offset_behind_the_end_is_the_asker_s_fault_and_no_damage(
    tmp_path: Path, inline: bool
) -> None:
    blobs = BlobFolder(tmp_path, reserve_bytes=0)
    content = os.urandom(INLINE_PART_BYTES + 1)
    stated = part(1, "a.pdf", content)
    blobs.put(content, stated.sha256)
    suspects: list[str] = []
    source = ShelfSource(stated, content if inline else None, blobs, suspects.append)
    for offset in (len(content) + 1, (1 << 64) - 1):
        with pytest.raises(PartDigestError, match="wanted from byte"):
            [chunk async for chunk in source.chunks(offset)]
    assert [chunk async for chunk in source.chunks(len(content))] == []
    assert suspects == []
