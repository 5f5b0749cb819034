"""Couriers end when they must, and neither a damaged part nor a full disk stops the others."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.errors import DiskFullError
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.domain import places
from edocnode.domain.exchange import Parcel, TryLater
from edocnode.domain.model import Lane
from edocnode.rpc.messages import answers_to_messages, batch_from_message, hello_to_message
from edocnode.storage.expiring import SqlExpiry
from edocnode.storage.outbox import SqlOutbox
from edocnode.storage.peers import SqlPeers
from edocnode.workers import courier, delivery, expiring
from tests.integration.exchange.conftest import make_nation
from tests.support.bad_peer import BadRecipient
from tests.support.nation import Agency, Nation
from tests.support.nodes import TestNode, make_node, make_pair, running, until, utc_now
from tests.support.ports import free_port

SMALL_BLOB = bytes(100_000)  # rides with its envelope and lies in the blob folder


class SilentRecipient(BadRecipient):
    """Takes everything and answers nothing; ends its streams when told to.

    Attributes:
        seen: Digests of the envelopes that came, by stream.
        needs: Asks for all parts, and gives no answer to what is offered again.
        puts_off: Lets all come again later but the very first document, which gets no answer.
    """

    ends = False
    needs = False
    puts_off = False

    def __init__(self, nation: Nation, agency: Agency, port: int) -> None:
        super().__init__(nation, agency, port)
        self.seen: list[list[bytes]] = []

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[messages.DeliverRequest], context: object
    ) -> AsyncIterator[messages.DeliverResponse]:
        """Says hello and no more."""
        async for request in request_iterator:
            if request.WhichOneof("kind") == "hello":
                self.seen.append([])
                yield messages.DeliverResponse(hello=hello_to_message(self.peer.hello()))
                continue
            for parcel in batch_from_message(request.batch):
                digest = sha256(parcel.envelope.statement).digest()
                if self.needs and digest not in self.seen[-1]:
                    for answers in answers_to_messages(self._needs(parcel)):
                        yield messages.DeliverResponse(answers=answers)
                if self.puts_off and self.seen != [[]]:
                    for answers in answers_to_messages([self._later(parcel)]):
                        yield messages.DeliverResponse(answers=answers)
                self.seen[-1].append(digest)
            if self.ends:
                return

    def _later(self, parcel: Parcel) -> TryLater:
        need = self._needs(parcel)[0]
        return TryLater(
            message_id=need.message_id,
            envelope_digest=need.envelope_digest,
            reason="QUOTA_EXCEEDED",
            message="",
            after=None,
        )


@pytest.fixture
def silent(tmp_path: Path) -> tuple[TestNode, SilentRecipient]:
    """A node of G01, and H29 that gives no answers."""
    nation = make_nation(free_port())
    port = free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    return node, SilentRecipient(nation, nation.agencies["H29"], port)


async def test_t41_a_part_damaged_on_the_sender_s_disk_holds_up_no_other_document(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first):
        damaged = await first.send(SMALL_BLOB, to=["G01"])
        others = [await first.send(b"%d" % number, to=["G01"]) for number in range(10)]
        (blob,) = [path for path in (first.data / "blobs").glob("??/*") if path.is_file()]
        blob.write_bytes(SMALL_BLOB[:-1] + b"1")
        async with running(second):
            await first.delivered(*others)
            await until(lambda: first.state(damaged.message_id) == "held")
            assert (await first.delivery(damaged)).reason == "STORAGE_DAMAGED"
            assert second.inbox() == 10


async def test_a_peer_that_never_answers_counts_as_gone_however_much_is_sent_to_it(
    silent: tuple[TestNode, SilentRecipient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ANSWER_WAIT", timedelta(seconds=1))
    node, recipient = silent

    async def keep_sending() -> None:
        while True:
            await node.send(b"x", to=["H29"])
            await asyncio.sleep(0.1)

    async with recipient.serve(), running(node):
        sending = asyncio.create_task(keep_sending())
        await until(
            lambda: node.rows("SELECT 1 FROM peer WHERE reason = 'PEER_UNREACHABLE'"), within_s=60
        )
        sending.cancel()


async def test_a_document_without_an_answer_comes_again_whatever_else_the_peer_answers(
    silent: tuple[TestNode, SilentRecipient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ONE_ANSWER_WAIT", timedelta(seconds=1))
    node, recipient = silent
    recipient.puts_off = True

    async def keep_sending() -> None:
        while True:
            await node.send(b"x", to=["H29"])
            await asyncio.sleep(0.1)

    async with recipient.serve(), running(node):
        await node.send(b"never answered", to=["H29"])
        await until(lambda: recipient.seen and recipient.seen[0])
        sending = asyncio.create_task(keep_sending())
        first = recipient.seen[0][0]
        await until(lambda: any(first in seen for seen in recipient.seen[1:]), within_s=60)
        sending.cancel()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_was_ahead_and_is_set_right_holds_no_document_back(
    silent: tuple[TestNode, SilentRecipient], restarted: bool
) -> None:
    node, recipient = silent
    ahead = [timedelta(hours=1)]
    node.clock = lambda: utc_now() + ahead[0]
    wrong = "SELECT 1 FROM peer WHERE attempts > 0"
    async with running(node):
        async with recipient.serve():
            await node.send(b"seen while the clock is wrong", to=["H29"])
            await until(lambda: node.rows("SELECT 1 FROM peer WHERE last_seen IS NOT NULL"))
        await until(lambda: node.rows(wrong))
        if not restarted:
            ahead[0] = timedelta()
            async with recipient.serve():
                await until(lambda: not node.rows(wrong))
    if restarted:
        ahead[0] = timedelta()
        async with recipient.serve(), running(node):
            await until(lambda: not node.rows(wrong))


async def test_what_a_courier_held_is_queued_again_once_a_full_disk_has_room(
    silent: tuple[TestNode, SilentRecipient], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, recipient = silent
    recipient.needs = True

    async def full(*_: object, **__: object) -> None:
        raise DiskFullError

    async with recipient.serve(), running(node):
        sent = await node.send(bytes(400_000), to=["H29"])
        await until(lambda: node.state(sent.message_id) == "sending")
        await until(lambda: recipient.seen[-1:] and len(recipient.seen[-1]) == 2)
        with monkeypatch.context() as disk:
            for store, method in (
                (SqlOutbox, "give_back"),
                (SqlExpiry, "ending"),
                (SqlPeers, "peer_failed"),
            ):
                disk.setattr(store, method, full)
            recipient.ends = True
            await node.send(b"y" * 400_000, to=["H29"])
            await asyncio.sleep(1)
            assert node.state(sent.message_id) == "sending"
        await until(lambda: node.state(sent.message_id) == "queued")
        assert node.running is not None
        assert not node.running.done()


async def test_what_was_offered_is_offered_once_in_a_stream_and_again_in_the_next(
    silent: tuple[TestNode, SilentRecipient],
) -> None:
    node, recipient = silent
    async with recipient.serve(), running(node):
        for number in range(3):
            sent = await node.send(b"%d" % number, to=["H29"])
            await until(lambda: recipient.seen and len(recipient.seen[0]) == number + 1)  # noqa: B023
            assert node.state(sent.message_id) == "queued"
        await asyncio.sleep(2.5)  # the queue is looked at each second
        assert len(recipient.seen) == 1
        assert len(set(recipient.seen[0])) == len(recipient.seen[0]) == 3
        recipient.ends = True
        await node.send(b"3", to=["H29"])
        await until(lambda: len(recipient.seen) > 1 and len(set(recipient.seen[-1])) == 4)


async def test_what_is_under_way_when_its_envelope_ends_is_given_up_only_after_the_stream(
    silent: tuple[TestNode, SilentRecipient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiring, "EVERY", timedelta(seconds=0.2))
    node, recipient = silent
    async with recipient.serve(), running(node):
        sent = await node.send(b"x", to=["H29"])
        await until(lambda: recipient.seen and recipient.seen[0])
        node.write("UPDATE delivery SET expires_at = 1")
        await asyncio.sleep(1)
        assert node.state(sent.message_id) == "queued"
        recipient.ends = True
        await node.send(b"y", to=["H29"])
        await until(lambda: node.state(sent.message_id) == "expired")


async def test_large_documents_for_which_there_is_no_place_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "TRANSFERS", dict.fromkeys(Lane, 1))
    monkeypatch.setattr(courier, "WAITING_TRANSFERS", 0)
    monkeypatch.setattr(courier, "PUT_OFF", timedelta(milliseconds=1))
    _, first, second = make_pair(tmp_path)
    async with running(first):
        large = [await first.send(b"%d" % number * 400_000, to=["G01"]) for number in range(4)]
        async with running(second):
            await first.delivered(*large, within_s=60)
            assert second.inbox() == 4


async def test_more_peers_than_places_are_all_served_since_an_idle_courier_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "AT_ONCE", 1)
    nation = make_nation(free_port())
    ports = {code: free_port() for code in ("G01", "H29", "H30")}
    for code, port in ports.items():
        nation.set_address(code, f"127.0.0.1:{port}")
    nation.directory()
    first, *others = (
        make_node(nation, nation.agencies[code], tmp_path / code, port=port)
        for code, port in ports.items()
    )
    async with running(first, *others):
        both = await first.send(b"to two", to=["H29", "H30"])
        idle_s = courier.IDLE.total_seconds()
        await until(lambda: all(node.inbox() == 1 for node in others), within_s=idle_s / 2)
        await first.delivered(both)


@pytest.mark.parametrize(
    ("share_s", "urgency"),
    [(1, offices.URGENCY_NORMAL), (600, offices.URGENCY_HOA_TOC)],
    ids=["turn", "urgent"],
)
async def test_a_peer_that_takes_its_time_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_s: float, urgency: offices.Urgency
) -> None:
    monkeypatch.setattr(delivery, "AT_ONCE", 1)
    monkeypatch.setattr(places, "SHARE_S", share_s)
    nation = make_nation(free_port())
    ports = {code: free_port() for code in ("G01", "H29", "H30")}
    for code, port in ports.items():
        nation.set_address(code, f"127.0.0.1:{port}")
    nation.directory()
    first, second = (
        make_node(nation, nation.agencies[code], tmp_path / code, port=ports[code])
        for code in ("G01", "H30")
    )
    slow = SilentRecipient(nation, nation.agencies["H29"], ports["H29"])
    async with slow.serve(), running(first, second):
        await first.send(b"to the slow one", to=["H29"])
        await until(lambda: slow.seen and slow.seen[0])
        await first.delivered(await first.send(b"to another", to=["H30"], urgency=urgency))
        await until(
            lambda: [seen for seen in slow.seen[1:] if seen]
        )  # the slow one comes again after the others
