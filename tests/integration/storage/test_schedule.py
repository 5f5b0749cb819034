"""Documents that are to be sent later wait where nobody looks for work, and go at their moment."""

from dataclasses import replace
from datetime import timedelta

from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.model import DeliveryState, Lane, QueuedDelivery, Submission
from edocnode.domain.office_model import PageRequest
from edocnode.storage.office import SqlOffice
from edocnode.storage.office_views import SCHEDULED
from edocnode.storage.store import NodeStore
from edocnode.storage.submitting import FANOUT_PIECE
from tests.integration.storage.offices import NOW, Office, submission

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def later(*, urgency: Urgency = Urgency.NORMAL, after: timedelta = HOUR, to: int = 1) -> Submission:
    made = submission(to=["G01"] * to, urgency=urgency)
    return replace(made, send_at=NOW + after)


async def waiting(store: NodeStore) -> list[bytes]:
    return [item.message_id for item in (await store.unsealed(10_000)).envelopes]


async def test_scheduled_document_is_not_for_the_sealer_before_its_moment(
    store: NodeStore,
) -> None:
    made = later()
    await store.submit(made)
    assert await store.next_due() == NOW + HOUR
    assert await store.release(NOW + HOUR - SECOND) == 0
    assert await waiting(store) == []
    assert await store.release(NOW + HOUR) == 1
    assert await waiting(store) == [made.deliveries[0].message_id]
    assert (await store.next_due(), await store.release(NOW + HOUR)) == (None, 0)


async def test_envelope_of_a_scheduled_document_is_made_when_it_is_sent(
    store: NodeStore, office: Office
) -> None:
    made = later()
    await store.submit(made)
    await office.open()
    first = submission(at=NOW + SECOND)
    await store.submit(first)
    [earlier] = (await office.seal_all()).envelopes
    await store.release(NOW + HOUR)
    [item] = (await office.seal_all(NOW + HOUR)).envelopes
    assert (earlier.seq, item.seq) == (1, 2)
    assert b'"created":"2026-11-23T03:00:00.000Z"' in item.data


async def test_scheduled_document_is_shown_as_queued_with_its_time(
    store: NodeStore, database: Database
) -> None:
    made = later()
    result = await store.submit(made)
    assert result.deliveries[0][2] is DeliveryState.QUEUED
    await store.peer_failed("G01", NOW, reason="PEER_UNREACHABLE", message="no", next_at=NOW)
    [entry] = (await SqlOffice(database).outbox(PageRequest(state="queued"))).entries
    [delivery] = entry.deliveries
    assert (entry.send_at, delivery.next_at) == (NOW + HOUR, NOW + HOUR)
    assert (delivery.state, delivery.reason) == (DeliveryState.QUEUED, SCHEDULED)
    assert delivery.peer_down_since is None
    assert await SqlOffice(database).oldest_undelivered() == {}
    await store.release(NOW + HOUR)
    [entry] = (await SqlOffice(database).outbox(PageRequest())).entries
    assert (entry.send_at, entry.deliveries[0].reason) == (None, "PEER_UNREACHABLE")


async def test_what_is_due_goes_in_bounded_pieces_urgent_lanes_first(store: NodeStore) -> None:
    normal = [later(after=HOUR - SECOND) for _ in range(FANOUT_PIECE - 1)]
    large = later(to=FANOUT_PIECE + 3)
    urgent = later(urgency=Urgency.HOA_TOC)
    not_yet = later(urgency=Urgency.HOA_TOC, after=2 * HOUR)
    await store.submit_many(normal)
    for made in (large, urgent, not_yet):
        await store.submit(made)
    assert await store.release(NOW + HOUR) == FANOUT_PIECE
    assert urgent.deliveries[0].message_id in await waiting(store)
    rest = len(normal) + len(large.deliveries) + 1 - FANOUT_PIECE
    assert await store.release(NOW + HOUR) == min(rest, FANOUT_PIECE)
    assert await store.release(NOW + HOUR) == rest - FANOUT_PIECE
    assert await store.next_due() == NOW + 2 * HOUR


async def test_scheduled_document_that_a_peer_gives_back_is_not_sent_again(
    store: NodeStore, office: Office
) -> None:
    """The backup that was put back is older than the moment of sending."""
    made = later()
    await store.submit(made)
    await office.open()
    other = Office("H29")
    envelope = other.envelope(made)
    assert await store.adopt(envelope, None, b"", NOW + 2 * HOUR)
    assert await store.release(NOW + 2 * HOUR) == 0
    assert await waiting(store) == []
    [queued] = await store.due("G01", NOW, 10)
    assert queued.envelope == envelope
    assert await store.next_due() is None


async def test_receipt_that_comes_back_ends_a_scheduled_document(
    store: NodeStore, peer: Office
) -> None:
    made = later()
    await store.submit(made)
    [item] = queued_elsewhere(made)
    [receipt] = peer.receipts([item])
    assert await store.adopt(item.envelope, receipt, b"", NOW + 2 * HOUR)
    assert await store.release(NOW + 2 * HOUR) == 0
    assert (await store.submit(made)).deliveries[0][2] is DeliveryState.DELIVERED


def queued_elsewhere(made: Submission) -> list[QueuedDelivery]:
    """A document as another copy of this node had it in its queue."""
    return [
        QueuedDelivery(
            place=1,
            message_id=made.deliveries[0].message_id,
            document_id=made.document_id,
            sender="H29",
            recipient="G01",
            to_node="G01",
            lane=Lane.NORMAL,
            envelope=Office("H29").envelope(made),
            parts=made.parts,
            inline=made.inline,
            attempts=0,
            digest_failures=0,
        )
    ]
