"""Documents of the office are kept: many at once, one to many, whole or not at all."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.errors import DocumentUnknownError, EdocError, RequestConflictError
from edoccore.signing.statements import uuid_text
from edockit.database import Database
from edocnode.domain.model import DeliveryState, Submission, SubmissionResult
from edocnode.domain.office_model import PageRequest
from edocnode.storage import schedule, submitting
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from edocnode.storage.submitting import FANOUT_PIECE
from tests.integration.storage.offices import NOW, Office, submission

SECOND = timedelta(seconds=1)
MANY = [f"G01.{number}" for number in range(3 * FANOUT_PIECE + 7)]


def count(database: Database, query: str) -> int:
    return database.read(lambda connection: int(connection.scalar(sa.text(query)) or 0))


async def release_all(store: NodeStore) -> list[int]:
    """Releases what is due, and says how much each time."""
    pieces = []
    while released := await store.release(NOW):
        pieces.append(released)
    return pieces


def kept(results: Sequence[Any]) -> list[SubmissionResult]:
    return [result for result in results if isinstance(result, SubmissionResult)]


async def test_many_documents_are_kept_at_once_and_answered_in_order(
    store: NodeStore, office: Office, database: Database
) -> None:
    made = [submission(to=["G01", "H29.5"], large=100_000) for _ in range(230)]
    results = kept(await store.submit_many(made))
    assert [result.document_id for result in results] == [each.document_id for each in made]
    assert [result.deliveries[1][0] for result in results] == [
        each.deliveries[1].message_id for each in made
    ]
    assert count(database, "SELECT count(*) FROM delivery WHERE state = 'unsealed'") == 460
    assert count(database, "SELECT count(*) FROM blob_use") == 230
    await office.open()
    commit = await office.seal_all()
    assert len(commit.envelopes) == 460


async def test_what_is_wrong_with_one_of_many_spoils_no_other(
    store: NodeStore, database: Database
) -> None:
    before = submission()
    await store.submit(before)
    made = [submission() for _ in range(6)]
    made[1] = replace(submission(request=before.request_id), request_hash=b"x" * 32)
    made[3] = replace(submission(request=made[2].request_id))
    made[5] = replace(submission(request=made[4].request_id), request_hash=b"x" * 32)
    results = await store.submit_many([*made, before])
    assert [isinstance(result, RequestConflictError) for result in results] == [
        False, True, False, False, False, True, False
    ]  # fmt: skip
    assert [result.repeated for result in kept(results)] == [False, False, True, False, True]
    assert kept(results)[2].document_id == made[2].document_id
    assert kept(results)[2].deliveries == kept(results)[1].deliveries
    assert count(database, "SELECT count(*) FROM document") == 4
    assert count(database, "SELECT count(*) FROM delivery") == 4


async def test_documents_of_many_callers_are_kept_by_the_same_statements(
    store: NodeStore, office: Office, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its own is what a ``Submit`` cost most under load."""
    inserted: list[int] = []
    insert = submitting.insert_plain

    def counted(connection: Any, table: sa.Table, rows: Sequence[Any]) -> None:
        inserted.append(len(rows))
        insert(connection, table, rows)

    monkeypatch.setattr(submitting, "insert_plain", counted)
    before = submission()
    await store.submit(before)
    made = [submission(to=["G01", "H29.5"]) for _ in range(40)]
    results = await asyncio.gather(*map(store.submit, made))
    assert inserted == [1, 40]
    assert [result.document_id for result in results] == [each.document_id for each in made]
    assert [[item[0] for item in result.deliveries] for result in results] == [
        [item.message_id for item in each.deliveries] for each in made
    ]
    conflict = replace(submission(request=made[0].request_id), request_hash=b"x" * 32)
    callers = [submission(), conflict, before, submission()]
    told = await asyncio.gather(*map(store.submit, callers), return_exceptions=True)
    assert isinstance(told[1], RequestConflictError)
    assert [result.repeated for result in kept(told)] == [False, True, False]
    assert count(database, "SELECT count(*) FROM document") == 43
    await office.open()
    assert len((await office.seal_all()).envelopes) == 83


async def test_a_document_to_thousands_is_kept_once_and_goes_in_bounded_pieces(
    store: NodeStore, office: Office, database: Database
) -> None:
    made = submission(to=MANY, large=100_000)
    result = await store.submit(made)
    assert [item[1] for item in result.deliveries] == MANY
    assert count(database, "SELECT count(*) FROM document") == 1
    assert count(database, "SELECT count(*) FROM blob_use") == 1
    assert await release_all(store) == [FANOUT_PIECE] * 3 + [7]
    assert count(database, "SELECT count(*) FROM schedule") == 0
    await office.open()
    commit = await office.seal_all()
    assert [item.draft.message_id for item in commit.envelopes] == [
        item[0] for item in result.deliveries
    ]
    again = await store.submit(made)
    assert (again.repeated, again.deliveries) == (True, result.deliveries)
    with pytest.raises(RequestConflictError):
        await store.submit(replace(made, request_hash=b"x" * 32))


