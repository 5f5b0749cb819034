"""A courier: carries what waits for one peer over one stream, and records the answers.

Nothing is forgotten when the stream breaks: what was not answered goes back to the queue and is
offered again under the same id. A receipt counts only after its seal was verified and it is
committed here.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from operator import attrgetter

import structlog

from edoccore.errors import (
    EdocError,
    PartDigestError,
    PeerUnreachableError,
    QuotaError,
    StorageDamagedError,
)
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
from edocnode.domain.lanes import TRANSFERS, WAITING_TRANSFERS
from edocnode.domain.model import DeliveryOutcome, DeliveryState, Lane, QueuedDelivery
from edocnode.domain.ports import Outbox
from edocnode.domain.sharing import OneAhead
from edocnode.domain.window import Mark, Window
from edocnode.workers.answers import AnswerReader
from edocnode.workers.parts import PartShelf
from edocnode.workers.room import when_there_is_room
from edocnode.workers.sessions import Sessions

IDLE = timedelta(seconds=20)  # an unused stream is closed after it
ANSWER_WAIT = timedelta(seconds=60)  # without any answer the peer counts as gone
PUT_OFF = timedelta(seconds=5)  # a large document for whose parts there is no place yet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierParts:
    """What every courier uses; ``jitter`` is random, in [0, 1), and spreads load."""

    outbox: Outbox
    links: PeerLinks
    sessions: Sessions
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
        self._shelf = parts.shelf
        self._reader = parts.reader
        self._clock = parts.clock
        self._jitter = parts.jitter
        self._wake = asyncio.Event()
        self._wake.set()
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
        self._wake.set()

    def leave(self) -> None:
        """Asks to end now if nothing is under way: others wait for a place."""
        self._leaving = True
        self._wake.set()

    async def run(self) -> None:
        """Carries until the queue has been empty for a while.

        Raises:
            EdocError: The peer cannot be reached or ended the stream; everything unanswered is
                queued again.
        """
        waiting = await self._take()
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
            unanswered = [item.message_id for item in self._held.values()]
            giving = when_there_is_room("queue", lambda: self._outbox.give_back(unanswered))
            await asyncio.shield(giving)

    async def _connect(self) -> DeliveryStream:
        link = self._links.link(self._agency)
        mine = await self._sessions.hello_to(self._agency)
        before = asyncio.get_running_loop().time()
        stream = await link.deliver(mine)
        self._window = Window(asyncio.get_running_loop().time() - before)
        meeting = await self._sessions.meet(self._agency, stream.hello)
        self._sessions.check_epoch(meeting.agency, meeting.epoch)
        return stream

    async def _take(self) -> list[bytes]:
        """Takes what is due, as far as the window has room."""
        limit = min(BATCH_PARCELS, self._window.room(len(self._open), self._open_bytes))
        if limit <= len(self._open) // 4:  # a fifth of the window is worth a look at the queue
            return []
        taking = asyncio.ensure_future(self._take_due(limit))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await taking  # what was taken must be known, or nobody would give it back
            raise

    async def _take_due(self, limit: int) -> list[bytes]:
        taken = {
            sha256(item.envelope.statement).digest(): item
            for item in await self._outbox.due(self._agency, self._clock(), limit)
        }
        self._held.update(taken)
        if taken:
            self._window.weighed(sum(map(parcel_bytes, taken.values())) / len(taken))
        return list(taken)

    async def _carry(self, stream: DeliveryStream, waiting: list[bytes]) -> None:
        while True:
            self._wake.clear()
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
            raise PeerUnreachableError(
                f"The node of {self._agency} took documents and gave no answer for "
                f"{int(ANSWER_WAIT.total_seconds())} s.",
                agency=self._agency,
            ) from None
        return True

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
            parcels, damaged = await asyncio.to_thread(self._pack, batch)
            await self._set_aside(damaged)
            if not parcels:
                continue
            self._note_offered(parcels)
            await stream.send(parcels)

    def _note_offered(self, parcels: Sequence[Parcel]) -> None:
        now = asyncio.get_running_loop().time()
        if not self._open:
            self._answered = now
        mark = self._window.offered(len(self._open) + len(parcels), at=now)
        for parcel in parcels:
            digest = sha256(parcel.envelope.statement).digest()
            size = parcel_bytes(self._held[digest])
            self._open[digest] = mark, size
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

    def _pack(
        self, batch: Sequence[QueuedDelivery]
    ) -> tuple[list[Parcel], list[tuple[QueuedDelivery, StorageDamagedError]]]:
        """The parcels of a batch, and what cannot be sent because its parts are damaged here."""
        parcels, damaged = [], []
        for item in batch:
            offer = is_offer(item)
            try:
                parts = b"" if offer else self._shelf.joined(item)
            except StorageDamagedError as error:
                damaged.append((item, error))
                continue
            parcels.append(Parcel(envelope=item.envelope, parts=parts, offer=offer))
        return parcels, damaged

    async def _set_aside(self, damaged: Sequence[tuple[QueuedDelivery, EdocError]]) -> None:
        """Records what became of deliveries that this side could not carry."""
        outcomes = [self._not_moved(item, error) for item, error in damaged]
        await self._outbox.record(outcomes, self._clock())
        for item, _ in damaged:
            self._let_go(_digest(item), delivered=False)

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
        outcomes = await asyncio.to_thread(self._reader.read, pairs)
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


def _digest(item: QueuedDelivery) -> bytes:
    return sha256(item.envelope.statement).digest()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
