"""Sets aside the one document, or node, that meets a fault of this program; its loop goes on.

What a loop does is a ``look``, in which it takes a step for each item, each step whole or not at
all. A step that fails for a reason that nobody foresaw is a fault: the item is left out of the
looks that follow, for a minute at least, and an alarm tells of it. A step for many items at once
that fails is taken again for each half of them, until the one is found. A fault of the look itself,
outside of any step, lets the whole work rest in the same way; so does one of a loop that takes no
steps for items, which is then begun anew. Only a disk that failed, which stops
the node, and one that is full, which is waited for, are no faults.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from edoccore.errors import DiskFullError, StorageDamagedError, StorageFailedError
from edocnode.domain.ports import Alarms
from edocnode.domain.setting_aside import (
    LONGEST_WAIT,
    MOST,
    SET_ASIDE,
    WELL_AFTER,
    Book,
    Item,
    alarm_message,
    rest_message,
)
from edocnode.workers.room import LOOK_AGAIN, when_there_is_room
from edocnode.workers.unjudged import in_few_words

Result = TypeVar("Result")
NO_FAULTS = (StorageFailedError, StorageDamagedError, DiskFullError)

log = structlog.get_logger(__name__)


class SettingAside(Generic[Item]):
    """The guard of one work; its items are hashable, and their text names them to people."""

    def __init__(
        self,
        name: str,
        work: str,
        *,
        alarms: Alarms,
        clock: Callable[[], datetime],
        most: int = MOST,
        longest: timedelta = LONGEST_WAIT,
    ) -> None:
        """Joins the parts.

        Args:
            name: Of the work, one word: the alarm's subject.
            work: What it does, as people read it.
            most: Remembered; when more meet a fault, the work rests as a whole.
            longest: The work rests no longer than this before it is tried again.
        """
        self._name, self._work = name, work
        self._alarms, self._clock = alarms, clock
        self._book: Book[Item] = Book(most)
        # The look itself, or the loop, when it met a fault outside of any step.
        self._whole: Book[str] = Book(longest=longest)
        self._met: set[Item] = set()
        self._told: str | None = None  # None: an alarm of before the start may stand

    def left_out(self) -> set[Item]:
        """What is set aside and not to be tried now."""
        return self._book.left_out(self._clock())

    def due(self) -> set[Item]:
        """What is set aside and to be tried now."""
        return self._book.due(self._clock())

    async def look(self, work: Callable[[], Awaitable[Result]]) -> Result | None:
        """Does the work once, and keeps the alarm right.

        What was due and was not met belongs to nobody any more: it is forgotten.

        Returns:
            None: the work rests, because it met a fault itself.

        Raises:
            StorageFailedError, StorageDamagedError: The node must stop.
            DiskFullError: To be repeated when there is room.
        """
        result = None
        if not self._whole.left_out(self._clock()):
            due, self._met = self.due(), set()
            try:
                result = await work()
                self._whole.drop(self._work)
                for item in due - self._met:
                    self._book.drop(item)
            except NO_FAULTS:
                raise
            except Exception as error:
                self._whole.put(self._work, in_few_words(error), self._clock())
                log.exception("work.fault", work=self._name)
        await self._tell()
        return result

    async def running(self, run: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop until it ends or is cancelled; after a fault it rests, and is begun anew.

        Args:
            run: Of a loop that finds what it has to do in database and files alone, so that it may
                begin anew at any time, as at a start.

        Raises:
            StorageFailedError, StorageDamagedError: The node must stop.
        """
        while True:
            loop = asyncio.ensure_future(run())
            try:
                await asyncio.wait([loop], timeout=WELL_AFTER.total_seconds())
                if loop.done():
                    loop.result()
                self._whole.drop(self._work)
                await when_there_is_room(self._name, self._tell)
                return await loop
            except (StorageFailedError, StorageDamagedError):
                raise
            except Exception as error:
                # A full disk too: the loop did not wait for room itself, and is begun anew.
                self._whole.put(self._work, in_few_words(error), self._clock())
                log.exception("work.fault", work=self._name)
            finally:
                loop.cancel()
                await asyncio.wait([loop])
            await when_there_is_room(self._name, self._tell)
            while self._whole.left_out(self._clock()):  # noqa: ASYNC110 - a clock may be set
                await asyncio.sleep(LOOK_AGAIN.total_seconds())

    async def one(self, item: Item, step: Callable[[], Awaitable[Result]]) -> Result | None:
        """Takes a step for one item.

        Returns:
            None: it met a fault, now or a moment ago.

        Raises:
            StorageFailedError, StorageDamagedError, DiskFullError: As ``look``.
        """
        found = await self.many([item], lambda _: step())
        return found[0] if found else None

    async def many(
        self,
        items: Sequence[Item],
        step: Callable[[Sequence[Item]], Awaitable[Result]],
        *,
        last: bool = True,
    ) -> list[Result]:
        """Takes a step for many items, in as few calls as faults allow.

        Args:
            step: May be taken again for items for which it failed; what it keeps of several, it
                keeps whole or not at all.
            last: What ends well has passed; False: further steps follow, which may meet a fault.

        Returns:
            What the step returned, for each call that ended well.

        Raises:
            StorageFailedError, StorageDamagedError, DiskFullError: As ``look``.
        """
        left_out = self.left_out()
        wanted = [item for item in items if item not in left_out]
        self._met.update(items)
        found = await self._taken(wanted, step) if wanted else []
        if last:
            left_out = self.left_out()
            self._passed(item for item in wanted if item not in left_out)
        return found

    async def _taken(
        self, items: Sequence[Item], step: Callable[[Sequence[Item]], Awaitable[Result]]
    ) -> list[Result]:
        try:
            found = await step(items)
        except NO_FAULTS:
            raise
        except Exception as error:
            # MemoryError too: what takes too much would do so after each start.
            if len(items) == 1:
                if not self._book.has_room_for(items[0]):
                    raise
                entry = self._book.put(items[0], in_few_words(error), self._clock())
                named = {"item": str(items[0]), "times": entry.times}
                log.exception("work.fault", work=self._name, **named)
                return []
            cause = in_few_words(error)
            log.warning("work.fault_among", work=self._name, count=len(items), cause=cause)
        else:
            return [found]
        half = len(items) // 2
        first = await self._taken(items[:half], step)
        return [*first, *await self._taken(items[half:], step)]

    def _passed(self, items: Iterable[Item]) -> None:
        for item in items:
            if self._book.drop(item):
                log.info("work.fault_passed", work=self._name, item=str(item))

    async def _tell(self) -> None:
        """Raises, changes or ends the alarm; writes nothing while nothing changes."""
        message = alarm_message(self._work, self._book) if self._book else ""
        message = rest_message(self._work, self._whole) if self._whole else message
        if message == self._told:
            return
        try:
            if message:
                await self._alarms.raise_alarm(SET_ASIDE, self._name, message, self._clock())
            else:
                await self._alarms.clear_alarm(SET_ASIDE, self._name)
        except NO_FAULTS:
            raise
        except Exception:
            log.exception("work.fault_not_told", work=self._name)
            return
        self._told = message
