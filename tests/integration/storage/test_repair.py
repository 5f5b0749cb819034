"""Restores at storage level: what a peer lost is offered again, what was lost here comes back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from edoccore.signing import canonical
from edoccore.signing.statements import Result, Seal
from edockit.database import Database
from edocnode.domain.model import DeliveryState, EpochHead
from edocnode.domain.office_model import PageRequest
from edocnode.domain.searching import Filters
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import NOW, Office, arrival, given_up, sealed, submission

SECOND = timedelta(seconds=1)


def rows(database: Database, query: str) -> Any:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


async def states(store: NodeStore, *made: Any) -> list[DeliveryState]:
    return [(await store.submit(each)).deliveries[0][2] for each in made]


async def test_what_a_restored_peer_acknowledged_and_lost_is_offered_again(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    made = [submission(), submission(), submission(), submission(to=["H30"])]
    for each in made:
        await store.submit(each)
    await office.seal_all()
    before, lost, *_ = queued = list(await store.due("G01", NOW, 10))
    await store.record(peer.delivered([before]), NOW)
    kept = EpochHead(epoch=peer.state.epoch, size=peer.state.next_index, root=b"")
    await store.record(peer.delivered([lost]), NOW)  # the backup was made before this
    await store.record(peer.delivered(queued[2:]), NOW)
    other = Office("H30")
    await store.record(other.delivered(await store.due("H30", NOW, 10)), NOW)
    epoch = peer.start(NOW + SECOND)
    assert await store.requeue_lost("G01", kept=kept, epoch=epoch) == 2
    assert await states(store, *made) == [
        DeliveryState.DELIVERED,
        DeliveryState.QUEUED,
        DeliveryState.QUEUED,
        DeliveryState.DELIVERED,
    ]
    again = list(await store.due("G01", NOW, 10))
    assert [item.envelope for item in again] == [item.envelope for item in queued[1:]]
    await store.record(peer.delivered(again), NOW)
    assert await states(store, made[1]) == [DeliveryState.DELIVERED]
    assert len(rows(database, "SELECT 1 FROM receipt_got WHERE rank = 1")) == 2  # both prove
    assert await store.requeue_lost("G01", kept=kept, epoch=epoch) == 2  # a hello twice
    assert await store.requeue_lost("G01", kept=kept, epoch=epoch) == 0


async def test_of_a_peer_that_lost_everything_everything_is_offered_again(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    for _ in range(3):
        await store.submit(submission())
    await office.seal_all()
    for item in await store.due("G01", NOW, 10):
        await store.record(peer.delivered([item]), NOW)
    assert await store.requeue_lost("G01", kept=None, epoch=peer.start(NOW + SECOND)) == 3


async def test_what_was_offered_again_but_not_answered_stays_delivered(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission(expires=NOW + SECOND)
    await store.submit(made)
    await office.seal_all()
    await store.record(peer.delivered(await store.due("G01", NOW, 1)), NOW)
    await store.requeue_lost("G01", kept=None, epoch=peer.start(NOW + SECOND))
    assert await given_up(store, NOW + SECOND) == 0
    assert await states(store, made) == [DeliveryState.DELIVERED]  # the receipt still proves it


async def test_what_a_restored_peer_sent_is_given_back_to_it(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    peer.seal()
    made = [submission("G01", ["H29"]) for _ in range(4)]
    arrivals = [arrival(peer.envelope(each), each.inline) for each in made]
    arrivals[2] = msgspec.structs.replace(
        arrivals[2], result=Result.REJECTED, reason="PART_NAME_UNSAFE", inline=b"", listing={}
    )
    for each in arrivals[:3]:
        await store.keep([each])
    await office.seal_all()
    await store.keep(arrivals[3:])
    index = canonical.decode(arrivals[1].envelope.seal.data, Seal).index
    kept = EpochHead(epoch=peer.state.epoch, size=index, root=b"")
    epoch = peer.start(NOW + SECOND)
    lost = await store.lost_envelopes("G01", kept=kept, epoch=epoch)
    assert [envelope for envelope, _, _ in lost] == [item.envelope for item in arrivals[1:]]
    assert [receipt is not None for _, receipt, _ in lost] == [True, True, False]
    record = made[1].inline[: made[1].parts[0].size]
    assert [data for _, _, data in lost][:2] == [record, b""]
    assert len(await store.lost_envelopes("G01", kept=None, epoch=epoch)) == 4
    assert await store.lost_envelopes("H30", kept=None, epoch=epoch) == []


async def test_a_restored_node_takes_back_what_a_peer_held(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    there = open_store("sqlite://")  # the same node, before the restore
    try:
        before = Office("H29", NodeStore(there))
        await before.open()
        known, unsealed_here, gone, gone_unanswered = made = [submission() for _ in range(4)]
        for each in made:
            assert before.store is not None
            await before.store.submit(each)
        await before.seal_all()
        queued = {item.message_id: item for item in await before.store.due("G01", NOW, 10)}
    finally:
        there.close()
    receipts = dict(zip(queued, peer.receipts(list(queued.values())), strict=True))

    def back(item: Any, *, answered: bool = True) -> tuple[Any, Any, bytes]:
        message_id = item.deliveries[0].message_id
        record = item.inline[: item.parts[0].size]
        return queued[message_id].envelope, receipts[message_id] if answered else None, record

    await store.submit(known)
    await office.open(NOW + SECOND)
    await office.seal_all(NOW + SECOND)  # the restored node sealed it anew
    await store.submit(unsealed_here)
    for item in (known, unsealed_here, gone):
        assert await store.adopt(*back(item), NOW)
        assert not await store.adopt(*back(item), NOW)
    assert await store.adopt(*back(gone_unanswered, answered=False), NOW)
    assert not await store.adopt(*back(gone_unanswered, answered=False), NOW)
    assert await states(store, known, unsealed_here) == [DeliveryState.DELIVERED] * 2
    assert (await store.unsealed(10)).envelopes == ()
    assert (await store.last_seqs("H29"))["G01"] == 4
    found = {
        row.message_id: row
        for row in rows(
            database,
            "SELECT d.message_id, d.state, d.reason, e.data, o.complete, o.listing FROM delivery d "
            "JOIN delivery_envelope e ON e.message_id = d.message_id AND e.rank = d.envelope_rank "
            "JOIN document o ON o.id = d.document_row",
        )
    }
    for item in made:
        row = found[item.deliveries[0].message_id]
        assert row.data == back(item)[0].statement
    row = found[gone.deliveries[0].message_id]
    assert (row.state, row.complete) == ("delivered", 0)
    assert "trục liên thông" in bytes(row.listing).decode()
    wanted = PageRequest(filters=Filters(words=("lien thong",)))
    listed = await SqlOffice(database).outbox(wanted)  # what came back is found too
    assert {entry.document.document_id for entry in listed.entries} >= {
        gone.document_id,
        gone_unanswered.document_id,
    }
    row = found[gone_unanswered.deliveries[0].message_id]
    assert (row.state, row.reason) == ("held", "PARTS_LOST")
    assert await store.adopt(*back(gone_unanswered), NOW)  # its receipt comes later
    [row] = rows(database, "SELECT count(*) AS count FROM delivery WHERE state = 'delivered'")
    assert row.count == 4
    epoch = peer.start(NOW + SECOND)  # the peer loses them too: two still have their parts here
    assert await store.requeue_lost("G01", kept=None, epoch=epoch) == 2


async def test_a_document_given_back_while_it_is_being_sealed_disturbs_no_seal(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made, other = submission(), submission()
    old = Office("H29").envelope(made)
    await office.open(NOW + SECOND)
    await store.submit(made)
    await store.submit(other)
    commit, _ = office.word(await store.unsealed(10), at=NOW + SECOND)
    assert await store.adopt(old, None, b"", NOW)
    assert await store.commit_seal(commit) is False  # not all wait with these envelopes
    queued = {item.message_id: item for item in await store.due("G01", NOW, 10)}
    assert queued[made.deliveries[0].message_id].envelope == old
    ours = next(item for item in commit.envelopes if item.draft.message_id in queued)
    assert queued[other.deliveries[0].message_id].envelope == sealed(
        commit,
        next(i for i in commit.envelopes if i.draft.message_id == other.deliveries[0].message_id),
    )
    assert ours is not None
    assert len(rows(database, "SELECT 1 FROM delivery_envelope")) == 3


async def test_a_rejection_comes_back_with_its_reason(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    made = submission()
    envelope = Office("H29").envelope(made)
    await office.open(NOW + SECOND)
    await store.submit(made)
    await office.seal_all(NOW + SECOND)
    [item] = await store.due("G01", NOW, 1)
    [receipt] = peer.receipts(
        [replace(item, envelope=envelope)], result=Result.REJECTED, reason="PART_NAME_UNSAFE"
    )
    assert await store.adopt(envelope, receipt, b"", NOW)
    [row] = rows(database, "SELECT state, reason FROM delivery")
    assert tuple(row) == ("rejected", "PART_NAME_UNSAFE")
