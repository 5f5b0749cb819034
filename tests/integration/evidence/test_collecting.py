"""What the database gives as evidence of one message, at the sender and at the recipient."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState
from edoccore.signing.seal import check_effect
from edoccore.signing.statements import Effect, Seal, uuid_text
from edockit.database import Database
from edocnode.domain.expiring import NO_RECEIPT_BY
from edocnode.domain.model import MessageId
from edocnode.storage.evidence import SqlEvidence
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import (
    NOW,
    Office,
    arrival,
    given_up,
    sealed,
    status_submission,
    submission,
)
from tests.support.stores import new_file


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_store")
    else:
        url = new_file(tmp_path / "node.db")
    opened = open_store(url)
    yield opened
    opened.close()


async def test_sender_has_envelope_receipt_parts_and_the_status_it_got(database: Database) -> None:
    store = NodeStore(database)
    office, peer = Office("H29", store), Office("G01")
    await office.open()
    made = submission(large=70_000)
    message_id = made.deliveries[0].message_id
    await store.submit(made)
    await office.seal_all()
    (queued,) = await store.due("G01", NOW, 10)
    outcomes = peer.delivered([queued])
    await store.record(outcomes, NOW)
    status = status_submission(queued.envelope, DocumentState.ACCEPTED, sender="G01", to="H29")
    told = peer.envelope(status)
    await store.keep([arrival(told, status.inline[: status.parts[0].size])])
    await office.seal_all()
    found = await SqlEvidence(database).find(message_id)
    assert found is not None
    assert found.envelope == queued.envelope
    assert found.receipt == outcomes[0].receipt
    assert b"".join(found.inline[index] for index in (0, 1)) == made.inline
    assert found.blobs == {2}
    assert [item.envelope for item in found.statuses] == [told]
    assert found.statuses[0].record == status.inline[: status.parts[0].size]
    assert found.statuses[0].receipt is not None


async def test_recipient_has_envelope_its_receipt_and_the_status_it_sent(
    database: Database,
) -> None:
    store = NodeStore(database)
    office, peer = Office("H29", store), Office("G01")
    await office.open()
    made = submission("G01", ["H29"])
    envelope = peer.envelope(made)
    await store.keep([arrival(envelope, made.inline)])
    commit = await office.seal_all()
    receipt = sealed(commit, commit.receipts[0])
    status = status_submission(envelope, DocumentState.FINISHED, sender="H29", to="G01")
    await store.submit(status)
    await office.seal_all()
    found = await SqlEvidence(database).find(made.deliveries[0].message_id)
    assert found is not None
    assert (found.envelope, found.receipt) == (envelope, receipt)
    assert b"".join(found.inline.values()) == made.inline
    assert len(found.statuses) == 1
    assert found.statuses[0].receipt is None


async def test_unknown_and_unsealed_messages_have_no_evidence(database: Database) -> None:
    store = NodeStore(database)
    made = submission()
    await store.submit(made)
    for message_id in (MessageId(bytes(16)), made.deliveries[0].message_id):
        assert await SqlEvidence(database).find(message_id) is None


async def test_what_was_said_of_a_delivery_without_an_answer_is_its_evidence_once_sealed(
    database: Database,
) -> None:
    store = NodeStore(database)
    office = Office("H29", store)
    await office.open()
    made, other = submission(), submission()
    await store.submit(made)
    await store.submit(other)
    await office.seal_all()
    later = NOW + timedelta(days=31)
    assert await given_up(store, later) == 2
    message_id = made.deliveries[0].message_id
    waiting = await SqlEvidence(database).find(message_id)
    assert waiting is not None
    assert waiting.no_receipt is None
    await office.seal_all(later)
    found = await SqlEvidence(database).find(message_id)
    assert found is not None
    assert found.no_receipt is not None
    word = found.no_receipt
    effect = canonical.decode(word.sealed.statement, Effect)
    assert (effect.kind, effect.subject) == (NO_RECEIPT_BY, uuid_text(message_id))
    seal = canonical.decode(word.sealed.seal.data, Seal)
    check_effect(
        seal, word.salt, word.sealed.statement, leaf=word.sealed.leaf, proof=word.sealed.proof
    )
