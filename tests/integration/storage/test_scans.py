"""What waits for its scan, what was found, and what became of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from edoccore.office_errors import DocumentHeldError
from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.holds import Hold
from edocnode.domain.model import DocumentId, IncomingId, Lane, MessageId
from edocnode.domain.scanning import (
    Cause,
    Discard,
    Finding,
    ScanJob,
    ScanOutcome,
    ScanState,
    Waiting,
    unjudged,
)
from edocnode.storage.holds import SqlHolds
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, arrival, submission

SALTS = (bytes(16), bytes(16))
FINDING = Finding(cause=Cause.MALWARE, part=1, name="Quyết định.pdf", detail="Test")
TOO_LARGE = Finding(cause=Cause.TOO_LARGE, part=1, name="Quyết định.pdf", detail="")


@pytest.fixture
def store(database: Database) -> NodeStore:
    """Of a node that scans."""
    return NodeStore(database, scans=True)


async def arrived(office: Office, sender: str, count: int = 1, **more: Any) -> list[IncomingId]:
    """Documents of a sender that were kept and receipted, and wait for their scan."""
    assert office.store is not None
    peer = Office(sender)
    made = [submission(sender, ["H29"], **more) for _ in range(count)]
    kept = await office.store.keep([arrival(peer.envelope(each), each.inline) for each in made])
    await office.seal_all()
    return [each.known.incoming_id for each in kept]


async def job_of(store: NodeStore, incoming_id: IncomingId) -> ScanJob:
    job = await store.scan_job(incoming_id)
    assert job is not None
    return job


async def settled(
    store: NodeStore, incoming_id: IncomingId, state: ScanState, finding: Finding | None = None
) -> ScanJob:
    """Keeps what a scan found."""
    job = await job_of(store, incoming_id)
    assert await store.settle_scan(outcome(job, state, finding), SALTS)
    return job


def outcome(job: ScanJob, state: ScanState, finding: Finding | None = None) -> ScanOutcome:
    return ScanOutcome(subject=job.subject, state=state, at=NOW, finding=finding, scanner="1")


def discard(job: ScanJob) -> Discard:
    return Discard(subject=job.subject, at=NOW, plan=None, effect=b"scan.discarded")


def rows(database: Database, query: str) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


def senders(waiting: Sequence[Waiting]) -> list[str]:
    return [each.sender for each in waiting]


async def test_senders_take_turns_beginning_behind_the_last_one(
    store: NodeStore, office: Office
) -> None:
    await office.open()
    for sender in ("G01", "G02", "G03"):
        await arrived(office, sender, 5)
    assert senders(await store.next_scans(2, after={})) == ["G01", "G02"]
    assert senders(await store.next_scans(2, after={Lane.NORMAL.value: "G02"})) == ["G03", "G01"]
    assert senders(await store.next_scans(6, after={})) == ["G01", "G02", "G03"] * 2
    assert await store.waiting_scans() == 15


async def test_what_is_urgent_comes_first_and_leaves_places_to_what_is_not(
    store: NodeStore, office: Office
) -> None:
    await office.open()
    await arrived(office, "G01", 5)
    await arrived(office, "G02", 9, urgency=Urgency.HOA_TOC)
    found = await store.next_scans(8, after={})
    assert senders(found) == ["G02"] * 6 + ["G01"] * 2
    assert [each.lane for each in found] == [Lane.of(Urgency.HOA_TOC)] * 6 + [Lane.NORMAL] * 2


async def test_what_broke_the_scanner_waits_for_its_time(store: NodeStore, office: Office) -> None:
    await office.open()
    [first, second] = await arrived(office, "G01", 2)
    later = NOW + timedelta(seconds=4)
    await store.scan_broke(first, breaks=2, again_at=later)
    assert [each.incoming_id for each in await store.next_scans(9, after={})] == [second]
    assert await store.broken_scans(NOW) is None
    found = await store.broken_scans(later)
    assert found is not None
    assert found.incoming_id == first
    assert found.breaks == 2
    assert await store.waiting_scans() == 2


async def test_only_what_is_clean_or_let_through_is_shown_and_the_rest_is_told(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    [clean, infected, held] = await arrived(office, "G01", 3)
    assert rows(database, "SELECT 1 FROM inbox") == []
    await settled(store, clean, ScanState.CLEAN)
    bad = await settled(store, infected, ScanState.INFECTED, FINDING)
    unknown = await settled(store, held, ScanState.HELD, TOO_LARGE)
    assert not await store.settle_scan(outcome(bad, ScanState.CLEAN), SALTS)  # it waits no more
    assert rows(database, "SELECT incoming_id FROM inbox") == [(clean,)]
    apart = await store.scans(0, 10)
    assert [(each.state, each.finding) for each in apart] == [
        (ScanState.INFECTED, FINDING),
        (ScanState.HELD, TOO_LARGE),
    ]
    assert [each.place for each in await store.scans(apart[0].place, 10)] == [held]
    assert len(rows(database, "SELECT 1 FROM event WHERE kind = 'document.quarantined'")) == 2
    assert await store.release_scan(outcome(unknown, ScanState.RELEASED), SALTS)
    assert not await store.release_scan(outcome(unknown, ScanState.RELEASED), SALTS)
    assert rows(database, "SELECT incoming_id FROM inbox ORDER BY 1") == [(clean,), (held,)]


async def test_a_discarded_document_is_destroyed_once_and_nothing_else_is(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    [bad, clean, waits] = await arrived(office, "G01", 3, large=100_000)
    await settled(store, clean, ScanState.CLEAN)
    job = await settled(store, bad, ScanState.INFECTED, FINDING)
    message_id = MessageId(job.subject.message_id)
    for other in (clean, waits):
        subject = (await subject_of(store, database, other)).subject
        assert not await store.discard(
            Discard(subject=subject, at=NOW, plan=None, effect=b"e"), SALTS
        )
    assert not await store.is_destroyed(message_id)
    assert await store.discard(discard(job), SALTS)
    assert not await store.discard(discard(job), SALTS)
    assert await store.is_destroyed(message_id)
    assert await store.scan_entry(message_id) is None
    assert rows(database, "SELECT incoming_id, files FROM destroyed") == [(bad, 1)]
    lengths = "SELECT id FROM incoming WHERE length(inline) = 0"
    assert rows(database, lengths) == [(bad,)]
    uses = "SELECT count(*) FROM blob_use WHERE kind = 'incoming'"
    assert rows(database, uses) == [(2,)]
    effects = "SELECT count(*) FROM effect WHERE message_id IS NULL"
    assert rows(database, effects) == [(1,)]
    assert await store.scan_again([message_id]) == 0


async def subject_of(store: NodeStore, database: Database, incoming_id: IncomingId) -> ScanJob:
    query = f"SELECT message_id FROM incoming WHERE id = {incoming_id}"
    [(message_id,)] = rows(database, query)
    job = await store.scan_subject(MessageId(bytes(message_id)))
    assert job is not None
    return job


async def test_a_hold_keeps_what_would_be_discarded(store: NodeStore, office: Office) -> None:
    await office.open()
    [bad] = await arrived(office, "G01")
    job = await settled(store, bad, ScanState.INFECTED, FINDING)
    document_id = DocumentId(job.subject.document_id)
    held = Hold(document_id=document_id, reason="điều tra", actor="Lan", at=NOW)
    holds = SqlHolds(store._database)
    await holds.hold(held, salt=bytes(16), effect=b"e")
    with pytest.raises(DocumentHeldError):
        await store.discard(discard(job), SALTS)
    assert not await store.is_destroyed(MessageId(job.subject.message_id))
    assert await holds.release(document_id, salt=bytes(16), effect=b"e", at=NOW)
    assert await store.discard(discard(job), SALTS)


async def test_documents_are_scanned_again_in_pieces_and_stay_shown(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    ids = await arrived(office, "G01", 3)
    for each in ids:
        await settled(store, each, ScanState.CLEAN)
    assert await store.scan_all_again(0, NOW) == (0, None)  # they came later
    assert await store.scan_all_again(0, after(NOW)) == (3, None)
    assert await store.waiting_scans() == 3
    assert len(rows(database, "SELECT 1 FROM inbox")) == 3
    job = await settled(store, ids[0], ScanState.INFECTED, FINDING)
    assert await store.received_named(job.subject.message_id.hex()) == [job.subject.message_id]
    assert await store.received_named(job.subject.document_id.hex()) == [job.subject.message_id]


async def test_without_a_scanner_what_waits_is_shown_and_what_was_found_stays(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    [bad, again, waits] = await arrived(office, "G01", 3)
    job = await settled(store, bad, ScanState.INFECTED, FINDING)
    await store.scan_again([MessageId(job.subject.message_id)])
    await store.scan_broke(again, breaks=1, again_at=NOW)
    while await store.show_unscanned(2):
        pass
    states = "SELECT incoming_id, state, shown FROM scan ORDER BY 1"
    assert [tuple(row) for row in rows(database, states)] == [
        (bad, "infected", 0),
        (again, "released", 1),
        (waits, "released", 1),
    ]
    assert rows(database, "SELECT incoming_id FROM inbox ORDER BY 1") == [(again,), (waits,)]


def after(moment: datetime) -> datetime:
    return moment + timedelta(seconds=1)


async def test_what_could_not_be_judged_is_held_without_being_read(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    [first, second] = await arrived(office, "G01", 2)
    await settled(store, second, ScanState.CLEAN)
    assert await store.hold_unjudged(first, unjudged("RecursionError"), NOW)
    assert not await store.hold_unjudged(first, unjudged("RecursionError"), NOW)
    assert not await store.hold_unjudged(second, unjudged("RecursionError"), NOW)
    [held] = await store.scans(0, 10)
    assert (held.state, held.shown, held.blocked) == (ScanState.HELD, False, True)
    assert held.finding == unjudged("RecursionError")
    assert held.scanned_at == NOW
    assert len(rows(database, "SELECT 1 FROM event WHERE kind = 'document.quarantined'")) == 1
    assert rows(database, "SELECT incoming_id FROM inbox") == [(second,)]
    assert await store.release_scan(
        outcome(await subject(store, held.message_id), ScanState.RELEASED), SALTS
    )
    assert rows(database, "SELECT incoming_id FROM inbox ORDER BY 1") == [(first,), (second,)]


async def subject(store: NodeStore, message_id: MessageId) -> ScanJob:
    found = await store.scan_subject(message_id)
    assert found is not None
    return found
