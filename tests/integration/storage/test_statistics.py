"""Sums of documents are exact, on every database, whoever counts and whenever it breaks off."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation, uuid_text
from edockit.database import Database
from edocnode.domain.calendar import WorkingCalendar
from edocnode.domain.checks import CORRECTS, REPLACES
from edocnode.domain.counting import tally_of
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.signatures import (
    TO_CHECK,
    DocumentVerdict,
    LegalStatus,
    judge_document,
)
from edocnode.domain.statistics import (
    Figures,
    GroupBy,
    Statistics,
    StatisticsRequest,
)
from edocnode.domain.workflow import Step
from edocnode.storage import uncounted
from edocnode.storage.statistics import SqlStatistics
from edocnode.storage.steps import add_step
from edocnode.storage.store import NodeStore
from edocnode.storage.tables import InboxRow, table_of
from edocnode.storage.versions import put_in_force
from edocnode.storage.workflow_tables import VersionRow
from edocnode.workers.counting import Counter
from tests.integration.storage.offices import (
    NOW,
    Office,
    arrival,
    part,
    status_submission,
    submission,
)

INBOX = table_of(InboxRow)
SIGNED, UNSIGNED = LegalStatus.REPLACES_PAPER, LegalStatus.REFERENCE_ONLY
UNKNOWN = LegalStatus.NOT_CHECKED
RULES = DeadlineRules(calendar=WorkingCalendar())
NOVEMBER = StatisticsRequest(first=date(2026, 11, 1), last=date(2026, 11, 30))
HOUR = timedelta(hours=1)


@pytest.fixture
def counter(database: Database) -> Counter:
    return Counter(
        agency="H29",
        nodes=lambda: {"H29", "G01", "H30"},
        store=SqlStatistics(database),
        rules=lambda _: RULES,
        types=lambda: {"QĐ": "QĐ"},
        clock=lambda: NOW,
    )


async def november(counter: Counter, **wanted: Any) -> Statistics:
    found, complete = await counter.statistics(replace(NOVEMBER, **wanted))
    assert complete
    return found


async def receive(store: NodeStore, peer: Office, at: datetime = NOW, to: str = "H29") -> None:
    made = submission("G01", [to], at=at)
    await store.keep([arrival(peer.envelope(made), made.inline, at=at)])


async def take(database: Database, position: int, *steps: tuple[StatusStep, datetime]) -> None:
    def write(connection: sa.Connection) -> None:
        incoming = connection.execute(
            sa.text(f"SELECT incoming_id FROM inbox WHERE position = {position}")
        ).scalar_one()
        for order, (step, at) in enumerate(steps, 1):
            taken = Step(
                order=order,
                step=step,
                state=DocumentState(step.value),
                actor="Lan",
                at=at,
                code="OTHER" if step is StatusStep.REJECTED else "",
                reason="Không đúng nơi nhận" if step is StatusStep.REJECTED else "",
            )
            assert add_step(connection, incoming, taken)

    await database.awrite(write)


async def test_sent_documents_are_counted_when_they_are_sealed(
    store: NodeStore, office: Office, counter: Counter
) -> None:
    await office.open()
    await store.submit(submission(to=["G01", "H30", "H31"]))
    assert (await november(counter)).total == Figures()
    await office.seal_all()
    await store.submit(submission())
    await office.seal_all(NOW + timedelta(days=3))
    found = (await november(counter, by=GroupBy.PEER)).groups
    assert {peer: (each.sent_documents, each.sent) for peer, each in found.items()} == {
        "G01": (2, 2),
        "H30": (0, 1),
        "H31": (0, 1),
    }
    total = (await november(counter)).total
    assert (total.sent, total.sent_on_time, total.sent_documents) == (4, 3, 2)


async def test_mark_of_paper_counts_in_the_record_alone(
    store: NodeStore, office: Office, counter: Counter
) -> None:
    await office.open()
    told = b'{"paper_also_sent":true}'
    made = submission(content=told)
    on_paper = replace(submission(), inline=told, parts=(part(0, "record.json", told),))
    await store.submit(made)
    await store.submit(on_paper)
    await office.seal_all()
    assert (await november(counter)).total.paper == 1


async def test_arrivals_and_steps_are_counted_on_the_day_of_arrival(
    database: Database, store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    for at in (NOW, NOW + HOUR, NOW + 8 * timedelta(days=1)):
        await receive(store, peer, at)
    await office.seal_all()
    await take(
        database,
        1,
        (StatusStep.ACCEPTED, NOW + HOUR),
        (StatusStep.FINISHED, NOW + timedelta(days=20)),
    )
    await take(database, 2, (StatusStep.REJECTED, NOW + timedelta(days=9)))
    found = await november(counter)
    assert found.total == Figures(
        received=2, alike=1, acknowledged=1, accepted=1, refused=1, finished=1
    )
    assert found.refusals == {"OTHER": 1}
    assert found.accepting is not None
    assert abs(found.accepting / HOUR - 1) < 0.03
    december = replace(NOVEMBER, first=date(2026, 12, 1), last=date(2026, 12, 31))
    assert (await counter.statistics(december))[0].total == Figures(received=1, alike=1)


@pytest.mark.parametrize("counted_before", [True, False])
async def test_document_that_an_update_moves_to_the_end_of_the_inbox_is_counted_once(
    database: Database,
    store: NodeStore,
    office: Office,
    peer: Office,
    counter: Counter,
    counted_before: bool,
) -> None:
    await office.open()
    for at in (NOW, NOW + HOUR):
        await receive(store, peer, at)
    await office.seal_all()
    if counted_before:
        assert (await november(counter)).total.received == 2

    def update(connection: sa.Connection) -> None:
        first, second = connection.execute(sa.select(INBOX).order_by(INBOX.c.position)).all()
        row = {
            **{name: getattr(first, name) for name in ("document_id", "sender", "recipient")},
            "incoming_id": second.incoming_id,  # stands in for the arrival that brought it
            "head": first.incoming_id,
            "created_at": NOW,
            "received_at": NOW,
            "reason": "Bổ sung phụ lục",
            "state": "agreed",
            "was_at": 0,
        }
        connection.execute(sa.insert(table_of(VersionRow)), row)
        put_in_force(connection, first.incoming_id, second.incoming_id)

    await database.awrite(update)
    for _ in range(2):
        assert (await november(counter)).total.received == 2


async def test_statuses_are_no_documents(
    store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    made = submission("G01", ["H29"])
    told = status_submission(peer.envelope(made), DocumentState.ACCEPTED, sender="H29", to="G01")
    await store.submit(told)
    await office.seal_all()
    revoked = replace(submission(), operation=Operation.REVOKE)
    await store.submit(revoked)
    await office.seal_all()
    assert (await november(counter)).total == Figures(revocations=1)


async def test_recipients_that_destroyed_what_was_taken_back_are_counted(
    database: Database, store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    await store.submit(submission())
    await office.seal_all()
    (queued,) = await store.due("G01", NOW, 10)
    for state in (DocumentState.ACCEPTED, DocumentState.FINISHED):
        told = status_submission(queued.envelope, state, sender="G01", to="H29")
        await store.keep([arrival(peer.envelope(told), told.inline)])
    await office.seal_all()
    assert (await november(counter)).confirmed == 0
    agreed = sa.text(
        "UPDATE status_got SET step = 'agreed', state = 'revoked' WHERE step = 'finished'"
    )
    await database.awrite(lambda connection: connection.execute(agreed) and None)
    assert (await november(counter, agency="H29")).confirmed == 1
    assert (await november(counter, agency="H30")).confirmed == 0
    assert (await november(counter, last=date(2026, 11, 22))).confirmed == 0


async def test_counting_again_adds_only_what_is_new(
    store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    await receive(store, peer)
    await office.seal_all()
    for _ in range(3):
        assert (await november(counter)).total.received == 1
    await receive(store, peer)
    await office.seal_all()
    assert (await november(counter)).total.received == 2


async def test_of_two_that_read_the_same_only_one_counts_it(
    database: Database, store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    await receive(store, peer)
    await office.seal_all()
    sums = SqlStatistics(database)
    batch = await sums.uncounted(100)
    tally = tally_of(batch, RULES, {})
    assert await sums.add_tally(tally, batch.marks)
    assert not await sums.add_tally(tally, batch.marks)
    assert (await november(counter)).total.received == 1


async def test_write_that_fails_counts_nothing_and_moves_no_mark(
    database: Database, store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    await receive(store, peer)
    await office.seal_all()
    sums = SqlStatistics(database)
    batch = await sums.uncounted(100)
    tally = tally_of(batch, RULES, {})
    broken = sa.text("ALTER TABLE daily RENAME TO elsewhere")
    await database.awrite(lambda connection: connection.execute(broken) and None)
    with pytest.raises(sa.exc.DatabaseError):
        await sums.add_tally(tally, batch.marks)
    mended = sa.text("ALTER TABLE elsewhere RENAME TO daily")
    await database.awrite(lambda connection: connection.execute(mended) and None)
    assert (await november(counter)).total.received == 1


async def test_small_batches_lead_to_the_same_sums(
    database: Database,
    store: NodeStore,
    office: Office,
    peer: Office,
    counter: Counter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await office.open()
    for number in range(7):
        await store.submit(submission(to=["G01", "H30"]))
        await receive(store, peer)
        if number % 3 == 0:
            await office.seal_all()
    await office.seal_all()
    monkeypatch.setattr("edocnode.storage.uncounted.ENVELOPES", 1)
    monkeypatch.setattr("edocnode.workers.counting.AT_ONCE", 2)
    assert not await counter.count()
    total = (await november(counter)).total
    assert (total.sent_documents, total.sent, total.received) == (7, 14, 7)


async def test_of_a_long_outbox_only_a_bounded_piece_is_joined_at_once(
    database: Database,
    store: NodeStore,
    office: Office,
    counter: Counter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await office.open()
    for _ in range(9):
        await store.submit(submission(to=["G01"]))
        await office.seal_all()
    monkeypatch.setattr("edocnode.storage.uncounted.ENVELOPES", 3)
    joined: list[int] = []

    def note(cursor_of: sa.Connection, statement: sa.Executable, *values: Any) -> None:
        if statement is uncounted._SEALED:
            counted = sa.select(sa.func.count()).select_from(uncounted._SEALED.subquery())
            parameters = values[0][0] if values[0] else values[1]
            joined.append(cursor_of.scalar(counted, parameters) or 0)

    for engine in filter(None, {database.engine, database._reading}):
        sa.event.listen(engine, "before_execute", note)
    while not await counter.count():
        pass
    assert (await november(counter)).total.sent == 9
    assert len(joined) > 2
    assert max(joined) <= 4  # the seal that holds the fourth is read whole


async def test_agency_has_those_whose_codes_continue_its_own(
    store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    for to in ("H29", "H29.5", "H29.5.1", "H295"):
        await receive(store, peer, to=to)
    await office.seal_all()
    assert (await november(counter, agency="H29")).total.received == 3
    assert (await november(counter, agency="H29.5")).total.received == 2
    assert (await november(counter, agency="H2_")).total.received == 0


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        (GroupBy.DAY, ["2026-11-23", "2026-11-24"]),
        (GroupBy.URGENCY, ["normal"]),
        (GroupBy.TYPE, ["-"]),
        (GroupBy.PEER, ["G01"]),
    ],
)
async def test_figures_are_divided_and_their_sum_is_the_whole(
    store: NodeStore,
    office: Office,
    peer: Office,
    counter: Counter,
    by: GroupBy,
    keys: list[str],
) -> None:
    await office.open()
    for at in (NOW, datetime(2026, 11, 23, 17, 0, tzinfo=UTC)):  # the next day in Ha Noi
        await receive(store, peer, at)
    await office.seal_all()
    found = await november(counter, by=by)
    assert list(found.groups) == keys
    assert sum(each.received for each in found.groups.values()) == found.total.received == 2


def told(verdict: LegalStatus) -> DocumentVerdict:
    return msgspec.structs.replace(judge_document([], NOW), legal_status=verdict)


async def check_all(store: NodeStore, *verdicts: LegalStatus) -> None:
    """Settles what waits for a check, one verdict each."""
    for verdict in verdicts:
        job = await store.next_check()
        assert job is not None
        await store.settle_check(job, told(verdict))
    assert await store.next_check() is None


async def test_signed_share_is_of_documents_on_both_sides(
    store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    await office.open()
    await store.submit(submission(to=["G01", "H30"]))
    await check_all(store, SIGNED)
    assert (await november(counter)).total.sent_signed == 0  # it is not sealed yet
    await store.submit(submission())
    for _ in range(2):
        made = submission("G01", ["H29"])
        came = arrival(peer.envelope(made), made.inline)
        await store.keep([msgspec.structs.replace(came, listing={**came.listing, TO_CHECK: "1"})])
    await office.seal_all()
    await check_all(store, SIGNED, SIGNED, UNSIGNED)  # received ones first
    for _ in range(2):  # counted once
        total = (await november(counter)).total
        assert (total.sent_documents, total.sent_checked, total.sent_signed) == (2, 2, 1)
        assert (total.received, total.received_checked, total.received_signed) == (2, 2, 2)


async def test_check_that_is_made_anew_moves_the_document(
    store: NodeStore, office: Office, counter: Counter
) -> None:
    await office.open()
    made = submission()
    await store.submit(made)
    await office.seal_all()
    for verdict, figures in ((UNSIGNED, (1, 0)), (SIGNED, (1, 1)), (UNKNOWN, (0, 0))):
        await check_all(store, verdict)
        total = (await november(counter)).total
        assert (total.sent_checked, total.sent_signed) == figures
        await store.recheck(made.document_id)
        total = (await november(counter)).total  # as it was, until it is checked
        assert (total.sent_checked, total.sent_signed) == figures


async def test_of_two_that_read_the_same_checks_only_one_counts_them(
    database: Database, store: NodeStore, office: Office, counter: Counter
) -> None:
    await office.open()
    await store.submit(submission())
    await office.seal_all()
    await november(counter)
    await check_all(store, SIGNED)
    sums = SqlStatistics(database)
    batch = await sums.uncounted(100)
    tally = tally_of(batch, RULES, {})
    assert await sums.add_tally(tally, batch.marks)
    assert not await sums.add_tally(tally, batch.marks)
    assert (await november(counter)).total.sent_signed == 1


async def test_what_changes_earlier_documents_is_counted_apart(
    store: NodeStore, office: Office, counter: Counter
) -> None:
    await office.open()
    first = submission()
    await store.submit(first)
    earlier = uuid_text(first.document_id)
    update = replace(submission(to=["G01", "H30"]), operation=Operation.UPDATE)
    later = submission(to=["G01", "H30"])
    corrects = replace(later, listing={**later.listing, CORRECTS: earlier})
    await store.submit(replace(update, document_id=first.document_id))
    await store.submit(corrects)
    later = submission(to=["G01", "H30"])
    stands = {**later.listing, REPLACES: earlier}
    await store.submit(replace(later, operation=Operation.REPLACE, listing=stands))
    await office.seal_all()
    total = (await november(counter)).total
    assert (total.sent_documents, total.sent) == (3, 5)
    assert (total.updates, total.corrections, total.replacements) == (2, 1, 1)


async def test_deliveries_that_come_again_are_written_with_the_next_look_and_kept_until_then(
    database: Database, store: NodeStore, office: Office, peer: Office, counter: Counter
) -> None:
    made = submission("G01", ["H29"])
    came = arrival(peer.envelope(made), made.inline)
    for _ in range(3):
        counter.repeated(came)
    counter.repeated(msgspec.structs.replace(came, operation=Operation.STATUS))
    broken = sa.text("ALTER TABLE daily RENAME TO elsewhere")
    await database.awrite(lambda connection: connection.execute(broken) and None)
    with pytest.raises(sa.exc.DatabaseError):
        await counter.stop()
    mended = sa.text("ALTER TABLE elsewhere RENAME TO daily")
    await database.awrite(lambda connection: connection.execute(mended) and None)
    await counter.stop()
    counter.repeated(came)
    assert (await november(counter, by=GroupBy.PEER)).groups == {"G01": Figures(repeated=4)}


@pytest.mark.parametrize("url", ["sqlite-file"], indirect=True)
async def test_a_node_stops_in_order_when_there_is_no_room_for_what_came_again(
    database: Database, peer: Office, counter: Counter
) -> None:
    made = submission("G01", ["H29"])
    came = arrival(peer.envelope(made), made.inline)
    for number in range(3000):
        counter.repeated(msgspec.structs.replace(came, sender=f"G{number:04}"))

    def at_most(pages: int) -> None:
        pragma = sa.text(f"PRAGMA max_page_count = {pages}")
        database.write(lambda connection: connection.execute(pragma).scalar() and None).result(60)

    at_most(1)  # SQLite takes the size it has: no page more
    await counter.stop()
    at_most(1_000_000)
    assert (await november(counter)).total.repeated == 3000


async def test_document_that_this_program_cannot_count_is_left_out_and_the_others_are_counted(
    store: NodeStore, office: Office, counter: Counter
) -> None:
    """A day from which no calendar counts on; records with one are refused by now."""
    await office.open()
    plain, bent = submission(), submission()
    bent = replace(bent, listing={**bent.listing, "issued_date": "9999-12-31"})
    for made in (plain, bent, submission()):
        await store.submit(made)
    await office.seal_all()
    assert (await november(counter)).total.sent == 2
    await store.submit(submission())
    await office.seal_all()
    assert (await november(counter)).total.sent == 3  # and the one is not tried again


async def test_document_whose_record_lies_elsewhere_is_counted(
    store: NodeStore, office: Office, counter: Counter, database: Database
) -> None:
    """As a large one does, or one that a restore lost; SQLite makes NULL of a piece of nothing."""
    await office.open()
    await store.submit(submission())
    await office.seal_all()
    change = sa.text("UPDATE document SET inline = :nothing")
    await database.awrite(lambda connection: connection.execute(change, {"nothing": b""}))
    assert (await november(counter)).total.sent == 1
