"""Writes the access history down, beside the calls it tells of.

Entries wait in memory for at most a second, and no call waits for them: reading goes on while the
disk is full or slow. A node that is killed loses the entries of its last second; one that stops in
order loses none. When the disk stays full, entries wait until there are too many; how many were
lost is then an entry itself, and an alarm.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from edoccore.errors import DiskFullError
from edocnode.domain.access_log import OPERATOR, Access, AccessEntry, AccessLog
from edocnode.domain.ports import Alarms
from edocnode.workers.room import when_there_is_room

FLUSH_EVERY_S = 0.5  # with a write of as long at most, a second until an entry is on disk
MAX_WAITING = 50_000  # entries in memory, about 20 MiB
AT_ONCE = 2_000  # entries of one write
FORGET_EVERY = timedelta(hours=1)
FORGET_AT_ONCE = 1_000
ACCESS_LOST = "ACCESS_HISTORY_LOST"
_SUBJECT = "access"

log = structlog.get_logger(__name__)


class AccessRecorder:
    """See ``domain.access_log.Records``."""

    def __init__(
        self,
        history: AccessLog,
        alarms: Alarms,
        clock: Callable[[], datetime],
        *,
        keep: timedelta,
    ) -> None:
        """Takes where entries are kept.

        Args:
            keep: How long an entry is kept.
        """
        self._history = history
        self._alarms = alarms
        self._clock = clock
        self._keep = keep
        self._waiting: deque[AccessEntry] = deque()
        self._lost = 0
        self._writing = asyncio.Lock()
        self._is_full = False
        self._begun = False

    def record(self, entry: AccessEntry) -> None:
        """Takes an entry; never waits."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append(entry)

    async def run(self) -> None:
        """Writes and forgets until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        forget_at = self._clock()
        if not self._begun:
            await when_there_is_room("alarms", self._forget_earlier_run)
            self._begun = True
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()
            if self._clock() >= forget_at:
                forget_at = self._clock() + FORGET_EVERY
                await self._forget()

    async def flush(self) -> None:
        """Writes what waits; on a full disk it goes on waiting.

        Who is cancelled meanwhile waits for the end of it: what the database has by then must not
        be written again.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        flushing = asyncio.create_task(self._flush())
        try:
            await asyncio.shield(flushing)
        except asyncio.CancelledError:
            await asyncio.wait([flushing])
            if (error := flushing.exception()) is not None:  # the last flush will meet it again
                log.warning("access.not_kept", cause=str(error))
            raise

    async def _flush(self) -> None:
        async with self._writing:
            try:
                while self._waiting:
                    await self._write()
                if self._lost:
                    await self._tell_lost()
                self._is_full = False
            except DiskFullError as error:
                if not self._is_full:
                    log.warning("disk.full", waits="access history", cause=error.message)
                self._is_full = True

    async def _write(self) -> None:
        taken = [self._waiting[at] for at in range(min(AT_ONCE, len(self._waiting)))]
        await self._history.write_access(taken)
        for _ in taken:
            self._waiting.popleft()

    async def _tell_lost(self) -> None:
        lost, now = self._lost, self._clock()
        entry = AccessEntry(
            at=now, account=OPERATOR, actor="", action=Access.LOST, detail=str(lost)
        )
        await self._history.write_access([entry])
        text = (
            f"{lost} entries of the access history were lost because the disk had no room for too "
            "long. Keep more room free; the history says when."
        )
        await self._alarms.raise_alarm(ACCESS_LOST, _SUBJECT, text, now)
        self._lost -= lost
        log.warning("access.lost", entries=lost)

    async def _forget_earlier_run(self) -> None:
        await self._alarms.clear_alarm(ACCESS_LOST, _SUBJECT)

    async def _forget(self) -> None:
        before = self._clock() - self._keep
        try:
            gone = FORGET_AT_ONCE
            while gone == FORGET_AT_ONCE:
                gone = await self._history.forget_access(before, FORGET_AT_ONCE)
        except DiskFullError as error:  # tried again in an hour
            log.warning("disk.full", waits="access history", cause=error.message)
