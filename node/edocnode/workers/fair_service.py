"""The receiving desk behind a fair queue: no agency's flood delays another's document.

Parcels and the chunks of parts wait here for their turn (``domain.turns``); what was begun is
carried to its end even when its caller has gone, or an agency could have more in work than its
share by breaking off calls. What peers send may fill the disk only down to its reserve, which is
left to receipts and to the own office.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from edoccore.errors import DiskFullError, EdocError, QuotaError, StorageFailedError
from edockit.blobs import BlobFolder
from edocnode.domain.exchange import (
    Answer,
    Hello,
    IncomingPart,
    Inquiry,
    Parcel,
    PartSource,
    ReceivingService,
    Recovered,
    Session,
    TryLater,
)
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import NumberAnswer, Range
from edocnode.domain.quotas import over_quota, retry_after
from edocnode.domain.receiving import parcel_answer
from edocnode.domain.repair import PartName
from edocnode.domain.turns import Job, Turn, TurnLimits, Turns, batch_urgency, parcel_cost
from edocnode.workers.staging import PEERS_RESERVES

MEBIBYTE = 1024 * 1024
# A full batch costs about 1.2 MiB, and a stream has four of them on their way. In a crowd a
# newcomer's document waits for what is in work three times: to be judged, kept and told. With 24
# KiB (six documents) twice, an agency that floods gets two thirds of what it gets alone; with 64
# KiB as much as alone, but a newcomer's slowest take 2.6 times as long as in quiet, not 1.8.
DESK_LIMITS = TurnLimits(
    in_work=16 * MEBIBYTE, alone=5 * MEBIBYTE, crowded=48 * 1024, piece=24 * 1024
)
# Chunks, of at most 960 KiB, take a thread for as long as they are hashed and written.
DISK_LIMITS = TurnLimits(
    in_work=8 * MEBIBYTE, alone=6 * MEBIBYTE, crowded=2 * MEBIBYTE, piece=2 * MEBIBYTE
)
TURN_WAIT = timedelta(seconds=30)  # half of the time that a sender waits for any answer
AGAIN = timedelta(seconds=5)  # when to come again after it
OPENING_COST = 2 * MEBIBYTE  # what is on disk of a part is read again, which may take long

Result = TypeVar("Result")
Place = asyncio.Queue[Turn[Any]]  # where the turns of one job are handed over


class FairQueue:
    """Runs work in turns; see ``domain.turns``."""

    def __init__(
        self,
        limits: TurnLimits,
        weight: Callable[[str], int],
        on_failure: Callable[[StorageFailedError], None],
    ) -> None:
        """Takes the limits.

        Args:
            limits: What may be in work, bytes.
            weight: Of an agency.
            on_failure: Called when the disk failed in work whose caller has gone.
        """
        self._turns: Turns[Place] = Turns(limits, weight)
        self._on_failure = on_failure
        self._running: set[asyncio.Task[Any]] = set()

    async def run(
        self,
        agency: str,
        costs: Sequence[int],
        work: Callable[[int, int], Coroutine[Any, Any, Result]],
        *,
        urgency: int = 0,
    ) -> list[Result]:
        """Runs work in one or several turns, which may overlap.

        Args:
            agency: For whom.
            costs: Of its smallest pieces.
            work: Is given which of them to do, from, to.
            urgency: See ``Turns.ask``.

        Returns:
            What each turn returned, in order.

        Raises:
            QuotaError: It was not the agency's turn for too long.
        """
        place: Place = asyncio.Queue()
        job = self._turns.ask(agency, place, costs, urgency=urgency, now=_now())
        begun: list[asyncio.Task[Result]] = []
        reached = 0
        try:
            self._hand_out()
            while reached < len(costs):
                turn = await self._turn(agency, place) if place.empty() else place.get_nowait()
                reached = turn.stop
                begun.append(self._begin(turn, work))
            return [await asyncio.shield(task) for task in begun]
        finally:
            self._forget(job, place)

    async def _turn(self, agency: str, place: Place) -> Turn[Place]:
        try:
            async with asyncio.timeout(TURN_WAIT.total_seconds()):
                return await place.get()
        except TimeoutError:
            what = "is not the only one that wants something, and has waited for long"
            raise over_quota(agency, what, after_s=AGAIN.total_seconds()) from None

    async def stop(self) -> None:
        """Ends what still runs; nobody waits for it any more."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(
        self, turn: Turn[Place], work: Callable[[int, int], Coroutine[Any, Any, Result]]
    ) -> asyncio.Task[Result]:
        task = asyncio.create_task(work(turn.start, turn.stop))
        self._running.add(task)
        task.add_done_callback(lambda ended: self._ended(turn, ended))
        return task

    def _ended(self, turn: Turn[Place], task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StorageFailedError):
            self._on_failure(error)
        self._turns.done(turn, _now())
        self._hand_out()

    def _forget(self, job: Job[Place], place: Place) -> None:
        """Gives back the turns of a caller that has gone."""
        self._turns.drop(job)
        while not place.empty():
            self._turns.done(place.get_nowait(), _now())
        self._hand_out()

    def _hand_out(self) -> None:
        while (turn := self._turns.next(_now())) is not None:
            turn.job.item.put_nowait(turn)


