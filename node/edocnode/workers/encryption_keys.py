"""Tells, as long as it is so, that an encryption key of this node cannot be used."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from edocnode.domain.doctor import Check, Health
from edocnode.domain.ports import Alarms
from edocnode.workers.room import when_there_is_room

ALARM = "ENCRYPTION_KEY_LOST"
EVERY = timedelta(minutes=1)

log = structlog.get_logger(__name__)


class EncryptionKeyWatch:
    """Looks at the keys now and then, and keeps the alarm right."""

    def __init__(
        self,
        check: Callable[[], Check],
        alarms: Alarms,
        *,
        agency: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            check: Looks at all keys; reads files.
            agency: That owns the node.
        """
        self._check = check
        self._alarms = alarms
        self._agency = agency
        self._clock = clock
        self._told: str | None = None  # None: an alarm may stand since before

    async def run(self) -> None:
        """Looks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("encryption_keys", self.look)
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Raises, changes or ends the alarm."""
        found = await asyncio.to_thread(self._check)
        trouble = found.message if found.health is Health.PROBLEM else ""
        if trouble == self._told:
            return
        if trouble:
            log.error("encryption_key.unusable", message=trouble)
            message = f"{trouble} What mends it is told by: edocnode doctor"
            await self._alarms.raise_alarm(ALARM, self._agency, message, self._clock())
        else:
            await self._alarms.clear_alarm(ALARM, self._agency)
        self._told = trouble
