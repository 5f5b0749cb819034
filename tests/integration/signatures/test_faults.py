"""One document that this program cannot check holds up no other, and never counts as checked."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from edoccore.errors import StorageFailedError
from edockit.database import Database
from edocnode.domain.model import DocumentId
from edocnode.domain.office_model import PageRequest
from edocnode.domain.signature_checks import CheckerAwayError, SignatureCheck
from edocnode.domain.signatures import (
    LegalStatus,
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    part_verdict,
)
from edocnode.signatures.process import CheckingProcess
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from edocnode.workers import signature_checks
from edocnode.workers.signature_checks import ALARM, AsideWatch, SignatureCheckLoop
from tests.integration.storage.offices import NOW, submission
from tests.support.nodes import until
from tests.support.stores import open_in_memory

CRAFTED, SOUND = b"crafted", b"sound"


@dataclass
class Reader:
    """A checker that finds no signature, but for one content that it meets with an error."""

    error: BaseException | None = None
    away: Exception | None = None
    met: Counter[bytes] = field(default_factory=Counter)

    async def check(self, part: PartToCheck) -> PartVerdict:
        if self.away is not None:
            raise self.away
        self.met[part.data] += 1
        if part.data == CRAFTED and self.error is not None:
            raise self.error
        return part_verdict(part, PartState.CHECKED, Reason.UNSIGNED)


class Nobody:
    """Whoever hears of damage: there is none."""

    def suspect(self, digest: str) -> None:
        raise AssertionError(f"{digest} was sound")

    def suspect_document(self, document_id: bytes) -> None:
        raise AssertionError(f"{document_id.hex()} was sound")


@pytest.fixture
def database() -> Iterator[Database]:
    opened = open_in_memory()
    yield opened
    opened.close()


@dataclass
class Place:
    """A node's store with a crafted document that was handed in before sound ones."""

    database: Database
    store: NodeStore
    crafted: DocumentId

    def loop(self, checker: Reader) -> SignatureCheckLoop:
        """As a node has it after each start."""
        return SignatureCheckLoop(
            store=self.store,
            checker=checker,
            path_of=Path,
            content_of=lambda _document, _part: None,
            suspects=Nobody(),
            impossible=None,
            watch=AsideWatch(self.store, self.store, agency="H29", clock=lambda: NOW),
            clock=lambda: NOW,
        )

    async def checks(self) -> dict[DocumentId, SignatureCheck]:
        found = {}
        for entry in (await SqlOffice(self.database).outbox(PageRequest())).entries:
            assert entry.document.signatures is not None
            found[entry.document.document_id] = entry.document.signatures
        return found

    async def is_done(self) -> bool:
        return await self.store.waiting_checks() == 0

    async def alarm(self) -> str:
        return next((a.message for a in await self.store.alarms() if a.kind == ALARM), "")

    async def is_calm(self) -> bool:
        return await self.is_done() and not await self.alarm()


@pytest.fixture
async def place(database: Database) -> Place:
    store = NodeStore(database)
    kept = [await store.submit(submission(content=each)) for each in (CRAFTED, *[SOUND] * 3)]
    return Place(database, store, kept[0].document_id)


@contextlib.asynccontextmanager
async def running(loop: SignatureCheckLoop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


FAULTS: Sequence[tuple[Exception, Reason]] = [
    (RecursionError("maximum recursion depth exceeded"), Reason.CRASHED),
    (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), Reason.CRASHED),
    (MemoryError(), Reason.OUT_OF_MEMORY),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=lambda each: type(each).__name__)
async def test_document_that_this_program_cannot_check_is_set_aside_and_the_others_are_checked(
    place: Place, fault: Exception, reason: Reason
) -> None:
    async with running(place.loop(Reader(fault))) as task:
        told = await until(place.alarm, within_s=60)
        await until(place.is_done, within_s=60)
        assert not task.done()
    assert "signatures recheck" in told
    checks = await place.checks()
    aside = checks.pop(place.crafted)
    assert (aside.legal_status, aside.reasons) == (LegalStatus.NOT_CHECKED, (reason,))
    assert {each.legal_status for each in checks.values()} == {LegalStatus.REFERENCE_ONLY}


async def test_document_that_was_set_aside_is_checked_again_only_when_somebody_asks(
    place: Place,
) -> None:
    checker = Reader(RecursionError())
    async with running(place.loop(checker)):
        await until(place.alarm, within_s=60)
        await until(place.is_done, within_s=60)
    await place.store.submit(submission(content=b"later"))
    async with running(place.loop(checker)):
        await until(place.is_done, within_s=60)
        assert await place.alarm()
    assert checker.met == {CRAFTED: 1, SOUND: 3, b"later": 1}
    mended = place.loop(Reader())
    async with running(mended):
        assert await mended.recheck([place.crafted]) == 1
        await until(place.is_calm, within_s=60)
    assert (await place.checks())[place.crafted].legal_status is LegalStatus.REFERENCE_ONLY


async def test_document_whose_parts_cannot_be_listed_is_set_aside(place: Place) -> None:
    garble = sa.text("UPDATE document SET parts = :no WHERE document_id = :of")
    values = {"no": b"{" * 5000, "of": place.crafted}
    await place.database.awrite(lambda connection: connection.execute(garble, values))
    async with running(place.loop(Reader())):
        await until(place.alarm, within_s=60)
        await until(place.is_done, within_s=60)
    assert await place.store.checks_set_aside(10) == [place.crafted]


async def test_checker_that_cannot_start_is_waited_for_and_no_document_is_blamed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_checks, "AWAY_WAIT", signature_checks.LOOK_EVERY)
    checker = Reader(away=CheckerAwayError("no memory"))
    async with running(place.loop(checker)) as task:
        with pytest.raises(AssertionError):
            await until(place.is_done, within_s=3)
        assert not task.done()
        checker.away = None
        await until(place.is_done, within_s=60)
    assert await place.store.checks_set_aside(10) == []


async def test_process_that_cannot_start_says_that_it_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust = TrustSettings(
        stores=(StoreSettings(name="a", folder="/", kind="any"),),
        crl_folder="", signer_rules="", strict=False,
    )  # fmt: skip
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    process = CheckingProcess(trust, largest_bytes=100)
    part = PartToCheck(
        index=1, name="a.pdf", kind="pdf", size=1, sha256="0" * 64, known_at=NOW, data=b"a"
    )
    with pytest.raises(CheckerAwayError):
        await process.check(part)


async def test_disk_that_failed_ends_the_loop_and_sets_nothing_aside(place: Place) -> None:
    async with running(place.loop(Reader(StorageFailedError("the disk failed")))) as task:
        await asyncio.wait([task], timeout=60)
        assert task.done()
        assert isinstance(task.exception(), StorageFailedError)
    assert await place.store.checks_set_aside(10) == []
