"""Documents on their way out: kept, sealed, offered, answered."""

from edocnode.domain.model import DeliveryState
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, submission


async def test_a_document_goes_from_submission_to_receipt(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission()
    await store.submit(made)
    assert await store.due("G01", NOW, 10) == []
    commit = await office.seal_all()
    queued = list(await store.due("G01", NOW, 10))
    assert [item.message_id for item in queued] == [made.deliveries[0].message_id]
    assert queued[0].envelope.statement == commit.envelopes[0].data
    assert queued[0].envelope.seal == commit.seal
    assert queued[0].inline == made.inline
    assert queued[0].parts == made.parts
    await store.record(peer.delivered(queued), NOW)
    again = await store.submit(made)
    assert again.repeated
    assert again.deliveries == ((made.deliveries[0].message_id, "G01", DeliveryState.DELIVERED),)
