"""The loop that has seals timestamped: beside the exchange, which never waits for it.

While the authority is down, slow or lies, seals wait, an alarm says since when nothing is stamped,
and it is asked again, at longer and longer distances; once it is back, all that waits is stamped.
What waits follows from what has a token, so a restart loses nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edoccore.errors import StorageFailedError
from edocnode.domain.ports import Alarms
from edocnode.domain.timestamps import (
    MAX_BATCH,
    TimestampStore,
    Unstamped,
    is_due,
    wait_after,
)
from edocnode.workers.room import when_there_is_room
from edocnode.workers.unjudged import in_few_words

ALARM = "timestamps.behind"
LOOK_EVERY = timedelta(seconds=1)

log = structlog.get_logger(__name__)


class StampFailedError(Exception):
    """An authority gave no token that holds; the message says why."""


class TimeAuthority(Protocol):
    """Who stamps."""

    @property
    def name(self) -> str:
        """For people: where it is reached."""

    async def stamp(self, data: bytes, now: datetime) -> tuple[bytes, datetime]:
        """A token over bytes, checked, and the moment that it states.

        Raises:
            StampFailedError: There is none, or it does not hold.
        """


@dataclass(slots=True)
class Timestamper:
    """Has the seals of a node stamped in batches.

    Attributes:
        every: A seal waits no longer than this for its batch.
    """

    store: TimestampStore
    authority: TimeAuthority
    alarms: Alarms
    every: timedelta
    clock: Callable[[], datetime]
    _failures: int = field(default=0, init=False)
    _not_before: datetime | None = field(default=None, init=False)
    _alarmed: bool = field(default=True, init=False)  # one of before a restart may stand

    async def run(self) -> None:
        """Stamps until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            if not await when_there_is_room("timestamps", self.look):
                await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def look(self) -> bool:
        """Has one batch stamped if that is due; whether more may wait."""
        now = self.clock()
        if self._not_before is not None and now < self._not_before:
            return False
        waiting = await self.store.unstamped()
        if not is_due(waiting, self.every, now) and not (self._failures and waiting.count):
            return False
        batch = await self.store.next_batch(MAX_BATCH)
        if batch is None:
            return False
        try:
            token, at = await self.authority.stamp(batch.root, now)
        except StampFailedError as error:
            await self._failed(str(error), waiting, now)
            return False
        except StorageFailedError:
            raise
        except Exception as error:  # whatever an authority answers, it ends no node
            log.exception("timestamps.fault", authority=self.authority.name)
            await self._failed(in_few_words(error), waiting, now)
            return False
        await self.store.keep_token(batch, token, at)
        log.info("timestamps.stamped", seals=len(batch.leaves), at=at.isoformat())
        await self._worked()
        return len(batch.leaves) == MAX_BATCH

    async def _failed(self, why: str, waiting: Unstamped, now: datetime) -> None:
        self._failures += 1
        self._not_before = now + wait_after(self._failures)
        since = f"{waiting.since:%Y-%m-%d %H:%M:%S} UTC"
        log.warning("timestamps.failing", authority=self.authority.name, since=since, cause=why)
        message = (
            f"Not timestamped since {since}: the timestamp authority {self.authority.name} failed: "
            f"{why}. Documents travel all the same, and all seals are stamped once it is back; "
            f"until then their evidence has no time of its own."
        )
        await self.alarms.raise_alarm(ALARM, self.authority.name[:100], message, now)
        self._alarmed = True

    async def _worked(self) -> None:
        self._failures, self._not_before = 0, None
        if self._alarmed:
            await self.alarms.clear_alarm(ALARM, self.authority.name[:100])
            self._alarmed = False
