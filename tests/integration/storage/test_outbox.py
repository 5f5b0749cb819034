"""Documents on their way out: kept, sealed, offered, answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from edoccore.errors import RequestConflictError
from edoccore.signing.statements import Result, Urgency
from edockit.database import Database
from edocnode.domain.model import DeliveryOutcome, DeliveryState, Lane, QueuedDelivery
from edocnode.storage.listing import encode_parts
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import LATER, NOW, Office, ended, given_up, submission

SECOND = timedelta(seconds=1)


async def queued_at(
    store: NodeStore, office: Office, *made: Any, at: datetime = NOW
) -> list[QueuedDelivery]:
    """Submits, seals and takes documents for G01."""
    await office.open(at)
    for each in made:
        await store.submit(each)
    await office.seal_all(at)
    return list(await store.due("G01", at, 1000))


def rows(database: Database, query: str) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


async def state_of(store: NodeStore, made: Any) -> DeliveryState:
    return (await store.submit(made)).deliveries[0][2]


def places(items: Sequence[QueuedDelivery]) -> set[int]:
    return {item.place for item in items}


def outcome(item: QueuedDelivery, state: DeliveryState, **more: Any) -> DeliveryOutcome:
    return DeliveryOutcome(
        message_id=item.message_id,
        document_id=item.document_id,
        recipient=item.recipient,
        state=state,
        **more,
    )


async def test_a_document_goes_from_submission_to_receipt(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission()
    await store.submit(made)
    assert await store.due("G01", NOW, 10) == []  # not sealed yet
    commit = await office.seal_all()
    queued = list(await store.due("G01", NOW, 10))
    assert [item.message_id for item in queued] == [made.deliveries[0].message_id]
    assert queued[0].envelope.statement == commit.envelopes[0].data
    assert queued[0].envelope.proof == commit.envelopes[0].proof
    assert queued[0].envelope.seal == commit.seal
    assert (queued[0].inline, encode_parts(queued[0].parts)) == (
        made.inline,
        encode_parts(made.parts),
    )
    assert queued[0].lane is Lane.NORMAL
    await store.record(peer.delivered(queued), NOW)
    assert await state_of(store, made) is DeliveryState.DELIVERED


async def test_the_same_request_again_keeps_nothing_and_answers_the_same(
    store: NodeStore, database: Database
) -> None:
    made = submission(to=["G01", "H29.5"], large=100_000)
    first = await store.submit(made)
    again = await store.submit(submission(request=made.request_id))
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.document_id, again.deliveries) == (first.document_id, first.deliveries)
    assert len(rows(database, "SELECT 1 FROM delivery")) == 2
    assert len(rows(database, "SELECT 1 FROM blob_use WHERE kind = 'document'")) == 1


async def test_another_request_under_a_used_id_is_a_conflict(store: NodeStore) -> None:
    made = submission()
    await store.submit(made)
    with pytest.raises(RequestConflictError):
        await store.submit(replace(submission(request=made.request_id), request_hash=b"x" * 32))


async def test_one_request_racing_itself_is_kept_once(store: NodeStore, database: Database) -> None:
    made = submission()
    results = await asyncio.gather(*(store.submit(made) for _ in range(20)))
    assert sum(not result.repeated for result in results) == 1
    assert len(rows(database, "SELECT 1 FROM document")) == 1


async def test_a_refused_submission_leaves_the_others_of_its_group(
    store: NodeStore, database: Database
) -> None:
    taken = submission()
    await store.submit(taken)
    made = [submission() for _ in range(10)]
    made[4] = replace(submission(), deliveries=taken.deliveries)  # ids that exist
    results = await asyncio.gather(*map(store.submit, made), return_exceptions=True)
    assert [isinstance(result, Exception) for result in results].count(True) == 1
    assert len(rows(database, "SELECT 1 FROM document")) == 10


async def test_urgent_lanes_come_first_then_the_oldest(store: NodeStore, office: Office) -> None:
    urgencies = [Urgency.NORMAL, Urgency.HOA_TOC, Urgency.KHAN, Urgency.NORMAL, Urgency.HOA_TOC]
    made = [submission(urgency=urgency) for urgency in urgencies]
    queued = await queued_at(store, office, *made)
    order = [
        made.index(next(m for m in made if m.deliveries[0].message_id == q.message_id))
        for q in queued
    ]
    assert order == [1, 4, 2, 0, 3]


async def test_normal_documents_are_sealed_and_offered_while_urgent_ones_never_end(
    store: NodeStore, office: Office
) -> None:
    made = [submission(urgency=Urgency.HOA_TOC) for _ in range(30)]
    made += [submission(urgency=Urgency.NORMAL) for _ in range(5)]
    await office.open()
    for each in made:
        await store.submit(each)
    waiting = await store.unsealed(16)
    assert [item.urgency for item in waiting.envelopes] == (
        [Urgency.HOA_TOC] * 14 + [Urgency.NORMAL] * 2
    )
    while (waiting := await store.unsealed(16)).envelopes:
        await store.commit_seal(office.seal(waiting))
    offered = await store.due("G01", NOW, 16)
    assert [item.lane for item in offered] == [Lane.HOA_TOC] * 14 + [Lane.NORMAL] * 2
    rest = await store.due("G01", NOW, 100, places(offered))
    assert len(offered) + len(rest) == len(made)


async def test_what_a_courier_holds_is_left_out_and_asking_changes_nothing(
    store: NodeStore, office: Office, database: Database
) -> None:
    made = [submission(urgency=urgency) for urgency in [Urgency.NORMAL, Urgency.KHAN] * 20]
    queued = await queued_at(store, office, *made)
    before = rows(database, "SELECT * FROM delivery ORDER BY id")
    assert await store.due("G01", NOW, 1000) == queued
    held: list[QueuedDelivery] = []
    while found := await store.due("G01", NOW, 7, places(held)):
        assert len(found) == min(7, len(queued) - len(held))
        held += found
    assert held[:20] != queued[:20]  # the lower lane had its share
    assert sorted(places(held)) == sorted(places(queued))
    assert rows(database, "SELECT * FROM delivery ORDER BY id") == before


async def test_lanes_and_share_are_the_same_whatever_is_held(
    store: NodeStore, office: Office
) -> None:
    made = [submission(urgency=Urgency.KHAN) for _ in range(40)]
    made += [submission(urgency=Urgency.NORMAL) for _ in range(10)]
    queued = await queued_at(store, office, *made)
    urgent, normal = queued[:40], queued[40:]
    found = await store.due("G01", NOW, 16, places(urgent[:9] + normal[:3]))
    assert found == [*urgent[9:23], *normal[3:5]]


async def test_a_delivery_whose_parts_leave_is_sending_until_given_back(
    store: NodeStore, office: Office
) -> None:
    made = [submission(), submission(), submission()]
    queued = await queued_at(store, office, *made)
    await store.parts_leave([queued[0].message_id, queued[1].message_id])
    assert [await state_of(store, each) for each in made] == ["sending", "sending", "queued"]
    assert await store.due("G01", NOW, 10) == queued[2:]
    await store.give_back([queued[1].message_id, queued[2].message_id])
    again = await store.due("G01", NOW, 10)
    assert again == queued[1:]
    assert again[0].attempts == 0  # nobody answered
    assert await store.give_back_all() == 1
    assert await store.due("G01", NOW, 10) == queued
    assert await store.give_back_all() == 0


async def test_parts_of_what_has_ended_or_waits_make_nothing_sending(
    store: NodeStore, office: Office, peer: Office
) -> None:
    made = [submission(), submission(), submission()]
    queued = await queued_at(store, office, *made)
    await store.record(peer.delivered(queued[:1]), NOW)
    await store.record(
        [
            outcome(queued[1], DeliveryState.HELD, reason="SEAL_INVALID"),
            outcome(queued[2], DeliveryState.QUEUED, next_at=LATER),
        ],
        NOW,
    )
    await store.parts_leave([item.message_id for item in queued])
    assert [await state_of(store, each) for each in made] == ["delivered", "held", "queued"]


async def test_a_delivery_that_is_queued_again_while_it_is_held_is_offered_once_it_is_let_go(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    [item] = await queued_at(store, office, submission())
    await store.record(peer.delivered([item]), NOW)
    # The peer was restored and lost it, before the courier let it go.
    assert await store.requeue_lost("G01", kept=None, epoch=peer.start(LATER)) == 1
    assert await store.due("G01", NOW, 10, places([item])) == []
    assert await store.due("G01", NOW, 10) == [item]


async def test_a_delivery_told_to_come_later_waits_for_its_moment(
    store: NodeStore, office: Office
) -> None:
    [item] = await queued_at(store, office, submission())
    later = outcome(
        item,
        DeliveryState.QUEUED,
        reason="PART_DIGEST_MISMATCH",
        message="a\x00b",
        next_at=NOW + 5 * SECOND,
        digest_failed=True,
    )
    await store.record([later], NOW)
    assert await store.due("G01", NOW + 4 * SECOND, 10) == []
    [queue] = await store.queues()
    assert (queue.to_node, queue.due_at) == ("G01", NOW + 5 * SECOND)
    [again] = await store.due("G01", NOW + 5 * SECOND, 10)
    assert (again.attempts, again.digest_failures) == (1, 1)


async def test_urgent_delivery_that_has_come_due_goes_before_what_was_queued(
    store: NodeStore, office: Office
) -> None:
    made = [submission(urgency=Urgency.NORMAL), submission(urgency=Urgency.HOA_TOC)]
    urgent, normal = await queued_at(store, office, *made)
    later = outcome(urgent, DeliveryState.QUEUED, reason="DISK_FULL", next_at=NOW + SECOND)
    await store.record([later], NOW)
    assert await store.due("G01", NOW, 10) == [normal]
    due = await store.due("G01", NOW + SECOND, 10)
    assert [item.place for item in due] == [urgent.place, normal.place]


async def test_a_queue_waits_for_its_peer_and_goes_on_with_its_hello(
    store: NodeStore, office: Office
) -> None:
    await office.open()
    await store.submit(submission(urgency=Urgency.KHAN))
    await store.submit(submission(to=["H30"]))
    await office.seal_all()
    next_at = NOW + 60 * SECOND
    await store.peer_failed("G01", NOW, reason="PEER_UNREACHABLE", message="?", next_at=next_at)
    assert await store.due("G01", NOW, 10) == []
    queues = {queue.to_node: queue for queue in await store.queues()}
    assert queues["G01"].due_at == next_at
    assert queues["G01"].best_lane is Lane.KHAN
    assert queues["H30"].due_at < NOW
    await store.peer_answered("G01", NOW)
    assert len(await store.due("G01", NOW, 10)) == 1


async def test_a_receipt_is_never_overwritten(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission()
    queued = await queued_at(store, office, made)
    await store.record(peer.delivered(queued), NOW)
    await store.record([outcome(queued[0], DeliveryState.HELD, reason="SEAL_INVALID")], NOW)
    await store.record([outcome(queued[0], DeliveryState.QUEUED, next_at=NOW)], NOW)
    [other] = peer.receipts(queued, result=Result.REJECTED, reason="MESSAGE_CONFLICT")
    rejected = outcome(queued[0], DeliveryState.REJECTED, receipt=other, reason="MESSAGE_CONFLICT")
    for _ in range(2):  # the same later receipt is kept once
        await store.record([rejected], NOW)
    assert await state_of(store, made) is DeliveryState.DELIVERED
    kept = rows(database, "SELECT rank, result FROM receipt_got ORDER BY rank")
    assert [tuple(row) for row in kept] == [(0, "delivered"), (1, "rejected")]
    assert await store.due("G01", NOW, 10) == []
    assert len(rows(database, "SELECT 1 FROM event")) == 1


async def test_of_two_outcomes_in_one_batch_the_receipt_counts(
    store: NodeStore, office: Office, peer: Office
) -> None:
    made = submission()
    queued = await queued_at(store, office, made)
    [delivered] = peer.delivered(queued)
    await store.record([delivered, outcome(queued[0], DeliveryState.HELD, reason="X")], NOW)
    assert await state_of(store, made) is DeliveryState.DELIVERED


async def test_a_delivery_nobody_answered_expires_and_a_later_receipt_wins(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission(expires=NOW + 10 * SECOND)
    queued = await queued_at(store, office, made, submission())
    assert await given_up(store, NOW + 9 * SECOND) == 0
    assert await ended(store, NOW + 10 * SECOND, places(queued)) == []  # may be answered yet
    assert await given_up(store, NOW + 10 * SECOND) == 1
    assert await given_up(store, NOW + 10 * SECOND) == 0
    assert await state_of(store, made) is DeliveryState.EXPIRED
    assert len((await store.unsealed(10)).effects) == 1
    await store.record([outcome(queued[0], DeliveryState.QUEUED, next_at=NOW)], NOW)
    assert await state_of(store, made) is DeliveryState.EXPIRED
    await store.record(peer.delivered(queued[:1]), NOW + 20 * SECOND)
    assert await state_of(store, made) is DeliveryState.DELIVERED
    kinds = [row.kind for row in rows(database, "SELECT kind FROM event ORDER BY position")]
    assert kinds == ["delivery.expired", "delivery.delivered"]


async def test_an_unsealed_document_does_not_expire(store: NodeStore) -> None:
    await store.submit(submission(expires=NOW))
    assert await given_up(store, NOW + SECOND) == 0


async def test_an_expired_envelope_is_not_offered(store: NodeStore, office: Office) -> None:
    await office.open()
    await store.submit(submission(expires=NOW + SECOND))
    await office.seal_all()
    assert await store.due("G01", NOW + SECOND, 10) == []


async def test_a_refused_message_is_held_with_its_reason(
    store: NodeStore, office: Office, database: Database
) -> None:
    made = submission()
    [item] = await queued_at(store, office, made)
    held = outcome(item, DeliveryState.HELD, reason="SEAL_INVALID", message="no")
    await store.record([held], NOW)
    assert await state_of(store, made) is DeliveryState.HELD
    assert await store.due("G01", LATER, 10) == []
    [row] = rows(database, "SELECT reason, message, ended_at FROM delivery")
    assert (row.reason, row.message) == ("SEAL_INVALID", "no")
    [event] = rows(database, "SELECT kind, agency, message_id FROM event")
    assert (event.kind, event.agency, event.message_id) == (
        "delivery.held",
        "G01",
        item.message_id,
    )


async def test_the_envelope_that_the_recipient_holds_replaces_ours(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission()
    older = Office("H29").envelope(made)
    [item] = await queued_at(store, office, made)
    [receipt] = peer.receipts([replace(item, envelope=older)])
    duplicate = outcome(item, DeliveryState.DELIVERED, receipt=receipt, adopted=older)
    await store.record([duplicate], NOW)
    kept = rows(
        database,
        "SELECT e.rank, e.data, d.envelope_rank FROM delivery_envelope e "
        "JOIN delivery d ON d.message_id = e.message_id ORDER BY e.rank",
    )
    assert [row.rank for row in kept] == [0, 1]
    assert kept[1].data == older.statement
    assert kept[0].envelope_rank == 1


async def test_outcomes_of_unknown_messages_are_of_no_matter(
    store: NodeStore, office: Office, peer: Office
) -> None:
    queued = await queued_at(store, office, submission())
    stranger = replace(queued[0], message_id=b"\x01" * 16)
    await store.record([outcome(stranger, DeliveryState.HELD)], NOW)
    await store.record([], NOW)
    await store.give_back([])


async def test_many_receipts_under_one_seal_keep_that_seal_once(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    queued = await queued_at(store, office, *(submission() for _ in range(30)))
    await store.record(peer.delivered(queued), NOW)
    [row] = rows(
        database, "SELECT count(DISTINCT seal_id) AS seals, count(*) AS receipts FROM receipt_got"
    )
    assert (row.seals, row.receipts) == (1, 30)
