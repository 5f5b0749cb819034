"""The access history on a disk that is full: reading goes on, nothing is lost unseen."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from edoccore.errors import DiskFullError
from edocnode.domain.access_log import Access, AccessEntry, HistoryRequest, KeptEntry
from edocnode.domain.alarms import Alarm
from edocnode.workers import access_log
from edocnode.workers.access_log import ACCESS_LOST, AccessRecorder
from tests.support.nodes import until

NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Disk:
    """A history and alarms in memory, with or without room."""

    def __init__(self) -> None:
        self.has_room = True
        self.entries: list[AccessEntry] = []
        self.raised: list[str] = []

    async def write_access(self, entries: Sequence[AccessEntry]) -> None:
        if not self.has_room:
            raise DiskFullError
        self.entries += entries

    async def access_history(self, wanted: HistoryRequest) -> Sequence[KeptEntry]:
        return []

    async def forget_access(self, before: datetime, limit: int) -> int:
        return 0

    async def raise_alarm(
        self, kind: str, subject: str, message: str, at: datetime, proof: str = ""
    ) -> None:
        self.raised.append(kind)

    async def clear_alarm(self, kind: str, subject: str) -> None:
        self.raised.clear()

    async def alarms(self) -> Sequence[Alarm]:
        return []


def entry(number: int) -> AccessEntry:
    return AccessEntry(at=NOW, account="a", actor="An", action=Access.SHOWN, detail=str(number))


def recorder(disk: Disk) -> AccessRecorder:
    return AccessRecorder(disk, disk, lambda: NOW, keep=timedelta(days=1))


def test_entries_wait_no_longer_than_what_the_documents_promise() -> None:
    write_s = 0.5
    assert access_log.FLUSH_EVERY_S + write_s <= 1  # a second until an entry is on disk


async def test_entries_wait_for_room_and_keep_their_order() -> None:
    disk = Disk()
    records = recorder(disk)
    disk.has_room = False
    for number in range(5_000):
        records.record(entry(number))
    await records.flush()
    assert disk.entries == []
    disk.has_room = True
    await records.flush()
    await records.flush()
    assert [item.detail for item in disk.entries] == [str(number) for number in range(5_000)]
    assert disk.raised == []


async def test_what_was_lost_for_want_of_room_is_counted_and_told(monkeypatch) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING", 3)
    disk = Disk()
    records = recorder(disk)
    disk.has_room = False
    for number in range(5):
        records.record(entry(number))
    await records.flush()
    disk.has_room = True
    await records.flush()
    told = disk.entries[-1]
    assert (len(disk.entries), told.action, told.detail) == (4, Access.LOST, "2")
    assert disk.raised == [ACCESS_LOST]


class SlowDisk(Disk):
    """Has written what it was given before it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.says_so = asyncio.Event()

    async def write_access(self, entries: Sequence[AccessEntry]) -> None:
        await super().write_access(entries)
        await self.says_so.wait()


async def test_who_stops_while_entries_are_written_does_not_write_them_again() -> None:
    disk = SlowDisk()
    records = recorder(disk)
    records.record(entry(1))
    flushing = asyncio.create_task(records.flush())
    await until(lambda: disk.entries)
    flushing.cancel()
    records.record(entry(2))
    disk.says_so.set()
    await asyncio.gather(flushing, return_exceptions=True)
    assert flushing.cancelled()
    await records.flush()
    assert [item.detail for item in disk.entries] == ["1", "2"]
