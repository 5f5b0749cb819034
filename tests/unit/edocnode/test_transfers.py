"""The intake of a part: how far it reads ahead of the disk, and when it tells the sender."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from edocnode.rpc import transfers
from edocnode.rpc.transfers import CHUNKS_AHEAD, Intake


class Part:
    """A part in memory, whose disk takes bytes only while it is let."""

    complete = False

    def __init__(self) -> None:
        self.offset = 0
        self.batches: list[int] = []
        self.free = asyncio.Event()
        self.synced = asyncio.Event()

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Takes bytes."""
        await self.free.wait()
        self.batches.append(len(chunks))

    async def progress(self, after: int) -> int:
        """Waits for ``synced``."""
        await self.synced.wait()
        self.synced.clear()
        self.offset = after + 1
        return self.offset

    async def finish(self) -> None:
        """Does nothing."""

    async def close(self) -> None:
        """Does nothing."""


class Line:
    """Chunks that come as fast as they are read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of them."""
        for _ in range(self.count):
            self.read += 1
            yield b"x"


async def settled() -> None:
    """Lets everything go on until it waits."""
    for _ in range(50):
        await asyncio.sleep(0)


async def nothing() -> None:
    """Says nothing."""


async def test_no_more_is_read_than_may_wait_for_the_disk() -> None:
    part, line, places = Part(), Line(100), asyncio.Semaphore(100)
    run = asyncio.create_task(Intake(part, places, nothing).run(line.chunks(), lambda: None))
    await settled()
    assert CHUNKS_AHEAD <= line.read <= 2 * CHUNKS_AHEAD + 1
    part.free.set()
    await run
    assert sum(part.batches) == 100
    assert max(part.batches) > 1


async def test_all_parts_of_an_agency_share_their_places_and_give_them_back() -> None:
    places = asyncio.Semaphore(3)
    parts, lines = [Part(), Part()], [Line(50), Line(50)]
    runs = [
        asyncio.create_task(Intake(part, places, nothing).run(line.chunks(), lambda: None))
        for part, line in zip(parts, lines, strict=True)
    ]
    await settled()
    assert sum(line.read for line in lines) <= 3 + len(lines)  # one each waits for a place
    runs[0].cancel()
    for part in parts:
        part.free.set()
    await runs[1]
    assert sum(parts[1].batches) == 50
    await asyncio.gather(*runs, return_exceptions=True)
    for _ in range(3):
        await asyncio.wait_for(places.acquire(), 60)


async def test_the_sender_hears_when_more_is_on_disk_though_nothing_comes_any_more() -> None:
    part, said = Part(), asyncio.Event()
    part.free.set()

    async def say() -> None:
        said.set()

    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    run = asyncio.create_task(Intake(part, asyncio.Semaphore(1), say).run(silent(), lambda: None))
    await settled()
    said.clear()
    part.synced.set()
    await asyncio.wait_for(said.wait(), 60)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


@pytest.mark.parametrize(("every_s", "words"), [(0.0, 3), (3600.0, 1)])
async def test_bytes_too_few_for_an_fsync_are_told_of_at_times(
    every_s: float, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "WORD_EVERY", transfers.timedelta(seconds=every_s))
    monkeypatch.setattr(transfers, "CHUNKS_AHEAD", 1)
    part, said = Part(), []
    part.free.set()

    async def say() -> None:
        said.append(part.offset)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            await asyncio.sleep(0.02)

    await Intake(part, asyncio.Semaphore(4), say).run(slowly(), lambda: None)
    assert len(said) == words


async def test_what_ends_the_check_ends_the_transfer() -> None:
    part = Part()
    part.free.set()

    def check() -> None:
        raise PermissionError

    with pytest.raises(ExceptionGroup) as told:
        await Intake(part, asyncio.Semaphore(4), nothing).run(Line(9).chunks(), check)
    assert told.group_contains(PermissionError)
    assert part.batches == []
