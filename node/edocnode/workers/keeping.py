"""Keeps what many peers sent at the same moment in one write.

A peer that sends its documents one by one must not cost a transaction's statements for each of
them. While a write is under way, small batches wait here for the next one; in a crowd, a moment
longer. Alone, nothing waits.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from edoccore.errors import StorageFailedError
from edocnode.domain.model import Arrival, KeepOutcome
from edocnode.domain.ports import Inbox

SMALL = 16  # arrivals; larger batches have nothing to gain
TOGETHER = 128  # arrivals in one write
# While many agencies send, the next write waits for more of them: each write has its seal and its
# waits for the disk, as long as judging four documents. A few would lose more by waiting.
CROWD = 4  # agencies
CROWD_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch and who waits for it."""

    arrivals: Sequence[Arrival]
    outcomes: asyncio.Future[Sequence[KeepOutcome]]


class KeepingTogether:
    """Gathers small batches for ``Inbox.keep``."""

    def __init__(self, inbox: Inbox) -> None:
        """Takes where arrivals are kept."""
        self._inbox = inbox
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        """Keeps arrivals as ``Inbox.keep`` does: those of a batch all or none.

        A cancelled caller does not undo what has begun.
        """
        if len(arrivals) > SMALL:
            return await self._inbox.keep(arrivals)
        waiting = _Waiting(arrivals, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await waiting.outcomes

    async def _write(self) -> None:
        """Writes until nothing waits."""
        group: list[_Waiting] = []
        try:
            while self._waiting:
                await self._let_come()
                group = self._next_group()
                await self._keep(group)
        finally:
            self._writing = None
            for waiting in (*group, *self._waiting):  # none, unless this was cancelled
                waiting.outcomes.cancel()

    async def _let_come(self) -> None:
        """Waits a moment for more of a crowd."""
        await asyncio.sleep(0)
        if len({waiting.arrivals[0].signer for waiting in self._waiting}) >= CROWD:
            await asyncio.sleep(CROWD_PAUSE_S)

    def _next_group(self) -> list[_Waiting]:
        taken, size = 0, 0
        for waiting in self._waiting:
            size += len(waiting.arrivals)
            if taken and size > TOGETHER:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _keep(self, group: Sequence[_Waiting]) -> None:
        """Keeps a group in one write; when that fails, each batch for itself, to find the one."""
        arrivals = [arrival for waiting in group for arrival in waiting.arrivals]
        try:
            outcomes = await self._inbox.keep(arrivals)
        except Exception as error:  # noqa: BLE001 - belongs to those who wait
            if len(group) == 1 or isinstance(error, StorageFailedError):
                _fail(group, error)
                return
            for waiting in group:
                await self._keep([waiting])
            return
        start = 0
        for waiting in group:
            stop = start + len(waiting.arrivals)
            if not waiting.outcomes.done():
                waiting.outcomes.set_result(outcomes[start:stop])
            start = stop


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for waiting in group:
        if not waiting.outcomes.done():
            waiting.outcomes.set_exception(error)
