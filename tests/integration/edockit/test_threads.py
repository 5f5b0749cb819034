"""What a thread opens belongs to somebody, also when the task that wanted it is gone."""

import asyncio
import threading
from pathlib import Path

import pytest

from edoccore.errors import StorageDamagedError
from edockit.blobs import BlobFolder, StagingFile
from edockit.threads import opened_in_thread


async def test_what_was_opened_is_handed_over(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    with await opened_in_thread(lambda: blobs.open_staging("m-1"), StagingFile.close) as file:
        assert file.append(b"there") == 5


async def test_what_is_opened_after_its_task_was_cancelled_is_given_back(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    asked, may_open, removed = threading.Event(), threading.Event(), asyncio.Event()

    def open_late() -> StagingFile:
        asked.set()
        assert may_open.wait(30)
        return blobs.open_staging("m-1")

    def remove(file: StagingFile) -> None:
        file.close()
        blobs.discard("m-1")
        removed.set()

    task = asyncio.create_task(opened_in_thread(open_late, remove))
    assert await asyncio.to_thread(asked.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_open.set()
    async with asyncio.timeout(60):
        await removed.wait()
    assert list(blobs.iter_staging()) == []


async def test_a_failure_to_open_is_raised(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    with pytest.raises(StorageDamagedError):
        await opened_in_thread(lambda: blobs.open_staging("m-1", 4), StagingFile.close)
