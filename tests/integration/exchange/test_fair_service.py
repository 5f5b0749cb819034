"""Work in turns on a real event loop: what was begun ends, what nobody wants is not begun."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.errors import QuotaError, StorageFailedError
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.turns import TurnLimits
from edocnode.rpc.messages import batch_to_message
from edocnode.workers import fair_service
from edocnode.workers.fair_service import FairQueue
from tests.integration.exchange.conftest import Scene, make_nation
from tests.support.bad_peer import BadPeer
from tests.support.disks import fill, small_disk_of
from tests.support.nodes import make_node, running
from tests.support.ports import free_port

MEBIBYTE = 1024 * 1024
MOST_PASSED = 90  # of another agency's, between a document and its receipt; batches have 100
ONE = TurnLimits(in_work=1, alone=1, crowded=1, piece=1)


@dataclass
class Work:
    """Work that ends when the test says so."""

    failed: list[StorageFailedError] = field(default_factory=list)
    begun: list[tuple[str, int, int]] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def queue(self, limits: TurnLimits = ONE) -> FairQueue:
        return FairQueue(limits, lambda _: 1, self.failed.append)

    def ask(self, queue: FairQueue, agency: str, pieces: int = 1) -> "asyncio.Task[list[str]]":
        async def work(start: int, stop: int) -> str:
            self.begun.append((agency, start, stop))
            await self.go_on.wait()
            if self.error is not None:
                raise self.error
            return f"{agency} {start}-{stop}"

        return asyncio.create_task(queue.run(agency, [1] * pieces, work))


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_pieces_of_a_job_are_done_in_order_and_all_returned() -> None:
    work = Work()
    asking = work.ask(work.queue(), "H29", 3)
    work.go_on.set()
    assert await asking == ["H29 0-1", "H29 1-2", "H29 2-3"]


async def test_one_waits_for_the_other_and_neither_for_ever() -> None:
    work = Work()
    queue = work.queue()
    first, second = work.ask(queue, "H29", 2), work.ask(queue, "G01")
    await settle()
    assert work.begun == [("H29", 0, 1)]
    work.go_on.set()
    assert await second == ["G01 0-1"]
    await first


async def test_t28_work_that_was_begun_keeps_its_place_when_its_caller_goes_away() -> None:
    work = Work()
    queue = work.queue()
    gone = [work.ask(queue, "H29") for _ in range(50)]
    await settle()
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    next_one = work.ask(queue, "H29")
    await settle()
    assert work.begun == [("H29", 0, 1)]  # not one for each that called and went away
    work.go_on.set()
    assert await next_one == ["H29 0-1"]


async def test_a_failing_disk_is_told_also_when_the_caller_has_gone() -> None:
    work = Work(error=StorageFailedError("the disk failed"))
    asking = work.ask(work.queue(), "H29")
    await settle()
    asking.cancel()
    work.go_on.set()
    await settle()
    assert [str(error) for error in work.failed] == ["the disk failed"]


async def test_whoever_waited_too_long_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_service, "TURN_WAIT", timedelta(milliseconds=50))
    work = Work()
    queue = work.queue()
    holding = work.ask(queue, "H29")
    await settle()
    with pytest.raises(QuotaError, match="has waited for long") as told:
        await work.ask(queue, "G01")
    assert told.value.fields["retry_after_s"] == "5"
    work.go_on.set()
    await holding
    assert [agency for agency, _, _ in work.begun] == ["H29"]


async def test_stopping_ends_what_runs() -> None:
    work = Work()
    queue = work.queue()
    asking = work.ask(queue, "H29")
    await settle()
    await queue.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_parcels_that_waited_too_long_are_answered_try_later_and_received_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_service, "DESK_LIMITS", ONE)  # one parcel at a time
    monkeypatch.setattr(fair_service, "TURN_WAIT", timedelta(microseconds=100))
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        scene = Scene(nation, node, peer, 0, nation.directory())
        parcels = peer.parcels(*(peer.letter() for _ in range(20)))
        async with peer.stream() as stream:
            answers = await stream.exchange(*parcels)
            assert {scene.told(answer) for answer in answers} == {("try_later", "QUOTA_EXCEEDED")}
            assert {answer.after for answer in answers} == {timedelta(seconds=5)}
            monkeypatch.setattr(fair_service, "TURN_WAIT", timedelta(seconds=30))
            answers = await stream.exchange(*parcels)
            assert {scene.told(answer) for answer in answers} == {("received", "")}
        assert node.inbox() == 20


async def test_t28_a_document_waits_behind_pieces_of_a_flood_and_not_behind_its_batches(
    scene: Scene,
) -> None:
    letters = [scene.peer.letter(bytes(3_000)) for _ in range(1_600)]
    batches = [scene.peer.parcels(*letters[i : i + 100]) for i in range(0, 1_600, 100)]
    honest, passed = scene.other(), []
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(scene.peer.stream()) for _ in range(8)]
        own = await stack.enter_async_context(honest.stream())
        await own.exchange(honest.parcel(honest.letter()))
        for number, batch in enumerate(batches):
            request = messages.DeliverRequest(batch=batch_to_message(batch))
            await streams[number % 8].write(request)
        for _ in range(10):
            before = scene.kept()
            (answer,) = await own.exchange(honest.parcel(honest.letter()))
            assert scene.told(answer) == ("received", "")
            passed.append(scene.kept() - before)
    assert max(passed) < MOST_PASSED, passed


async def test_t30_what_peers_send_never_takes_the_room_that_receipts_need(
    tmp_path: Path,
) -> None:
    nation = make_nation(free_port())
    with small_disk_of(tmp_path / "disk", 100 * MEBIBYTE) as disk:
        node = make_node(nation, nation.agencies["G01"], disk / "G01")
        async with running(node):
            peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
            async with peer.stream() as stream:
                scene = Scene(nation, node, peer, 0, nation.directory())
                await scene.good(stream, 1)
                filler = fill(disk, leave_bytes=70 * MEBIBYTE)  # peers leave 80, the office 64
                letter = peer.letter()
                (answer,) = await stream.exchange(peer.parcel(letter))
                assert scene.told(answer) == ("try_later", "DISK_FULL")
                await node.send(b"of the own office", to=["H29"])
                filler.unlink()
                (answer,) = await stream.exchange(peer.parcel(letter))
                assert scene.told(answer) == ("received", "")
