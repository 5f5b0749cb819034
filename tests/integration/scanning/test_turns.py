"""Who is scanned when: senders in turns, and no more at once than the setting says."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from edoccore.directory.view import Directory
from edockit.database import Database
from edocnode.domain.scanning import Finding, ScanPart
from edocnode.storage.store import NodeStore
from edocnode.workers.scanning import QuarantineWatch, ScanLoop, Telling
from tests.integration.storage.offices import NOW, Office, arrival, submission
from tests.support.nodes import until
from tests.support.stores import open_in_memory

SENDERS = [f"G{number:02}" for number in range(1, 10)]
EACH = 3


@dataclass
class Watcher:
    """A scanner that finds all clean, and notes whose documents came and how many at once."""

    order: list[str] = field(default_factory=list)
    busy: int = 0
    most_at_once: int = 0

    async def trusted(self) -> str:
        return "1"

    async def alive(self) -> bool:
        return True

    async def scan(self, part: ScanPart) -> Finding | None:
        if part.index == 1:
            self.order.append(part.data.decode())
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        await asyncio.sleep(0.001)  # others get their turn meanwhile, if they may run
        self.busy -= 1
        return None


class Nobody:
    """Whoever hears of damage or of something to be sealed: clean ones bring none."""

    def wake(self) -> None:
        raise AssertionError("nothing was to be sealed")

    def suspect(self, digest: str) -> None:
        raise AssertionError(f"{digest} was sound")

    def suspect_document(self, document_id: bytes) -> None:
        raise AssertionError(f"{document_id.hex()} was sound")


@pytest.fixture
def database() -> Iterator[Database]:
    opened = open_in_memory()
    yield opened
    opened.close()


def no_directory() -> Directory:
    raise AssertionError("nobody was to be told")


def loop_of(store: NodeStore, scanner: Watcher, at_once: int) -> ScanLoop:
    telling = Telling(agency="H29", directory=no_directory, clock=lambda: NOW)
    return ScanLoop(
        store=store,
        scanner=scanner,
        alarms=store,
        watch=QuarantineWatch(store, store, telling),
        telling=telling,
        suspects=Nobody(),
        sealer=Nobody(),
        at_once=at_once,
    )


async def all_scanned(database: Database, at_once: int) -> Watcher:
    """Lets documents of many senders be scanned; each brought all of his before the next."""
    store = NodeStore(database, scans=True)
    office = Office("H29", store)
    await office.open()
    for sender in SENDERS:
        peer = Office(sender)
        made = [submission(sender, ["H29"], content=sender.encode()) for _ in range(EACH)]
        await store.keep([arrival(peer.envelope(item), item.inline) for item in made])
    await office.seal_all()
    scanner = Watcher()
    running = asyncio.create_task(loop_of(store, scanner, at_once).run())

    async def is_done() -> bool:
        return await store.waiting_scans() == 0

    try:
        await until(is_done, within_s=60)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return scanner


async def test_every_sender_has_a_turn_before_any_has_a_second(database: Database) -> None:
    scanner = await all_scanned(database, at_once=1)
    assert sorted(scanner.order) == sorted(SENDERS * EACH)
    assert set(scanner.order[: len(SENDERS)]) == set(SENDERS)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_is_scanned_at_once_than_the_setting_says(
    database: Database, at_once: int
) -> None:
    scanner = await all_scanned(database, at_once=at_once)
    assert scanner.most_at_once == at_once
