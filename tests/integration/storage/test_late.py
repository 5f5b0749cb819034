"""What is late is found among what waits, on every database, and by its index."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, DocumentState
from edoccore.signing.records import Office as NamedOffice
from edoccore.signing.statements import Operation, Urgency, time_text, uuid_bytes
from edockit.database import Database
from edocnode.domain.checks import DELIVER_BY
from edocnode.domain.late import COUNTED, LateCuts, LateKind, LateRequest
from edocnode.domain.model import DeliveryState, DocumentId, Lane, Submission
from edocnode.storage.destroying import destroy
from edocnode.storage.late import SqlLate
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import (
    LATER,
    NOW,
    Office,
    arrival,
    status_submission,
    submission,
    submission_of,
)
from tests.support.nation import new_uuid7

HOUR = timedelta(hours=1)


def cuts(moment: datetime, overdue: date = date(2026, 11, 20), **lanes: datetime) -> LateCuts:
    limits = {lane: lanes.get(lane.name, moment) for lane in Lane}
    return LateCuts(
        undelivered=limits, unanswered=limits, undecided=limits, overdue=overdue, now=moment
    )


async def found(database: Database, moment: datetime, **wanted: Any) -> list[tuple[str, bytes]]:
    rows = await SqlLate(database).late(cuts(moment), LateRequest(**wanted))
    return [(row.kind.value, row.document_id) for row in rows]


async def receive(store: NodeStore, peer: Office, *, at: datetime = NOW, **values: Any) -> bytes:
    """Keeps a document of G01 for H29; the caller seals. Returns its id."""
    document_id = new_uuid7(at)
    due = {"due_date": values.pop("due")} if "due" in values else {}
    if "deliver_by" in values:
        due["deliver_by"] = time_text(values.pop("deliver_by"))
    record = DocumentRecord(
        network="test",
        document_id=document_id,
        issuer=NamedOffice(code="G01"),
        subject="Về việc báo cáo",
        **due,
    )
    made = submission_of(
        canonical.encode(record),
        b"content",
        document_id=DocumentId(uuid_bytes(document_id)),
        sender="G01",
        to=[values.pop("to", "H29")],
        request=None,
        urgency=values.pop("urgency", Urgency.NORMAL),
        operation=values.pop("operation", Operation.NEW),
        large=0,
        at=at,
        expires=LATER,
    )
    await store.keep([arrival(peer.envelope(made), made.inline, at=at)])
    return made.document_id


async def send(
    store: NodeStore, office: Office, *, at: datetime = NOW, **values: Any
) -> Submission:
    made = submission(at=at, **values)
    await store.submit(made)
    await office.seal_all(at)
    return made


async def test_undelivered_document_is_late_from_its_seal_on(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    made = submission()
    await store.submit(made)
    await office.seal_all(NOW + HOUR)
    assert await found(database, NOW + HOUR - timedelta(milliseconds=1)) == []
    assert await found(database, NOW + HOUR) == [("undelivered", made.document_id)]


async def test_document_that_waits_for_the_sealer_is_late_from_its_handing_in_on(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    made = submission()
    await store.submit(made)
    assert await found(database, NOW) == [("undelivered", made.document_id)]


async def test_limit_of_each_lane_is_its_own(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    normal = await send(store, office)
    urgent = await send(store, office, urgency=Urgency.HOA_TOC)
    rows = await SqlLate(database).late(
        cuts(NOW - HOUR, HOA_TOC=NOW), LateRequest(kinds=[LateKind.UNDELIVERED])
    )
    assert [row.document_id for row in rows] == [urgent.document_id]
    assert (rows[0].lane, rows[0].peer, rows[0].state) == (Lane.HOA_TOC, "G01", "queued")
    assert normal.document_id != urgent.document_id


async def test_delivered_document_waits_for_the_first_step_there_and_no_longer(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = await send(store, office)
    queued = await store.due("G01", NOW, 10)
    await store.record(peer.delivered(queued), NOW + HOUR)
    assert await found(database, NOW) == []
    assert await found(database, NOW + HOUR) == [("unanswered", made.document_id)]
    status = status_submission(queued[0].envelope, DocumentState.ACCEPTED, sender="G01", to="H29")
    await store.keep([arrival(peer.envelope(status), status.inline)])
    await office.seal_all()
    assert await found(database, NOW + HOUR) == []


async def test_document_that_was_taken_back_waits_for_nobody(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await send(store, office)
    assert len(await found(database, NOW)) == 1
    taken_back = sa.text(
        "INSERT INTO revoked_delivery (message_id, document_id, actor, reason, at, sent) "
        "SELECT message_id, document_id, 'Lan', 'Sai nội dung', 0, 1 FROM delivery"
    )
    await database.awrite(lambda connection: connection.execute(taken_back) and None)
    assert await found(database, NOW) == []
    await store.record(peer.delivered(await store.due("G01", NOW, 10)), NOW)
    assert await found(database, NOW + HOUR) == []


async def test_statuses_are_not_documents_that_wait(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission("G01", ["H29"])
    told = status_submission(peer.envelope(made), DocumentState.ACCEPTED, sender="H29", to="G01")
    await store.submit(told)
    await office.seal_all()
    assert await found(database, NOW + HOUR) == []
    await store.record(peer.delivered(await store.due("G01", NOW, 10)), NOW)
    assert await found(database, NOW + HOUR) == []


async def test_received_document_waits_until_it_is_decided(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    document = await receive(store, peer)
    assert await found(database, NOW) == []  # not visible yet
    await office.seal_all()
    assert await found(database, NOW - timedelta(milliseconds=1)) == []
    assert await found(database, NOW) == [("undecided", document)]
    inbox = sa.text("UPDATE inbox SET state = 'accepted'")
    await database.awrite(lambda connection: connection.execute(inbox) and None)
    assert await found(database, NOW) == []


async def test_revocation_in_the_inbox_waits_for_nobody(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await receive(store, peer)
    await office.seal_all()
    revoke = sa.text("UPDATE inbox SET operation = 'revoke'")
    await database.awrite(lambda connection: connection.execute(revoke) and None)
    assert await found(database, NOW) == []


async def test_due_date_counts_until_the_document_is_finished(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    over = await receive(store, peer, due="2026-11-20")
    await receive(store, peer, due="2026-11-21")
    await receive(store, peer)
    await office.seal_all()
    before = NOW - HOUR
    assert await found(database, before) == [("overdue", over)]
    for state in ("accepted", "assigned", "processing"):
        change = sa.text(f"UPDATE inbox SET state = '{state}'")
        await database.awrite(lambda connection, change=change: connection.execute(change) and None)
        assert await found(database, before) == [("overdue", over)]
    finish = sa.text("UPDATE inbox SET state = 'finished'")
    await database.awrite(lambda connection: connection.execute(finish) and None)
    assert await found(database, before) == []


async def test_lists_are_of_one_agency_oldest_first_and_counts_go_on(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    documents = [await receive(store, peer, at=NOW + number * HOUR) for number in (2, 0, 1)]
    await receive(store, peer, to="H29.5")
    await office.seal_all()
    late = SqlLate(database)
    moment = NOW + 9 * HOUR
    wanted = LateRequest(agency="H29", limit=2)
    rows = await late.late(cuts(moment), wanted)
    assert [row.document_id for row in rows] == [documents[1], documents[2]]
    assert (await late.late_counts(cuts(moment), "H29"))[LateKind.UNDECIDED] == 3
    assert (await late.late_counts(cuts(moment), ""))[LateKind.UNDECIDED] == 4


@pytest.mark.parametrize("url", ["sqlite-file"], indirect=True)
async def test_nothing_that_was_dealt_with_is_looked_at(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await send(store, office)
    await receive(store, peer, due="2026-11-20")
    await office.seal_all()
    seen: dict[str, Any] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: bool) -> None:
        seen[statement] = parameters

    sa.event.listen(database._reading, "before_cursor_execute", note)
    late = SqlLate(database)
    await late.late(cuts(NOW), LateRequest(agency="H29"))
    await late.late_counts(cuts(NOW), "")
    steps = await database.aread(
        lambda connection: [
            row[3]
            for text, values in list(seen.items())
            for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values)
        ]
    )
    allowed = (
        "ix_delivery_",
        "ix_inbox_",
        "ix_version_",  # of updates only
        "ix_revocation_",  # likewise few
        "sqlite_autoindex",
        "INTEGER PRIMARY KEY",
        "SCAN few",
    )
    used = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
    assert [step for step in used if not any(name in step for name in allowed)] == []
    text = "\n".join(used)
    assert "SCAN inbox" not in text
    for index in ("ix_inbox_undecided (lane=? AND received_at<?)", "ix_inbox_due (due_date"):
        assert index in text
    assert "ix_delivery_unanswered (lane=? AND ended_at<?)" in text


async def test_counting_ends_at_a_bound(
    database: Database, store: NodeStore, office: Office, peer: Office, monkeypatch: Any
) -> None:
    await office.open()
    for _ in range(5):
        await receive(store, peer)
    await office.seal_all()
    monkeypatch.setattr("edocnode.storage.late.COUNTED", 2)
    assert (await SqlLate(database).late_counts(cuts(NOW), ""))[LateKind.UNDECIDED] == 3
    assert COUNTED == 10_000


async def test_held_delivery_is_late_with_its_reason(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await send(store, office)
    queued = await store.due("G01", NOW, 10)
    outcome = structs.replace(
        peer.delivered(queued)[0],
        state=DeliveryState.HELD,
        receipt=None,
        reason="LIMIT_EXCEEDED",
    )
    await store.record([outcome], NOW)
    rows = await SqlLate(database).late(cuts(NOW), LateRequest())
    assert [(row.state, row.reason) for row in rows] == [("held", "LIMIT_EXCEEDED")]
    assert await SqlOffice(database).undelivered() == {}


def appointed(deliver_by: datetime, **values: Any) -> Submission:
    """A document of H29 that its sender wants there by a moment."""
    made = submission(urgency=Urgency.HOA_TOC, **values)
    return replace(made, listing={**made.listing, DELIVER_BY: time_text(deliver_by)})


async def test_time_that_the_sender_names_holds_for_delivery_instead_of_the_limit(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    soon, later = appointed(NOW + HOUR), appointed(NOW + 9 * HOUR)
    many = appointed(NOW + 9 * HOUR, to=[f"H{number}" for number in range(501)])
    for made in (soon, later, many):
        await store.submit(made)
    await office.seal_all()
    long_ago, now = NOW - 9 * HOUR, NOW + 2 * HOUR  # by the limits nothing is late, or all is
    for limit in (long_ago, now):
        rows = await SqlLate(database).late(replace(cuts(limit), now=now), LateRequest())
        assert [(row.kind.value, row.document_id) for row in rows] == [
            ("undelivered", soon.document_id)
        ]
        assert rows[0].deliver_by == NOW + HOUR
        counts = await SqlLate(database).late_counts(replace(cuts(limit), now=now), "")
        assert counts[LateKind.UNDELIVERED] == 1


async def test_time_that_the_sender_names_makes_the_first_step_late_there_and_here(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = appointed(NOW + HOUR)
    await store.submit(made)
    await office.seal_all()
    await store.record(peer.delivered(await store.due("G01", NOW, 10)), NOW)
    urgent = {"urgency": Urgency.HOA_TOC}
    came = await receive(store, peer, deliver_by=NOW + HOUR, **urgent)
    await receive(store, peer, deliver_by=NOW + 9 * HOUR, **urgent)
    await receive(store, peer, **urgent)
    await office.seal_all()
    for hours, late in ((1, []), (2, [("unanswered", made.document_id), ("undecided", came)])):
        wanted = replace(cuts(NOW - HOUR), now=NOW + hours * HOUR)
        rows = await SqlLate(database).late(wanted, LateRequest())
        assert [(row.kind.value, row.document_id) for row in rows] == late


async def test_destroyed_document_leaves_no_time_behind(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await receive(store, peer, deliver_by=NOW + HOUR, urgency=Urgency.HOA_TOC)
    await office.seal_all()
    rows = sa.text("SELECT count(*) FROM appointed")
    assert database.read(lambda connection: connection.scalar(rows)) == 1
    await database.awrite(lambda connection: destroy(connection, [1], NOW))
    assert database.read(lambda connection: connection.scalar(rows)) == 0
