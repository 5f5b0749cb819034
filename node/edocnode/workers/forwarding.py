"""Sends on what waits for the nodes of agencies that have ended, and holds what cannot go anywhere.

Also of this node's own agency: what was handed in before its end and not sealed in time is never
sealed; its office is told.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import AgencyInactiveError, AgencyUnknownError
from edoccore.signing.seal import SALT_BYTES
from edocnode.domain.forwarding import (
    AT_ONCE,
    ForwardPlan,
    ForwardStore,
    Stranding,
    is_wound_up,
    own_end,
    plan_forward,
    stranding,
)
from edocnode.domain.model import DeliveryOutcome, MessageId
from edocnode.domain.ports import Outbox, Peers
from edocnode.domain.setting_aside import Peer, Waiting
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

EVERY = timedelta(seconds=2)

log = structlog.get_logger(__name__)


class Store(ForwardStore, Outbox, Peers, Protocol):
    """What is needed of storage."""


class Forwarder:
    """Looks after the deliveries of agencies that have ended."""

    def __init__(
        self,
        *,
        agency: str,
        store: Store,
        dispatcher: Dispatcher,
        wake_sealer: Callable[[], None],
        directory: Callable[[], Directory],
        chance: Callable[[int], bytes],
        aside: SettingAside[Waiting | Peer],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            chance: So many random bytes.
        """
        self._agency = agency
        self._store = store
        self._dispatcher = dispatcher
        self._wake_sealer = wake_sealer
        self._directory = directory
        self._chance = chance
        self._aside = aside
        self._clock = clock

    async def run(self) -> None:
        """Looks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("forwarding", partial(self._aside.look, self.look))
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Sends on, or holds, all that can be by now."""
        directory = self._directory()
        now = directory.not_before(self._clock())
        ended = {code for code, one in directory.ownership.owners.items() if one.has_ended(now)}
        if not ended:
            return
        if self._agency in ended:
            await self._hold_own(directory)
        is_silent = is_wound_up(directory, self._agency, now)  # nobody takes anything from it
        nodes = [
            queue.to_node
            for queue in await self._store.queues()
            if is_silent or queue.to_node in ended
        ]
        statuses = await self._store.peer_statuses() if nodes else {}
        for node in nodes:
            status = statuses.get(node)
            down_since = None if status is None else status.down_since
            which = Stranding.ALL if is_silent else None
            look_at = partial(self._look_at, node, which, directory, down_since)
            await self._aside.one(Peer(node), look_at)

    async def _look_at(
        self,
        node: str,
        which: Stranding | None,
        directory: Directory,
        down_since: datetime | None,
    ) -> None:
        """Sends on, or holds, what waits for one node; ``which``: so much, whatever it answers."""
        now = directory.not_before(self._clock())
        which = which or stranding(node, directory, now, down_since=down_since)
        if which is not None and await self._waits(node, which):
            async with self._dispatcher.left_alone(node):
                await self._clear(node, Stranding.TURNED_AWAY, directory)
                await self._clear(node, which, directory)

    async def _waits(self, node: str, which: Stranding) -> bool:
        """Whether something is to be done for a node, beside what is set aside."""
        left_out, after = self._aside.left_out(), 0
        while page := await self._store.stranded(node, which, after, AT_ONCE):
            if any(item not in left_out for item in page):
                return True
            after = page[-1].place
        return False

    async def _clear(self, node: str, which: Stranding, directory: Directory) -> None:
        after, unheard = 0, which is not Stranding.TURNED_AWAY
        decide = partial(self._decide, directory=directory, unheard=unheard)
        while page := await self._store.stranded(node, which, after, AT_ONCE):
            after = page[-1].place
            await self._aside.many(page, decide)

    async def _decide(
        self, items: Sequence[Waiting | Peer], *, directory: Directory, unheard: bool
    ) -> None:
        """Sends on, or holds, some deliveries to one node; each change may be made again."""
        now = self._clock()
        forwards: list[ForwardPlan] = []
        held: list[DeliveryOutcome] = []
        passed_over: list[MessageId] = []
        found = await self._store.stranded_at(_places(items))
        for item in (replace(each, unheard=unheard) for each in found):
            try:
                plan = plan_forward(item, directory, agency=self._agency, now=now)
            except (AgencyUnknownError, AgencyInactiveError):  # told by ``show``: it waits
                continue
            passed_over += [item.message_id] if unheard else []
            if isinstance(plan, ForwardPlan):
                forwards.append(plan)
            else:
                held.append(plan)
        if passed_over and not is_wound_up(directory, self._agency, now):
            await self._store.pass_over(passed_over, now)  # before anything goes on without them
        await self._store.record(held, now)
        if forwards:
            salts = [self._chance(SALT_BYTES) for _ in forwards]
            await self._store.forward(forwards, salts, now)
            self._wake_sealer()
        for node in {item.to_node for item in found}:
            log.info("deliveries.forwarded", node=node, count=len(forwards), held=len(held))

    async def _hold_own(self, directory: Directory) -> None:
        """Holds what this node may not seal any more."""
        error = own_end(directory, self._agency)
        message = f"{error.message} {error.hint}"

        async def hold(items: Sequence[Waiting | Peer]) -> int:
            return await self._store.hold_unsealed(
                _places(items), reason=error.reason, message=message, at=self._clock()
            )

        while found := await self._store.unsealed_documents(AT_ONCE, without=self._left_out()):
            held = sum(await self._aside.many(found, hold))
            log.warning("deliveries.held_at_the_end", agency=self._agency, count=held)

    def _left_out(self) -> set[Waiting]:
        return {item for item in self._aside.left_out() if isinstance(item, Waiting)}


def _places(items: Sequence[Waiting | Peer]) -> list[int]:
    return [item.place for item in items if isinstance(item, Waiting)]