class FairService:
    """Serves callers in turns; see ``ReceivingService``."""

    def __init__(
        self,
        service: ReceivingService,
        blobs: BlobFolder,
        *,
        weight: Callable[[str], int],
        on_failure: Callable[[StorageFailedError], None],
    ) -> None:
        """Takes what does the work.

        Args:
            service: Asked when it is an agency's turn.
            blobs: Knows how much room the disk has.
            weight: Of an agency.
            on_failure: See ``FairQueue``.
        """
        self._service = service
        self._blobs = blobs
        self._desk = FairQueue(DESK_LIMITS, weight, on_failure)
        self._disk = FairQueue(DISK_LIMITS, weight, on_failure)

    async def open_session(self, agency: str, hello: Hello) -> Session:
        """Judges a hello and answers it."""
        return await self._service.open_session(agency, hello)

    async def answer(self, agency: str, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        """Answers parcels; those for which there is no room are to come again."""
        if not parcels:
            return []
        costs = [parcel_cost(parcel) for parcel in parcels]

        async def work(start: int, stop: int) -> Sequence[Answer]:
            self._blobs.reserve(sum(costs[start:stop]), reserves=PEERS_RESERVES)
            return await self._service.answer(agency, parcels[start:stop])

        try:
            urgency = batch_urgency(parcels)
            pieces = await self._desk.run(agency, costs, work, urgency=urgency)
        except (QuotaError, DiskFullError) as error:
            return [_not_now(parcel, error) for parcel in parcels]
        return [answer for piece in pieces for answer in piece]

    async def receive_part(
        self, agency: str, message_id: MessageId, index: int, *, epoch: bytes
    ) -> "FairPart":
        """Opens a part of an offer for its bytes.

        Raises:
            DocumentUnknownError: No such offer of this agency.
            EpochSupersededError: A newer start of the peer is known.
            QuotaError: It was not the agency's turn for too long.
        """
        opened: list[IncomingPart] = []
        gone = False

        async def work(_start: int, _stop: int) -> None:
            opened.append(await self._service.receive_part(agency, message_id, index, epoch=epoch))
            if gone:
                await opened[0].close()

        try:
            await self._disk.run(agency, [OPENING_COST], work)
        except asyncio.CancelledError:
            gone = True
            for part in opened:
                await part.close()
            raise
        return FairPart(agency, opened[0], self._disk)

    async def lost_by(self, agency: str) -> Sequence[Recovered]:
        """What a restored peer lost, as far as it is here."""
        return await self._service.lost_by(agency)

    async def gave_back(self, agency: str) -> None:
        """Notes that the peer has fetched what it lost."""
        await self._service.gave_back(agency)

    def check_epoch(self, agency: str, epoch: bytes) -> None:
        """Lets a transfer go on.

        Raises:
            EpochSupersededError: A newer start of the peer is known.
        """
        self._service.check_epoch(agency, epoch)

    async def answer_numbers(
        self, agency: str, epoch: bytes, ranges: Sequence[Range]
    ) -> Sequence[NumberAnswer]:
        """What became of numbers of this node's envelopes to a peer."""
        return await self._service.answer_numbers(agency, epoch, ranges)

    async def answer_inquiries(self, agency: str, inquiries: Sequence[Inquiry]) -> Sequence[Answer]:
        """Answers those of a peer's messages that are held here."""
        return await self._service.answer_inquiries(agency, inquiries)

    async def part_for(self, agency: str, name: PartName) -> PartSource:
        """A part that a peer has had and may have back."""
        return await self._service.part_for(agency, name)

    async def stop(self) -> None:
        """Ends what still runs; called when no caller is left."""
        await self._desk.stop()
        await self._disk.stop()


class FairPart:
    """One part that comes in, in turns; see ``IncomingPart``."""

    def __init__(self, agency: str, part: IncomingPart, disk: FairQueue) -> None:
        """Takes the part, open."""
        self._agency = agency
        self._part = part
        self._disk = disk

    @property
    def offset(self) -> int:
        """Bytes on disk."""
        return self._part.offset

    @property
    def complete(self) -> bool:
        """Whether the part is here and right."""
        return self._part.complete

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Takes the next bytes."""

        async def work(start: int, stop: int) -> None:
            await self._part.write(chunks[start:stop])

        await self._disk.run(self._agency, [max(len(chunk), 1) for chunk in chunks], work)

    async def progress(self, after: int) -> int:
        """Waits until more than ``after`` bytes are on disk; returns how many are."""
        return await self._part.progress(after)

    async def finish(self) -> None:
        """Ends the part."""

        async def work(_start: int, _stop: int) -> None:
            await self._part.finish()

        await self._disk.run(self._agency, [MEBIBYTE], work)

    async def close(self) -> None:
        """Keeps what came."""
        await self._part.close()


def _not_now(parcel: Parcel, error: EdocError) -> Answer:
    answer = parcel_answer(parcel, error)
    return replace(answer, after=retry_after(error)) if isinstance(answer, TryLater) else answer


def _now() -> float:
    return asyncio.get_running_loop().time()
