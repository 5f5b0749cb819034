"""A courier: carries what waits for one peer over one stream, and records the answers.

What it has taken it knows alone: in the queue a delivery stays ``queued`` until its answer is
recorded, or its large parts begin to travel (``sending``). So nothing is forgotten when the stream
breaks: what was not answered is offered again under the same id. A receipt counts only after its
seal was verified and it is committed here.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

import structlog

from edoccore.errors import (
    EdocError,
    PartDigestError,
    PeerUnreachableError,
    QuotaError,
    StorageDamagedError,
)
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import uuid_text
from edocnode.domain.delivery import (
    BATCH_PARCELS,
    batches,
    is_offer,
    on_refused,
    on_try_later,
    parcel_bytes,
)
from edocnode.domain.exchange import Answer, DeliveryStream, Need, Parcel, PeerLinks
from edocnode.domain.handing_on import Fresh
from edocnode.domain.lanes import TRANSFERS, WAITING_TRANSFERS
from edocnode.domain.model import (
    DeliveryOutcome,
    DeliveryState,
    Lane,
    QueuedDelivery,
    SealedEnvelope,
)
from edocnode.domain.ports import Outbox
from edocnode.domain.sharing import OneAhead
from edocnode.domain.window import Mark, Window
from edocnode.workers.answers import AnswerReader
from edocnode.workers.parts import PartShelf
from edocnode.workers.resealing import ResealingSealer, envelopes_to_show
from edocnode.workers.room import when_there_is_room
from edocnode.workers.sessions import Sessions

IDLE = timedelta(seconds=20)  # an unused stream is closed after it
ANSWER_WAIT = timedelta(seconds=60)  # without any answer the peer counts as gone
ONE_ANSWER_WAIT = timedelta(minutes=5)  # without the answer to one parcel, whatever else it answers
PUT_OFF = timedelta(seconds=5)  # a large document for whose parts there is no place yet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierParts:
    """What every courier uses; ``jitter`` is random, in [0, 1), and spreads load."""

    outbox: Outbox
    links: PeerLinks
    sessions: Sessions
    sealer: ResealingSealer
    shelf: PartShelf
    reader: AnswerReader
    clock: Callable[[], datetime]
    jitter: Callable[[], float] = random.random


class Courier:
    """Carries the queue of one peer."""

    def __init__(self, agency: str, parts: CourierParts) -> None:
        """Takes the peer; nothing happens before ``run``."""
        self._agency = agency
        self._outbox = parts.outbox
        self._links = parts.links
        self._sessions = parts.sessions
        self._sealer = parts.sealer
        self._shelf = parts.shelf
        self._reader = parts.reader
        self._clock = parts.clock
        self._jitter = parts.jitter
        self._wake = asyncio.Event()
        self._wake.set()
        self._fresh = Fresh()
        self._leaving = False
        # All by digest of the envelope: what an answer names even when it cannot read the rest.
        self._held: dict[bytes, QueuedDelivery] = {}  # taken from the queue, not yet recorded
        self._open: dict[bytes, tuple[Mark, int]] = {}  # offered, answer outstanding; with bytes
        self._moving: dict[bytes, Lane] = {}  # parts travel, or wait for their place
        self._again: list[bytes] = []  # parts have arrived, to be offered again
        self._one_ahead = OneAhead()
        self._answered = 0.0  # by the loop's clock: the last answer, or the first offer after none
        self._transfers = {lane: asyncio.Semaphore(count) for lane, count in TRANSFERS.items()}
        self._window = Window(hello_s=0)
        self._open_bytes = 0

    def wake(self) -> None:
        """Something may be due."""
        self._fresh.forget()
        self._wake.set()

    @property
    def has_enough(self) -> bool:
        """Whether more waits for this peer than goes out soon."""
        return not self._fresh.is_whole or len(self._fresh) >= BATCH_PARCELS

    def sealed(self, envelopes: Sequence[SealedEnvelope], seal: SignedSeal) -> None:
        """Envelopes for this peer were committed under one seal."""
        self._fresh.hear(envelopes, seal, at=asyncio.get_running_loop().time())
        self._wake.set()

    def held(self) -> Iterator[int]:
        """Places of the deliveries that were taken and whose outcome is not recorded."""
        yield from (item.place for item in self._held.values())
        yield from self._fresh.places()

    def leave(self) -> None:
        """Asks to end now if nothing is under way: others wait for a place."""
        self._leaving = True
        self._wake.set()

    async def run(self) -> None:
        """Carries until the queue has been empty for a while.

        Raises:
            EdocError: The peer cannot be reached or ended the stream; everything unanswered will
                be offered again.
        """
        waiting = await self._take() or await self._take()  # or what was sealed meanwhile
        if not waiting:
            return
        stream: DeliveryStream | None = None
        try:
            stream = await self._connect()
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(stream, tasks))
                await self._carry(stream, waiting)
                reading.cancel()
        except ExceptionGroup as group:
            if self._held:  # otherwise an idle stream ended, which costs nobody anything
                raise _first(group) from group
        finally:
            if stream is not None:
                await stream.close()
                await asyncio.shield(when_there_is_room("queue", self._give_back))

    async def _give_back(self) -> None:
        """Ends ``sending`` of what is unanswered, after all that is being recorded."""
        await self._outbox.give_back([item.message_id for item in self._held.values()])

    async def _connect(self) -> DeliveryStream:
        link = self._links.link(self._agency)
        mine = await self._sessions.hello_to(self._agency)
        before = asyncio.get_running_loop().time()
        stream = await link.deliver(mine)
        self._window = Window(asyncio.get_running_loop().time() - before)
        try:
            meeting = await self._sessions.meet(self._agency, stream.hello)
            self._sessions.check_epoch(meeting.agency, meeting.epoch)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _take(self) -> list[bytes]:
        """Takes what is due, as far as the window has room.

        Raises:
            SealerStoppedError: The own seal is of no use, so nothing may be shown under it.
        """
        limit = min(BATCH_PARCELS, self._window.room(len(self._open), self._open_bytes))
        # A fifth of the window is worth a look at the queue.
        if limit <= len(self._open) // 4:
            return []
        heard = self._fresh.take(limit, now=self._clock(), at=asyncio.get_running_loop().time())
        due = await self._look(limit) if heard is None else self._not_held(heard)
        if not self.has_enough:
            self._sealer.has_room()
        due = await envelopes_to_show(self._sealer, due)
        if due:
            self._window.weighed(sum(map(parcel_bytes, due)) / len(due))
        self._held.update((item.digest, item) for item in due)
        return [item.digest for item in due]

    async def _look(self, limit: int) -> Sequence[QueuedDelivery]:
        """Reads what waits in the database; with fewer than ``limit`` nothing else does."""
        self._fresh.look_begins()
        held = frozenset(item.place for item in self._held.values())
        due = await self._outbox.due(self._agency, self._clock(), limit, held)
        if len(due) == limit:
            self._fresh.forget()
        return due

    def _not_held(self, heard: Sequence[QueuedDelivery]) -> Sequence[QueuedDelivery]:
        """Without what a look found while it was being told."""
        return [item for item in heard if item.digest not in self._held]

    async def _carry(self, stream: DeliveryStream, waiting: list[bytes]) -> None:
        while True:
            self._wake.clear()
            self._check_oldest()
            again, self._again = self._again, []
            await self._send(stream, waiting + again)
            waiting = await self._take()
            if waiting or self._again:
                continue
            if (self._leaving and not self._held) or not await self._woken():
                return

    async def _woken(self) -> bool:
        """Waits for work. Returns False when the stream has been idle for long enough."""
        try:
            async with asyncio.timeout_at(self._until()):
                await self._wake.wait()
        except TimeoutError:
            if not self._held:
                return False
            raise self._no_answer(ANSWER_WAIT) from None
        return True

    def _check_oldest(self) -> None:
        """Ends a stream on which one parcel waits for ever: it is offered again on the next.

        Raises:
            PeerUnreachableError: The answer to the oldest parcel is overdue.
        """
        oldest = next(iter(self._open.values()), None)
        now = asyncio.get_running_loop().time()
        if oldest is not None and now - oldest[0].at > ONE_ANSWER_WAIT.total_seconds():
            raise self._no_answer(ONE_ANSWER_WAIT)

    def _no_answer(self, waited: timedelta) -> PeerUnreachableError:
        return PeerUnreachableError(
            f"The node of {self._agency} took documents and gave no answer for "
            f"{int(waited.total_seconds())} s.",
            agency=self._agency,
        )

    def _until(self) -> float | None:
        """When to stop waiting, on the loop's clock; work that comes meanwhile does not count."""
        if self._open:
            return self._answered + ANSWER_WAIT.total_seconds()
        if self._moving:
            return None  # a transfer has its own deadlines
        return asyncio.get_running_loop().time() + IDLE.total_seconds()

    async def _send(self, stream: DeliveryStream, digests: Sequence[bytes]) -> None:
        now = [item for item in digests if self._one_ahead.may_go(item, self._held[item])]
        for batch in batches([self._held[digest] for digest in now]):
            packed, damaged = await self._pack(batch)
            if damaged:
                await self._set_aside(damaged)
            if not packed:
                continue
            self._note_offered([item for item, _ in packed])
            await stream.send([parcel for _, parcel in packed])

    def _note_offered(self, items: Sequence[QueuedDelivery]) -> None:
        now = asyncio.get_running_loop().time()
        if not self._open:
            self._answered = now
        mark = self._window.offered(len(self._open) + len(items), at=now)
        for item in items:
            size = parcel_bytes(item)
            self._open[item.digest] = mark, size
            self._open_bytes += size

    def _note_answered(self, answers: Sequence[Answer]) -> list[tuple[QueuedDelivery, Answer]]:
        """Pairs answers with what they answer; what was not offered or is answered twice is not."""
        marks, pairs = [], []
        for answer in answers:
            offered = self._open.pop(answer.envelope_digest, None)
            if offered is not None:
                marks.append(offered[0])
                self._open_bytes -= offered[1]
                pairs.append((self._held[answer.envelope_digest], answer))
        self._answered = asyncio.get_running_loop().time()
        if marks:
            newest = max(marks, key=attrgetter("at"))
            self._window.answered(newest, len(marks), at=self._answered)
        return pairs

    async def _pack(
        self, batch: Sequence[QueuedDelivery]
    ) -> tuple[list[tuple[QueuedDelivery, Parcel]], list[tuple[QueuedDelivery, EdocError]]]:
        """The parcels of a batch, and what cannot be sent because its parts are damaged here."""
        packed: list[tuple[QueuedDelivery, Parcel]] = []
        damaged: list[tuple[QueuedDelivery, EdocError]] = []
        for item in batch:
            offer = is_offer(item)
            try:
                parts = b"" if offer else await self._shelf.joined(item)
            except StorageDamagedError as error:
                damaged.append((item, error))
                continue
            packed.append((item, Parcel(envelope=item.envelope, parts=parts, offer=offer)))
        return packed, damaged

    async def _set_aside(self, damaged: Sequence[tuple[QueuedDelivery, EdocError]]) -> None:
        """Records what became of deliveries that this side could not carry."""
        outcomes = [self._not_moved(item, error) for item, error in damaged]
        await self._outbox.record(outcomes, self._clock())
        for item, _ in damaged:
            self._let_go(item.digest, delivered=False)

    async def _read(self, stream: DeliveryStream, tasks: asyncio.TaskGroup) -> None:
        async for answers in stream.answers():
            pairs = self._note_answered(answers)
            self._wake.set()  # the window has room
            await self._record([pair for pair in pairs if not isinstance(pair[1], Need)])
            for item, answer in pairs:
                if isinstance(answer, Need):
                    await self._begin_move(item, answer, tasks)
            self._wake.set()
        raise PeerUnreachableError(
            f"The node of {self._agency} ended the stream.", agency=self._agency
        )

    async def _record(self, pairs: Sequence[tuple[QueuedDelivery, Answer]]) -> None:
        if not pairs:
            return
        outcomes = await self._reader.read(pairs)
        await self._outbox.record(outcomes, self._clock())
        delivered = {
            outcome.message_id for outcome in outcomes if outcome.state is DeliveryState.DELIVERED
        }
        for item, answer in pairs:
            self._let_go(answer.envelope_digest, delivered=item.message_id in delivered)

    def _let_go(self, digest: bytes, *, delivered: bool) -> None:
        """Forgets what was recorded; what waited for its parts to be there is offered."""
        item = self._held.pop(digest)
        self._again += self._one_ahead.ended(digest, item, delivered=delivered)

    async def _begin_move(self, item: QueuedDelivery, need: Need, tasks: asyncio.TaskGroup) -> None:
        """Lets parts travel, or puts them off when enough of their lane wait already."""
        of_lane = sum(lane is item.lane for lane in self._moving.values())
        if of_lane < TRANSFERS[item.lane] + WAITING_TRANSFERS:
            self._moving[need.envelope_digest] = item.lane
            tasks.create_task(self._move(item, need))
            return
        jitter = self._jitter()
        outcome = on_try_later(
            item,
            QuotaError.reason,
            f"Other large documents to {self._agency} go first.",
            after=PUT_OFF,
            now=self._clock(),
            jitter=jitter,
        )
        await self._outbox.record([outcome], self._clock())
        self._let_go(need.envelope_digest, delivered=False)

    async def _move(self, item: QueuedDelivery, need: Need) -> None:
        """Carries the parts that were asked for, then lets the envelope be offered again."""
        digest = need.envelope_digest
        try:
            async with self._transfers[item.lane]:
                await self._outbox.parts_leave([item.message_id])
                for part in need.parts:
                    await self._move_part(item, part.index, part.offset)
            self._again.append(digest)
        except (PartDigestError, StorageDamagedError) as error:
            await self._set_aside([(item, error)])
        self._moving.pop(digest, None)
        self._wake.set()

    async def _move_part(self, item: QueuedDelivery, index: int, offset: int) -> None:
        message_id = uuid_text(item.message_id)
        size = item.parts[index].size if index < len(item.parts) else 0
        log.info("transfer.started", message_id=message_id, part=index, offset=offset, size=size)
        source = self._shelf.source(item, index)
        link = self._links.link(self._agency)
        try:
            await link.transfer(
                item.message_id, index, offset=offset, source=source, epoch=self._sessions.own_epoch
            )
        finally:
            log.info("transfer.ended", message_id=message_id, part=index, sent=source.sent)

    def _not_moved(self, item: QueuedDelivery, error: EdocError) -> DeliveryOutcome:
        if isinstance(error, StorageDamagedError):
            return on_refused(item, error.reason, error.message)
        jitter = self._jitter()
        return on_try_later(
            item, error.reason, error.message, after=None, now=self._clock(), jitter=jitter
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
