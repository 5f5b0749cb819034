"""Deliveries that nobody answers: a last question, a sealed word; a late receipt wins."""

from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from edoccore.errors import PeerUnreachableError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect
from edoccore.wire.status import raise_for
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.rpc.messages import answers_from_message
from edocnode.workers import expiring
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import SERVICE, BadPeer, BadRecipient, Letter
from tests.support.nodes import Sent, TestNode, make_node, make_pair, running, until
from tests.support.ports import free_port

ENDED = "UPDATE delivery SET expires_at = 1"  # whatever the state, which changes all the time


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens each half minute happens often."""
    monkeypatch.setattr(expiring, "EVERY", timedelta(seconds=0.3))


def last_words(node: TestNode) -> list[Effect]:
    """What the journal says of deliveries that were given up."""
    rows = node.rows("SELECT data FROM effect WHERE seal_id IS NOT NULL ORDER BY id")
    found = [canonical.decode(data, Effect) for (data,) in rows]
    return [effect for effect in found if effect.kind == "delivery.no_receipt_by"]


def reason(node: TestNode, sent: Sent) -> str:
    (found,) = node.rows("SELECT reason FROM delivery WHERE message_id = ?", sent.message_id)
    return str(found[0])


class Mute(BadRecipient):
    """Takes calls and never answers a document; says to every question that it holds nothing."""

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[messages.DeliverRequest], context: object
    ) -> AsyncIterator[messages.DeliverResponse]:
        """Ends."""
        async for _ in request_iterator:
            raise PeerUnreachableError
        yield messages.DeliverResponse()

    async def Inquire(  # noqa: N802
        self, request: messages.InquireRequest, context: object
    ) -> AsyncIterator[messages.InquireResponse]:
        """Holds nothing."""
        for _ in ():
            yield messages.InquireResponse()


async def test_t17_what_a_recipient_never_answers_is_never_delivered_and_sealed_as_such(
    tmp_path: Path,
) -> None:
    port = free_port()
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    async with Mute(nation, nation.agencies["H29"], port).serve(), running(node):
        sent = await node.send(b"never answered", to=["H29"])
        await until(lambda: node.state(sent.message_id) == "queued")
        node.write(ENDED)
        await until(lambda: node.state(sent.message_id) == "expired")
        await until(lambda: last_words(node))
        (effect,) = last_words(node)
        delivery = await node.delivery(sent)
    ((envelope,),) = node.rows("SELECT data FROM delivery_envelope")
    assert effect.subject == str(UUID(bytes=sent.message_id))
    assert sha256(envelope).hexdigest() in str(effect.detail)
    assert "was asked and does not hold it" in str(effect.detail)
    assert delivery.reason == "NO_RECEIPT"
    assert "send it again" in delivery.advice
    kinds = [kind for (kind,) in node.rows("SELECT kind FROM event ORDER BY position")]
    assert kinds == ["delivery.expired"]


async def answered_without_hearing(tmp_path: Path) -> tuple[TestNode, TestNode, Sent]:
    """A pair of which the second received a document and the first never got the receipt."""
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = await first.send(b"received", to=["G01"])
        await first.delivered(sent)
    first.write(
        "DELETE FROM receipt_got",
        "UPDATE delivery SET state = 'queued', expires_at = 1, ended_at = NULL",
    )
    return first, second, sent


async def test_the_last_question_finds_the_receipt_that_was_lost(tmp_path: Path) -> None:
    first, second, sent = await answered_without_hearing(tmp_path)
    async with running(second, first):
        await first.delivered(sent)
    assert not last_words(first)
    assert first.count("SELECT count(*) FROM receipt_got") == 1


async def test_a_peer_that_is_back_is_asked_about_what_was_given_up_meanwhile(
    tmp_path: Path,
) -> None:
    first, second, sent = await answered_without_hearing(tmp_path)
    async with running(first):
        unknown = await first.send(b"not there", to=["G01"])
        await until(lambda: first.state(unknown.message_id) == "queued")
        first.write(ENDED)
        await until(lambda: first.state(unknown.message_id) == "expired", within_s=60)
        await until(lambda: len(last_words(first)) == 2)
        assert {first.state(item.message_id) for item in (sent, unknown)} == {"expired"}
        assert reason(first, unknown) == "PEER_UNREACHABLE"
        assert "could not be asked" in str(last_words(first)[0].detail)
        async with running(second):
            await first.delivered(sent)
            await until(lambda: reason(first, unknown) == "NO_RECEIPT")
    assert first.state(unknown.message_id) == "expired"
    assert second.inbox() == 1


async def asked(peer: BadPeer, *letters: Letter) -> list[object]:
    """What a node answers about messages."""
    request = messages.InquireRequest(
        messages=[
            messages.Inquiry(
                message_id=UUID(letter.message_id).bytes,
                envelope_digest=sha256(letter.data).digest(),
                sender=letter.envelope.from_,
            )
            for letter in letters
        ]
    )
    async with peer.connect() as connection:
        call = connection.channel.unary_stream(
            f"{SERVICE}/Inquire",
            request_serializer=messages.InquireRequest.SerializeToString,
            response_deserializer=messages.InquireResponse.FromString,
        )
        return [
            answer
            async for response in call(request)
            for answer in answers_from_message(response.answers)
        ]


async def test_only_its_sender_learns_whether_a_message_is_held(scene: Scene) -> None:
    held, other = scene.peer.letter(), scene.peer.letter()
    async with scene.peer.stream() as stream:
        await stream.exchange(scene.peer.parcel(held))
    (answer,) = await asked(scene.peer, held, other)
    assert scene.told(answer) == ("received", "")
    again = scene.peer.letter(message_id=held.message_id, seq=99)
    (answer,) = await asked(scene.peer, again)
    assert scene.told(answer) == ("duplicate", "")
    assert await asked(scene.other(), held) == []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked(scene.peer, *[other] * 300)
    assert raise_for(refused.value).reason == "LIMIT_EXCEEDED"
