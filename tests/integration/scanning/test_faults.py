"""One document that this program cannot judge holds up no other, and is never shown."""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from edoccore.errors import StorageFailedError
from edockit.database import Database
from edocnode.domain.model import Arrival
from edocnode.domain.scanning import MOST_BREAKS, Cause, Finding, ScanPart, ScanState
from edocnode.storage.store import NodeStore
from edocnode.workers.scanning import AWAY, QuarantineWatch, ScanLoop, Telling
from tests.integration.scanning.test_turns import Nobody, no_directory
from tests.integration.storage.offices import NOW, Office, arrival, submission
from tests.support.nodes import until
from tests.support.stores import open_in_memory

CRAFTED, SOUND = b"crafted", b"sound"


class Passing:
    """A clock on which a minute passes with every look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@dataclass
class Parser:
    """A scanner that finds all clean, but for one content that it meets with an error."""

    error: BaseException | None = None
    unproven: Exception | None = None
    met: Counter[bytes] = field(default_factory=Counter)

    async def trusted(self) -> str:
        if self.unproven is not None:
            raise self.unproven
        return "1"

    async def alive(self) -> bool:
        return True

    async def scan(self, part: ScanPart) -> Finding | None:
        if part.index == 0:
            return None
        self.met[part.data] += 1
        if part.data == CRAFTED and self.error is not None:
            raise self.error
        return None


@pytest.fixture
def database() -> Iterator[Database]:
    opened = open_in_memory()
    yield opened
    opened.close()


@dataclass
class Place:
    """A node's store, with a crafted document that came before sound ones."""

    store: NodeStore
    crafted: Arrival
    sound: list[Arrival]

    def loop(self, scanner: Parser) -> ScanLoop:
        """As a node has it after each start."""
        telling = Telling(agency="H29", directory=no_directory, clock=Passing())
        return ScanLoop(
            store=self.store,
            scanner=scanner,
            alarms=self.store,
            watch=QuarantineWatch(self.store, self.store, telling),
            telling=telling,
            suspects=Nobody(),
            sealer=Nobody(),
            at_once=1,
        )

    async def states(self) -> tuple[ScanState, set[ScanState]]:
        """Of the crafted document, and of the others."""
        found = {}
        for each in (self.crafted, *self.sound):
            entry = await self.store.scan_entry(each.message_id)
            assert entry is not None
            found[each.message_id] = entry.state
        return found.pop(self.crafted.message_id), set(found.values())

    async def scanned(self) -> bool:
        return await self.store.waiting_scans() == 0


@pytest.fixture
async def place(database: Database) -> Place:
    store = NodeStore(database, scans=True)
    office = Office("H29", store)
    await office.open()
    peer = Office("G01")
    made = [submission("G01", ["H29"], content=each) for each in (CRAFTED, *[SOUND] * 5)]
    came = [arrival(peer.envelope(each), each.inline) for each in made]
    await store.keep(came)
    await office.seal_all()
    return Place(store, came[0], came[1:])


@contextlib.asynccontextmanager
async def running(loop: ScanLoop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


FAULTS = [
    RecursionError("maximum recursion depth exceeded"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    MemoryError(),
    KeyError("a bug"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_document_that_this_program_cannot_scan_is_held_and_the_others_are_scanned(
    place: Place, fault: Exception
) -> None:
    scanner = Parser(fault)
    async with running(place.loop(scanner)) as task:
        await until(place.scanned, within_s=60)
        assert await place.states() == (ScanState.HELD, {ScanState.CLEAN})
        [kept] = await place.store.scans(0, 10)
        assert kept.finding is not None
        assert (kept.finding.cause, kept.shown, kept.blocked) == (Cause.FAILED, False, True)
        assert type(fault).__name__ in kept.finding.detail

        async def told() -> bool:
            return "scan.failed" in str(await place.store.alarms())

        await until(told, within_s=60)
        assert not task.done()
    assert scanner.met[CRAFTED] == MOST_BREAKS


async def test_held_document_is_not_tried_again_after_a_restart(place: Place) -> None:
    scanner = Parser(RecursionError())
    async with running(place.loop(scanner)):
        await until(place.scanned, within_s=60)
    async with running(place.loop(scanner)):
        again = [each.message_id for each in place.sound]
        await place.store.scan_again(again)
        await until(place.scanned, within_s=60)
    assert scanner.met == {CRAFTED: MOST_BREAKS, SOUND: 2 * len(place.sound)}
    await place.store.scan_again([place.crafted.message_id])  # as an update of the program would
    async with running(place.loop(Parser())):
        await until(place.scanned, within_s=60)
    assert await place.states() == (ScanState.CLEAN, {ScanState.CLEAN})


async def test_tries_are_counted_over_restarts(place: Place) -> None:
    scanner = Parser(RecursionError())
    for tries in range(1, MOST_BREAKS + 1):
        async with running(place.loop(scanner)):
            await until(functools.partial(is_kept, place, tries), within_s=60)
    assert scanner.met[CRAFTED] <= MOST_BREAKS
    assert await place.states() == (ScanState.HELD, {ScanState.CLEAN})


async def is_kept(place: Place, tries: int) -> bool:
    """Whether so many tries, or the last one, were kept, and all else is done."""
    found = await place.store.broken_scans(NOW + timedelta(days=9))
    state, others = await place.states()
    if others != {ScanState.CLEAN}:
        return False
    return state is ScanState.HELD or (found is not None and found.breaks >= tries)


async def test_document_whose_envelope_cannot_be_read_is_held(
    place: Place, database: Database
) -> None:
    garble = sa.text("UPDATE incoming SET envelope = :no WHERE message_id = :of")
    values = {"no": b"{" * 5000, "of": place.crafted.message_id}
    await database.awrite(lambda connection: connection.execute(garble, values))
    async with running(place.loop(Parser())):
        await until(place.scanned, within_s=60)
    assert await place.states() == (ScanState.HELD, {ScanState.CLEAN})


async def test_scanner_whose_proof_meets_a_fault_is_away_and_no_document_is_blamed(
    place: Place,
) -> None:
    scanner = Parser(unproven=ValueError("no version"))

    async def is_away() -> bool:
        return any(each.kind == AWAY for each in await place.store.alarms())

    async with running(place.loop(scanner)):
        await until(is_away, within_s=60)
        assert await place.states() == (ScanState.WAITING, {ScanState.WAITING})
        scanner.unproven = None
        await until(place.scanned, within_s=60)
    assert await place.states() == (ScanState.CLEAN, {ScanState.CLEAN})


async def test_disk_that_failed_ends_the_loop_and_blames_no_document(place: Place) -> None:
    scanner = Parser(StorageFailedError("the disk failed"))
    async with running(place.loop(scanner)) as task:
        await asyncio.wait([task], timeout=60)
        assert task.done()
        assert isinstance(task.exception(), StorageFailedError)
    crafted, _ = await place.states()
    assert crafted is ScanState.WAITING
