"""A part on its way to a real disk: what is written and fsynced at the same time, and how far."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import PartDigestError, StorageFailedError
from edockit.blobs import BlobFolder
from edocnode.domain.model import MessageId, StagedPart
from edocnode.workers.incoming import STEP_BYTES, Incoming
from tests.support.nodes import until

MIB = 1 << 20
CONTENT = os.urandom(3 * STEP_BYTES)
CHUNKS = [CONTENT[at : at + MIB] for at in range(0, len(CONTENT), MIB)]
STEP = STEP_BYTES // MIB  # chunks


class Noted:
    """Keeps in memory what a database would of a part's progress."""

    def __init__(self) -> None:
        self.parts: list[StagedPart] = []

    async def progress(self, part: StagedPart) -> None:
        """Notes it."""
        self.parts.append(part)

    @property
    def offsets(self) -> list[int]:
        """All that was ever noted."""
        return [part.offset for part in self.parts]


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
async def incoming(tmp_path: Path, noted: Noted) -> Incoming:
    part = StagedPart(
        sender="G01",
        message_id=MessageId(bytes(16)),
        index=1,
        size=len(CONTENT),
        sha256=sha256(CONTENT).digest(),
        offset=0,
        complete=False,
    )
    inbox: Any = noted  # of the port only what a part needs
    made = Incoming(part, inbox, BlobFolder(tmp_path, reserve_bytes=0))
    await made.open()
    return made


class SlowDisk(threading.Event):
    """Set: fsyncs end.

    Attributes:
        begun: Set once an fsync was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    """Lets fsyncs end while it is set."""
    goes_on, fsync = SlowDisk(), os.fsync

    def slow(descriptor: int) -> None:
        goes_on.begun.set()
        goes_on.wait()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    yield goes_on
    goes_on.set()


async def test_bytes_are_written_while_those_before_them_are_fsynced(
    incoming: Incoming, noted: Noted, disk: SlowDisk
) -> None:
    await incoming.write(CHUNKS[:STEP])
    await until(disk.begun.is_set)
    await incoming.write(CHUNKS[STEP : STEP + 1])
    assert (incoming.offset, noted.offsets) == (0, [])
    disk.set()
    assert await incoming.progress(0) == STEP_BYTES  # what came meanwhile does not count
    await incoming.write(CHUNKS[STEP + 1 :])
    await incoming.finish()
    assert incoming.complete
    assert noted.offsets[-1] == len(CONTENT)
    await incoming.close()


async def test_writing_waits_when_the_disk_is_two_steps_behind(
    incoming: Incoming, disk: SlowDisk
) -> None:
    await incoming.write(CHUNKS[:STEP])
    more = asyncio.create_task(incoming.write(CHUNKS[STEP:]))
    await asyncio.sleep(0.3)
    assert not more.done()
    disk.set()
    await more
    assert incoming.offset >= STEP_BYTES
    await incoming.close()
    assert incoming.offset == len(CONTENT)


async def test_a_failed_fsync_beside_the_writing_ends_it_and_is_never_repeated(
    incoming: Incoming, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def failing(descriptor: int) -> None:
        asked.append(descriptor)
        raise OSError(errno.EIO, "failing disk")

    monkeypatch.setattr(os, "fsync", failing)
    await incoming.write(CHUNKS[:STEP])
    with pytest.raises(StorageFailedError):
        await incoming.progress(0)
    with pytest.raises(PartDigestError):
        await incoming.write(CHUNKS[STEP:])
    with pytest.raises(PartDigestError):
        await incoming.finish()
    await incoming.close()
    assert len(asked) == 1
    assert (incoming.offset, noted.offsets) == (0, [])


async def test_a_failed_fsync_that_nobody_waits_for_is_told_at_the_end(
    incoming: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "failing disk")

    monkeypatch.setattr(os, "fsync", failing)
    await incoming.write(CHUNKS[:STEP])
    with pytest.raises(StorageFailedError):
        await incoming.close()


async def test_what_came_is_on_disk_after_an_end_before_the_end(
    incoming: Incoming, noted: Noted
) -> None:
    await incoming.write(CHUNKS[:1])
    await incoming.close()
    assert noted.offsets == [MIB]
    with pytest.raises(PartDigestError):
        await incoming.write(CHUNKS[1:])