async def test_no_transaction_of_a_document_to_thousands_adds_more_than_a_piece(
    store: NodeStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []
    insert = submitting.insert_rows

    def counted(connection: Any, table: sa.Table, rows: Sequence[Any]) -> None:
        added.append(len(rows))
        insert(connection, table, rows)

    monkeypatch.setattr(submitting, "insert_rows", counted)
    await store.submit(submission(to=MANY))
    assert max(added) == FANOUT_PIECE
    assert sum(added) >= len(MANY)


async def cut_off(store: NodeStore, made: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hands in a document to many whose node dies just before it counts."""

    def die(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(submitting, "_finish", die)
        with pytest.raises(asyncio.CancelledError):
            await store.submit(made)


async def test_what_was_cut_off_is_nowhere_seen_and_is_sent_to_nobody(
    store: NodeStore, office: Office, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = submission(to=MANY, large=100_000)
    await cut_off(store, made, monkeypatch)
    assert count(database, "SELECT count(*) FROM delivery") == len(MANY)
    assert await store.next_due() is None
    assert await release_all(store) == []
    assert (await store.unsealed(10)).envelopes == ()
    offices = SqlOffice(database)
    assert (await offices.outbox(PageRequest())).entries == ()
    with pytest.raises(DocumentUnknownError):
        await offices.find(uuid_text(made.document_id))
    result = await store.submit(made_again := submission(to=MANY, request=made.request_id))
    assert (result.repeated, result.document_id) == (False, made_again.document_id)
    assert sum(await release_all(store)) == len(MANY)
    assert len((await store.unsealed(10_000)).envelopes) == len(MANY)


async def test_what_was_cut_off_is_forgotten_piece_by_piece_after_a_while(
    store: NodeStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cut_off(store, submission(to=MANY, large=100_000), monkeypatch)
    stays = submission(to=MANY, large=100_000)
    await store.submit(stays)
    assert await store.forget_cut_off(NOW) == 0
    pieces = []
    while gone := await store.forget_cut_off(NOW + SECOND):
        pieces.append(gone)
    assert pieces == [FANOUT_PIECE] * 3 + [7]
    assert count(database, "SELECT count(*) FROM delivery") == len(MANY)
    assert count(database, "SELECT count(*) FROM document") == 1
    assert count(database, "SELECT count(*) FROM blob_use") == 1
    assert (await store.submit(stays)).repeated


async def test_what_took_so_long_that_it_was_forgotten_does_not_count(
    store: NodeStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = submitting._finish

    def late(connection: sa.Connection, made: Submission, row: int) -> SubmissionResult:
        while schedule._forget(connection, NOW + SECOND):
            pass
        return finish(connection, made, row)

    monkeypatch.setattr(submitting, "_finish", late)
    with pytest.raises(EdocError, match="took too long"):
        await store.submit(submission(to=MANY, request="r-1"))
    monkeypatch.undo()
    assert not (await store.submit(submission(to=MANY, request="r-1"))).repeated
    assert len((await SqlOffice(database).outbox(PageRequest())).entries) == 1


async def test_one_request_to_many_racing_itself_is_kept_once(
    store: NodeStore, database: Database
) -> None:
    made = [submission(to=MANY, request="r-1") for _ in range(4)]
    results = await asyncio.gather(*map(store.submit, made))
    assert sum(not result.repeated for result in results) == 1
    assert len({result.document_id for result in results}) == 1
    assert sum(await release_all(store)) == len(MANY)
    assert len((await SqlOffice(database).outbox(PageRequest())).entries) == 1


async def test_what_waits_is_counted_to_its_end_before_and_after_it_was_sealed(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission(to=["G01"] * 1_200)
    await store.submit(made)
    await store.submit(submission(to=["G02"]))
    await release_all(store)
    offices = SqlOffice(database)
    assert await offices.undelivered() == {"G01": 1_200, "G02": 1}
    assert await offices.unsealed() == 1_201
    await office.open()
    await office.seal_all()
    due = list(await store.due("G01", NOW, 10))
    await store.record(peer.delivered(due[:3]), NOW)
    await store.parts_leave([due[3].message_id])
    assert await offices.undelivered() == {"G01": 1_197, "G02": 1}


async def test_lists_show_some_of_many_deliveries_and_count_them_all(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission(to=[*MANY, "G02"])
    made = replace(
        made,
        deliveries=tuple(structs.replace(item, to_node="G01") for item in made.deliveries[:-1])
        + (structs.replace(made.deliveries[-1], to_node="G02"),),
    )
    few = submission()
    await store.submit_many([few])
    await store.submit(made)
    await release_all(store)
    await office.open()
    await office.seal_all()
    await store.record(peer.delivered(list(await store.due("G02", NOW, 10))), NOW)
    offices = SqlOffice(database)
    many, alone = (await offices.outbox(PageRequest())).entries
    assert many.counts == {DeliveryState.DELIVERED: 1, DeliveryState.QUEUED: len(MANY)}
    assert [item.recipient for item in many.deliveries] == MANY[:20]
    assert (len(alone.deliveries), alone.counts) == (1, {DeliveryState.QUEUED: 1})
    [found] = (await offices.outbox(PageRequest(state="delivered"))).entries
    assert [item.recipient for item in found.deliveries] == ["G02", *MANY[:19]]
    pages, after = [], ""
    while True:
        page = await offices.deliveries(many, PageRequest(limit=600, after=after))
        pages += [item.recipient for item in page.entries]
        if not (after := page.next):
            break
    assert pages == [*MANY, "G02"]
    [one] = (await offices.deliveries(many, PageRequest(agencies=("G01.77",)))).entries
    assert one.message_id == made.deliveries[77].message_id
    [one] = (await offices.deliveries(many, PageRequest(state="delivered"))).entries
    assert one.recipient == "G02"


async def test_deliveries_of_one_document_share_its_content_in_memory(
    store: NodeStore, office: Office
) -> None:
    await store.submit(submission(to=["G01"] * 50))
    await store.submit(other := submission(content=b"other"))
    await office.open()
    await office.seal_all()
    queued = await store.due("G01", NOW, 100)
    assert len({id(item.inline) for item in queued}) == 2
    assert queued[-1].inline == other.inline
