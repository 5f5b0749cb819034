"""The dispatcher: one courier for each peer that something waits for.

A courier lives while there is work and a little longer. The queue in the database is the truth:
whatever a courier holds when it ends is still there. A peer never has two couriers, nor two
processes: what one has taken is known to no other. A peer that does not answer costs the others
nothing; its backoff is kept in the database and ends with its next hello.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

import structlog

from edoccore.errors import (
    DiskFullError,
    EdocError,
    PeerUnreachableError,
    QuotaError,
    StorageFailedError,
)
from edocnode.domain.delivery import backoff
from edocnode.domain.model import Lane, SealCommit, SealedEnvelope
from edocnode.domain.places import Served, give_up
from edocnode.domain.ports import Outbox, Peers
from edocnode.domain.quotas import retry_after, shut_out_by
from edocnode.workers.courier import Courier, CourierParts
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

LOOK_AGAIN = timedelta(seconds=1)  # for deliveries whose next attempt is due
AT_ONCE = 128  # peers that are served at the same time
CLOCK_BACK = timedelta(seconds=5)  # set back further than a correction of time synchronisation

log = structlog.get_logger(__name__)


class Dispatcher:
    """Starts couriers and remembers which peers fail."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        peers: Peers,
        parts: CourierParts,
        aside: SettingAside[str],
        clock: Callable[[], datetime],
        can_send: Callable[[], bool],
    ) -> None:
        """Joins the parts.

        Args:
            aside: Guards the looks at what is due; couriers under way go on without them.
            can_send: False while nothing may leave (see ``app.node``): everything stays queued.
        """
        self._outbox = outbox
        self._peers = peers
        self._parts = parts
        self._aside = aside
        self._clock = clock
        self._before = clock()  # the last moment of the clock that was looked at
        self._can_send = can_send
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._since: dict[str, float] = {}  # when they got their places, by the loop's clock
        self._lanes: dict[str, Lane] = {}  # most urgent work of each peer, as of the last look
        self._left_alone: set[str] = set()
        self._waiting: dict[str, None] = {}  # peers without a place, in the order they asked
        self._failures: dict[str, int] = {}
        self._over_quota: dict[str, datetime] = {}  # when a peer last told this node so
        self._stopping = False
        self._begun = False  # what an earlier run was sending is queued again
        self._failed: asyncio.Future[None] | None = None

    def held(self) -> frozenset[int]:
        """Places of the deliveries that couriers have taken and await answers of."""
        running = [courier for courier, _ in self._couriers.values()]
        return frozenset(place for courier in running for place in courier.held())

    def on_sealed(self, commit: SealCommit) -> None:
        """Gives freshly sealed envelopes to their couriers."""
        by_node: dict[str, list[SealedEnvelope]] = {}
        for envelope in commit.envelopes:
            by_node.setdefault(envelope.draft.to_node, []).append(envelope)
        for agency, envelopes in by_node.items():
            running = self._couriers.get(agency)
            if running is not None and self._may_carry(agency):
                running[0].sealed(envelopes, commit.seal)
            else:
                self.wake(agency)

    def wake(self, agency: str) -> None:
        """Lets the courier of a peer look at its queue, starting it when there is none."""
        if not self._may_carry(agency):
            return
        running = self._couriers.get(agency)
        if running is not None:
            running[0].wake()
            return
        if not self._has_place(agency):
            self._waiting[agency] = None
            for idle, _ in self._couriers.values():
                idle.leave()
            return
        self._waiting.pop(agency, None)
        courier = Courier(agency, self._parts)
        task = asyncio.create_task(self._run(agency, courier), name=f"courier-{agency}")
        self._couriers[agency] = (courier, task)
        self._since[agency] = asyncio.get_running_loop().time()

    def have_enough(self, agencies: Collection[str]) -> bool:
        """Whether couriers of all these peers have more to carry than goes out soon."""
        running = (self._couriers.get(agency) for agency in agencies)
        return all(each is not None and each[0].has_enough for each in running)

    def _may_carry(self, agency: str) -> bool:
        ready = self._begun and not self._stopping and self._can_send()
        return ready and agency not in self._left_alone

    def _has_place(self, agency: str) -> bool:
        """Whether one more peer may be served; those that fail leave half of the places free."""
        if len(self._couriers) >= AT_ONCE:
            return False
        failing = sum(peer in self._failures for peer in self._couriers)
        return agency not in self._failures or failing < AT_ONCE // 2

    def _fill_places(self) -> None:
        """Gives free places to those who wait, the most urgent first."""
        for agency in sorted(self._waiting, key=self._lane):
            if len(self._couriers) >= AT_ONCE:
                return
            if self._has_place(agency):
                self.wake(agency)

    def _lane(self, agency: str) -> Lane:
        return self._lanes.get(agency, Lane.NORMAL)

    def _make_room(self) -> None:
        """Sends couriers away whose places others wait for; what they hold is queued again."""
        waiting = sorted(self._lane(peer) for peer in self._waiting if peer not in self._failures)
        free_soon = AT_ONCE - len(self._since)
        served = [Served(peer, self._lane(peer), since) for peer, since in self._since.items()]
        for agency in give_up(served, waiting[free_soon:], asyncio.get_running_loop().time()):
            log.info("courier.sent_away", agency=agency, waiting=len(waiting))
            del self._since[agency]  # it is on its way, and must not be told twice
            self._couriers[agency][1].cancel()

    async def run(self) -> None:
        """Looks for due deliveries until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        self._failed = asyncio.get_running_loop().create_future()
        while True:
            await when_there_is_room("sending", partial(self._aside.look, self._look))
            await asyncio.wait([self._failed], timeout=LOOK_AGAIN.total_seconds())
            if self._failed.done():
                self._failed.result()

    async def _begin(self) -> None:
        """Takes up what an earlier run left, before any courier runs."""
        statuses = await self._peers.peer_statuses()
        self._failures = {agency: status.attempts for agency, status in statuses.items()}
        seen = [status.last_seen for status in statuses.values() if status.last_seen is not None]
        self._before = max(seen, default=self._clock())
        await self._outbox.give_back_all()
        self._begun = True

    async def _look(self) -> None:
        if not self._begun:
            await self._begin()
        now = self._clock()
        if now < self._before - CLOCK_BACK:
            await self._end_waits(now, self._before)
        self._before = now
        queues = [queue for queue in await self._outbox.queues() if queue.due_at <= now]
        self._lanes = {queue.to_node: queue.best_lane for queue in queues}
        for queue in queues:
            self.wake(queue.to_node)
        self._make_room()

    async def stop(self) -> None:
        """Ends all couriers; what they held stays in the queue."""
        self._stopping = True
        couriers, self._couriers = list(self._couriers.values()), {}
        for _, task in couriers:
            task.cancel()
        await asyncio.gather(*(task for _, task in couriers), return_exceptions=True)

    @asynccontextmanager
    async def left_alone(self, agency: str) -> AsyncIterator[None]:
        """Offers a peer nothing meanwhile: its courier has ended, what it held is queued again."""
        self._left_alone.add(agency)
        try:
            running = self._couriers.get(agency)
            if running is not None:
                running[1].cancel()
                await asyncio.wait([running[1]])
            yield
        finally:
            self._left_alone.discard(agency)

    def peer_met(self, agency: str) -> None:
        """A peer answered or said hello: its failures are over."""
        self._failures.pop(agency, None)
        self._over_quota.pop(agency, None)
        self.wake(agency)

    async def _end_waits(self, now: datetime, before: datetime) -> None:
        """The clock was set back: what was to be tried at a moment of then would wait for it."""
        log.warning("clock.went_back", by_s=int((before - now).total_seconds()))
        await self._peers.end_waits(now)

    async def _run(self, agency: str, courier: Courier) -> None:
        try:
            await self._carry(agency, courier)
        except StorageFailedError as error:
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
        finally:
            self._couriers.pop(agency, None)
            self._since.pop(agency, None)
            self._fill_places()

    async def _carry(self, agency: str, courier: Courier) -> None:
        """Lets a courier run and notes how it failed."""
        try:
            await courier.run()
        except StorageFailedError:
            raise
        except EdocError as error:
            await self._note_failure(agency, error)
        except Exception:
            log.exception("courier.failed", agency=agency)
            await self._note_failure(agency, PeerUnreachableError())

    async def _note_failure(self, agency: str, error: EdocError) -> None:
        attempts = self._failures.get(agency, 0) + 1
        self._failures[agency] = attempts
        now = self._clock()
        if isinstance(error, QuotaError):
            self._over_quota[agency] = now
        error = shut_out_by(agency, error, told=self._over_quota.get(agency), now=now) or error
        wait = backoff(attempts, jitter=self._parts.jitter())
        next_at = now + max(wait, retry_after(error) or wait)
        try:
            await self._peers.peer_failed(
                agency, now, reason=error.reason, message=error.message, next_at=next_at
            )
        except DiskFullError as full:  # it is tried again sooner, which is no harm
            log.warning("peer.failure_not_kept", agency=agency, cause=full.message)
        log.info("peer.failed", agency=agency, reason=error.reason, attempts=attempts)
