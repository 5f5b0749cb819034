"""The scheduler: gives the sealer what was kept for later, when its moment has come.

The schedule in the database is the truth and is looked at again and again, so that restarts, other
workers and a clock that jumps need no care of their own. An idle look costs one read.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edocnode.domain.ports import Schedule
from edocnode.workers.room import when_there_is_room

LOOK_AGAIN = timedelta(seconds=0.5)  # what is due goes within a second
CUT_OFF_AFTER = timedelta(minutes=10)  # by then every submission under way has counted or failed
CUT_OFF_EVERY = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class Wakes(Protocol):
    """Whoever must hear that something is due."""

    def wake(self) -> None:
        """Tells it."""


class Scheduler:
    """Lets scheduled deliveries go, a bounded piece at a time."""

    def __init__(self, *, schedule: Schedule, sealer: Wakes, clock: Callable[[], datetime]) -> None:
        """Joins the parts; nothing happens before ``run``."""
        self._schedule = schedule
        self._sealer = sealer
        self._clock = clock
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was kept that may be due at once."""
        self._wake.set()

    async def run(self) -> None:
        """Releases what is due until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        next_clearing = self._clock()
        while True:
            self._wake.clear()
            now = self._clock()
            if now >= next_clearing:
                await self._clear(now - CUT_OFF_AFTER)
                next_clearing = now + CUT_OFF_EVERY
            if not await self._release(now):
                await self._sleep()

    async def _release(self, now: datetime) -> bool:
        """Gives the sealer one piece. Returns False when nothing is due."""
        due = await self._schedule.next_due()
        if due is None or due > now:
            return False
        await when_there_is_room("schedule", lambda: self._schedule.release(now))
        self._sealer.wake()
        return True

    async def _clear(self, before: datetime) -> None:
        """Removes what was cut off before it counted."""
        forgotten = 0
        while gone := await when_there_is_room(
            "schedule", lambda: self._schedule.forget_cut_off(before)
        ):
            forgotten += gone
        if forgotten:
            log.info("schedule.cut_off_forgotten", deliveries=forgotten)

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(LOOK_AGAIN.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return
