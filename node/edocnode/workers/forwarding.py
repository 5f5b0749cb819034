"""Sends on what waits for the nodes of agencies that have ended, and holds what cannot go anywhere.

Also of this node's own agency: what was handed in before its end and not sealed in time is never
sealed; its office is told.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import AgencyInactiveError, AgencyUnknownError
from edoccore.signing.seal import SALT_BYTES
from edocnode.domain.forwarding import (
    AT_ONCE,
    ForwardPlan,
    ForwardStore,
    Stranded,
    Stranding,
    is_wound_up,
    own_end,
    plan_forward,
    stranding,
)
from edocnode.domain.model import DeliveryOutcome, MessageId
from edocnode.domain.ports import Outbox, Peers
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.room import when_there_is_room

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
        self._clock = clock

    async def run(self) -> None:
        """Looks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("forwarding", self.look)
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
            which = stranding(node, directory, now, down_since=down_since)
            which = Stranding.ALL if is_silent else which
            if which is not None and await self._store.stranded(node, which, 0, 1):
                async with self._dispatcher.left_alone(node):
                    await self._clear(node, Stranding.TURNED_AWAY, directory)
                    await self._clear(node, which, directory)

    async def _clear(self, node: str, which: Stranding, directory: Directory) -> None:
        after = 0
        while page := await self._store.stranded(node, which, after, AT_ONCE):
            after = page[-1].place
            unheard = which is not Stranding.TURNED_AWAY
            await self._decide([replace(item, unheard=unheard) for item in page], directory)

    async def _decide(self, page: Sequence[Stranded], directory: Directory) -> None:
        now = self._clock()
        forwards: list[ForwardPlan] = []
        held: list[DeliveryOutcome] = []
        unheard: list[MessageId] = []
        for item in page:
            try:
                plan = plan_forward(item, directory, agency=self._agency, now=now)
            except (AgencyUnknownError, AgencyInactiveError):  # told by ``show``: it waits
                continue
            unheard += [item.message_id] if item.unheard else []
            if isinstance(plan, ForwardPlan):
                forwards.append(plan)
            else:
                held.append(plan)
        if unheard and not is_wound_up(directory, self._agency, now):
            await self._store.pass_over(unheard, now)  # before anything goes on without them
        await self._store.record(held, now)
        if forwards:
            salts = [self._chance(SALT_BYTES) for _ in forwards]
            await self._store.forward(forwards, salts, now)
            self._wake_sealer()
        log.info("deliveries.forwarded", node=page[0].to_node, count=len(forwards), held=len(held))

    async def _hold_own(self, directory: Directory) -> None:
        """Holds what this node may not seal any more."""
        error = own_end(directory, self._agency)
        message = f"{error.message} {error.hint}"
        while found := await self._store.unsealed_documents(AT_ONCE):
            held = await self._store.hold_unsealed(
                found, reason=error.reason, message=message, at=self._clock()
            )
            log.warning("deliveries.held_at_the_end", agency=self._agency, count=held)
