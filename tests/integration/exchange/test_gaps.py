"""Numbers that never arrived: told, asked for, delivered again or explained."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edoccore.signing.statements import uuid_bytes
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.numbers import Settled
from edocnode.workers import reckoning
from tests.integration.exchange.conftest import make_nation
from tests.support.bad_peer import SERVICE, BadPeer, BadRecipient, Ended
from tests.support.nodes import TestNode, make_node, make_pair, running, until
from tests.support.ports import free_port

NUMBERS = "SELECT seq FROM incoming WHERE signer = 'H29' ORDER BY seq"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens once a minute happens often."""
    monkeypatch.setattr(reckoning, "EVERY", timedelta(seconds=0.3))


def lose(node: TestNode, *numbers: int) -> None:
    """Takes received messages out of the database, as a damaged disk would."""
    listed = ",".join(map(str, numbers))
    lost = f"(SELECT id FROM incoming WHERE signer = 'H29' AND seq IN ({listed}))"
    node.write(
        f"DELETE FROM inbox WHERE incoming_id IN {lost}",
        f"DELETE FROM receipt_given WHERE incoming_id IN {lost}",
        f"DELETE FROM blob_use WHERE kind = 'incoming' AND owner IN {lost}",
        f"DELETE FROM incoming WHERE signer = 'H29' AND seq IN ({listed})",
        "DELETE FROM accounted",
    )


async def test_t16_what_a_recipient_lost_is_missed_told_and_delivered_again(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(12)]
        await first.delivered(*sent)
    lose(second, 3, 7, 8, 9, 12)
    async with running(first, second):
        await until(lambda: second.inbox() == 12, within_s=60)
        await until(lambda: "SEQUENCE_GAP" not in second.alarms())
        await first.delivered(*sent)
    assert [seq for (seq,) in second.rows(NUMBERS)] == list(range(1, 13))
    gaps = "SELECT count(*) FROM explained"
    assert second.count(gaps) == 0


async def test_a_loss_is_noticed_while_both_run_without_anything_to_send(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(3)]
        await first.delivered(*sent)
        accounted = "SELECT count(*) FROM accounted WHERE agency = 'H29' AND seq = 3"
        await until(lambda: second.count(accounted), within_s=60)


async def test_what_cannot_be_offered_again_is_told_and_not_asked_for_ever(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(4)]
        await first.delivered(*sent)
    lose(second, 2)
    first.write("UPDATE delivery SET expires_at = 1 WHERE id = 2")
    async with running(second), running(first):
        await until(lambda: "DOCUMENT_GONE" in second.alarms(), within_s=60)
        await until(lambda: "SEQUENCE_GAP" not in second.alarms(), within_s=60)
    assert second.rows("SELECT seq, state FROM explained") == [(2, "gone")]


class Speaker(BadRecipient):
    """Answers questions about its numbers as a test wants.

    Attributes:
        said: State by number; None: it does not answer.
    """

    said: dict[int, int] | None = None
    asked: list[tuple[int, int]]

    async def Reconcile(  # noqa: N802
        self, request: messages.ReconcileRequest, context: Any
    ) -> messages.ReconcileResponse:
        """Answers."""
        self.asked += [(item.first, item.last) for item in request.ranges]
        if self.said is None:
            raise ValueError("no answer")
        return messages.ReconcileResponse(
            numbers=[
                messages.NumberAnswer(seq=seq, state=state, message_id=b"m" * 16)
                for seq, state in self.said.items()
            ]
        )


@contextlib.asynccontextmanager
async def speaking(tmp_path: Path) -> AsyncIterator[tuple[TestNode, Speaker, BadPeer]]:
    """A node of G01 to which H29 sent the numbers 1 to 4 and 6 to 9."""
    port = free_port()
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    speaker = Speaker(nation, nation.agencies["H29"], port)
    speaker.asked = []
    async with speaker.serve(), running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        async with peer.stream() as stream:
            letters = [peer.letter(seq=seq) for seq in (1, 2, 3, 4, 6, 7, 8, 9)]
            await stream.exchange(*peer.parcels(*letters))
        yield node, speaker, peer


