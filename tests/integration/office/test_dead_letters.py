"""Held deliveries: told with reason and advice, queued again by a person as they were."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.errors import (
    AgencyUnknownError,
    DecisionConflictError,
    DocumentUnknownError,
    EnvelopeExpiredError,
    RequestInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, Envelope, Receipt, Result, time_text, uuid_bytes
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.exchange import Parcel, Received, Refused
from edocnode.domain.model import MessageId
from tests.integration.exchange.conftest import make_nation
from tests.integration.office.support import Refused as Fails
from tests.integration.office.support import text
from tests.support.bad_peer import BadRecipient, now
from tests.support.nodes import Sent, TestNode, make_node, running, until
from tests.support.ports import free_port


class Refuser(BadRecipient):
    """Refuses everything until it is told to take it."""

    takes = False

    def _needs(self, parcel: Parcel) -> list:
        envelope = canonical.decode(parcel.envelope.statement, Envelope)
        digest = sha256(parcel.envelope.statement)
        message_id = MessageId(uuid_bytes(envelope.message_id))
        named = {"message_id": message_id, "envelope_digest": digest.digest()}
        if not self.takes:
            return [Refused(**named, reason="SEAL_CERTIFICATE_REFUSED", message="Not known here.")]
        receipt = Receipt(
            network=envelope.network,
            envelope=digest.hexdigest(),
            message_id=envelope.message_id,
            from_=envelope.to,
            to=envelope.from_,
            result=Result.RECEIVED,
            time=time_text(now()),
        )
        return [Received(**named, receipt=self.peer.seal(canonical.encode(receipt))[0])]


class Scene:
    """A node of G01 whose recipient H29 refuses."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        nation = make_nation(free_port())
        nation.set_address("H29", f"127.0.0.1:{port}")
        self.node: TestNode = make_node(nation, nation.agencies["G01"], folder / "G01")
        self.recipient = Refuser(nation, nation.agencies["H29"], port)

    async def held(self, count: int) -> list[Sent]:
        """Documents that were refused."""
        sent = [await self.node.send(f"{i}".encode(), to=["H29"]) for i in range(count)]
        await until(lambda: all(self.node.state(item.message_id) == "held" for item in sent))
        return sent

    async def retry(self, **request: str) -> tuple[int, int]:
        """Queued again, and left."""
        async with self.node.office() as stub:
            answer = await stub.Retry(office.RetryRequest(**({"actor": "Trực ban"} | request)))
        return answer.queued, answer.left

    def effects(self) -> list[Effect]:
        """What the journal says of queueing again."""
        rows = self.node.rows("SELECT data FROM effect WHERE seal_id IS NOT NULL ORDER BY id")
        found = [canonical.decode(data, Effect) for (data,) in rows]
        return [effect for effect in found if effect.kind == "delivery.requeued"]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    async with made.recipient.serve(), running(made.node):
        yield made


async def test_what_is_held_is_listed_with_reason_since_when_and_what_to_do(scene: Scene) -> None:
    (sent,) = await scene.held(1)
    async with scene.node.office() as stub:
        asked = office.ListOutboxRequest(state=office.DELIVERY_STATE_HELD)
        (document,) = (await stub.ListOutbox(asked)).documents
        queued = office.ListOutboxRequest(state=office.DELIVERY_STATE_QUEUED)
        assert not (await stub.ListOutbox(queued)).documents
    (delivery,) = document.deliveries
    assert delivery.message_id == sent.message_id
    assert (delivery.reason, delivery.message) == ("SEAL_CERTIFICATE_REFUSED", "Not known here.")
    assert "registry's officer" in delivery.advice
    assert delivery.HasField("state_time")


async def test_a_held_delivery_goes_out_again_with_the_same_envelope(scene: Scene) -> None:
    (sent,) = await scene.held(1)
    envelopes = scene.node.rows("SELECT message_id, rank, data FROM delivery_envelope")
    scene.recipient.takes = True
    assert await scene.retry(id=text(sent.document_id)) == (1, 0)
    await scene.node.delivered(sent)
    assert scene.node.rows("SELECT message_id, rank, data FROM delivery_envelope") == envelopes
    await until(scene.effects)
    (effect,) = scene.effects()
    assert (effect.actor, effect.subject) == ("Trực ban", text(sent.message_id))
    with Fails(DecisionConflictError):
        await scene.retry(id=text(sent.document_id))


async def test_all_that_is_held_for_an_agency_goes_out_again(scene: Scene) -> None:
    sent = await scene.held(7)
    ended = sent.pop()
    shown = text(ended.message_id).replace("-", "")
    scene.node.write(f"UPDATE delivery SET expires_at = 1 WHERE message_id = x'{shown}'")
    scene.recipient.takes = True
    assert await scene.retry(all_of="H29") == (6, 1)
    await scene.node.delivered(*sent)
    assert scene.node.state(ended.message_id) == "held"
    assert await scene.retry(all_of="H29") == (0, 1)
    with Fails(EnvelopeExpiredError):
        await scene.retry(id=text(ended.message_id))
    await until(lambda: len(scene.effects()) == 6)


async def test_a_retry_that_names_nothing_both_or_the_unknown_is_refused(scene: Scene) -> None:
    with Fails(RequestInvalidError):
        await scene.retry()
    with Fails(RequestInvalidError):
        await scene.retry(id="12345678", all_of="H29")
    with Fails(RequestInvalidError):
        await scene.retry(all_of="H29", actor="")
    with Fails(AgencyUnknownError):
        await scene.retry(all_of="X99")
    with Fails(DocumentUnknownError):
        await scene.retry(id="01234567")