def settled(peer: BadPeer, last: int) -> tuple[Settled, ...]:
    return (Settled(epoch=uuid_bytes(peer.agency.epoch), first=1, last=last),)


async def test_t16_a_number_left_out_by_its_sender_shows_until_it_is_explained(
    tmp_path: Path,
) -> None:
    async with speaking(tmp_path) as (node, speaker, peer), peer.connect() as connection:
        await connection.say_hello(settled=settled(peer, 4))
        await connection.say_hello(settled=settled(peer, 9))
        await until(lambda: "SEQUENCE_GAP" in node.alarms())
        told = node.alarms()["SEQUENCE_GAP"]
        assert told.startswith("H29")
        assert f"5 of epoch {peer.agency.epoch}" in told
        await until(lambda: len(speaker.asked) > 2)
        assert set(speaker.asked) == {(5, 5)}
        speaker.said = {5: messages.NUMBER_STATE_VOID, 6: messages.NUMBER_STATE_GONE}
        await until(lambda: "SEQUENCE_GAP" not in node.alarms())
    assert node.rows("SELECT seq, state FROM explained") == [(5, "void")]
    assert "DOCUMENT_GONE" not in node.alarms()  # nobody asked about 6


@pytest.mark.parametrize("state", ["COMING", "ELSEWHERE", "UNSPECIFIED"])
async def test_a_gap_stays_told_while_its_document_may_still_come(
    tmp_path: Path, state: str
) -> None:
    async with speaking(tmp_path) as (node, speaker, peer), peer.connect() as connection:
        speaker.said = {5: messages.NumberState.Value(f"NUMBER_STATE_{state}")}
        await connection.say_hello(settled=settled(peer, 9))
        await until(lambda: len(speaker.asked) > 3)
        await until(lambda: "SEQUENCE_GAP" in node.alarms())
        async with connection.stream() as stream:
            await stream.exchange(peer.parcel(peer.letter(seq=5)))
        await until(lambda: "SEQUENCE_GAP" not in node.alarms())
    assert node.count("SELECT count(*) FROM explained") == 0


async def test_marks_of_epochs_that_were_never_opened_are_not_looked_at(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (node, speaker, peer), peer.connect() as connection:
        made_up = Settled(epoch=b"\x01" * 16, first=1, last=1 << 50)
        await connection.say_hello(settled=(made_up, *settled(peer, 4)))
        accounted = "SELECT seq FROM accounted"
        await until(lambda: node.rows(accounted))
        await asyncio.sleep(1)  # time enough to alarm and to ask
        assert node.rows(accounted) == [(4,)]
        assert "SEQUENCE_GAP" not in node.alarms()
        assert not speaker.asked


async def test_an_enormous_mark_costs_a_bounded_question(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (_, speaker, peer), peer.connect() as connection:
        await connection.say_hello(settled=settled(peer, 1 << 50))
        await until(lambda: speaker.asked)
        assert sum(last - first + 1 for first, last in speaker.asked[:2]) <= 1_000


async def test_nobody_learns_of_the_numbers_of_others(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        sent = await first.send(b"1", to=["G01"])
        await first.delivered(sent)
        (epoch,) = first.rows("SELECT epoch FROM delivery_envelope")[0]
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "other")
    async with running(node):
        stranger = BadPeer(nation, nation.agencies["H30"], node.agency, node.address)
        async with stranger.connect() as connection:
            call = connection.channel.unary_unary(
                f"{SERVICE}/Reconcile",
                request_serializer=messages.ReconcileRequest.SerializeToString,
                response_deserializer=messages.ReconcileResponse.FromString,
            )
            ranges = [messages.NumberRange(first=1, last=3)]
            answer = await call(messages.ReconcileRequest(epoch=epoch, ranges=ranges))
            assert {item.state for item in answer.numbers} == {messages.NUMBER_STATE_COMING}
            assert not any(item.message_id for item in answer.numbers)
            too_many = [messages.NumberRange(first=1, last=5_000)]
            with pytest.raises(Exception, match="at most") as refused:
                await call(messages.ReconcileRequest(epoch=epoch, ranges=too_many))
            assert Ended(refused.value).reason == "LIMIT_EXCEEDED"
