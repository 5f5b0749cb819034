"""The reminder: tells people of late and of most urgent documents, beside the exchange.

It looks at what is late every minute (``every``) and at what came most urgently every five
seconds, and tells each outlet what it was not told of, in one digest. What an outlet took is
written down, so a restart repeats nothing but the one digest that was under way. An outlet that
fails is left alone for longer and longer, with an alarm, and delays no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from edoccore.errors import StorageFailedError
from edoccore.signing.statements import uuid_text
from edocnode.domain.late import LateItem, LateLook, LateRequest
from edocnode.domain.ports import Alarms
from edocnode.domain.reminders import (
    Channel,
    ChannelFailedError,
    Digest,
    Outlet,
    ReminderItem,
    ReminderKind,
    ReminderStore,
    digest_of,
    wait_after,
)
from edocnode.workers.room import when_there_is_room
from edocnode.workers.unjudged import in_few_words

ALARM = "reminder.failing"
URGENT_EVERY = timedelta(seconds=5)
LOOKED_AT = 1000  # late documents of a kind, the oldest
PATIENCE = timedelta(seconds=60)  # with a channel
SHARED_PATIENCE = timedelta(seconds=2)  # of all others with it

log = structlog.get_logger(__name__)


class LogChannel:
    """Writes digests into the node's log: ids and codes only, as everywhere there."""

    async def tell(self, digest: Digest) -> str:
        """Writes a line for each document."""
        for item in digest.items:
            log.warning(
                "document.waits", reason=item.kind.value, agency=item.agency, peer=item.peer,
                message_id=item.message_id.hex(),
            )  # fmt: skip
        return ""


@dataclass(slots=True)
class Line:
    """An outlet with its channel, and how it has been doing."""

    outlet: Outlet
    channel: Channel
    failures: int = 0
    not_before: datetime | None = None
    alarmed: bool = True  # one of before a restart may stand
    telling: asyncio.Task[None] | None = None  # while its channel takes its time


class Reminder:
    """Tells outlets what they were not told of."""

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        agency: str,
        late: LateLook,
        store: ReminderStore,
        alarms: Alarms,
        every: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            agency: That owns the node.
            every: Between two looks at what is late.
        """
        self._lines = lines
        self._agency = agency
        self._late = late
        self._store = store
        self._alarms = alarms
        self._every = every
        self._clock = clock
        self._next: datetime | None = None

    async def run(self) -> None:
        """Reminds until cancelled; ends at once when there is nobody to tell.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        try:
            while self._lines:
                await asyncio.sleep(URGENT_EVERY.total_seconds())
                await when_there_is_room("remind", self.look)
        finally:
            telling = [line.telling for line in self._lines if line.telling is not None]
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
            for line in self._lines:
                line.telling = None

    async def look(self) -> None:
        """Tells what is new: what came most urgently and, when it is time, what is late.

        Does not wait for an outlet that takes long: it is told again once it has ended, and the
        others meanwhile.
        """
        items = list(await self._store.urgent_arrivals(LOOKED_AT))
        now = self._clock()
        if self._next is None or now >= self._next:
            self._next = now + self._every
            report = await self._late.late(LateRequest(limit=LOOKED_AT))
            items += [_item(each) for each in report.items]
        for line in self._lines:
            if line.telling is None and items:
                line.telling = asyncio.create_task(self._remind(line, items, now))
        telling = [line.telling for line in self._lines if line.telling is not None]
        if telling:
            await asyncio.wait(telling, timeout=SHARED_PATIENCE.total_seconds())
        for line in self._lines:
            if line.telling is not None and line.telling.done():
                ended, line.telling = line.telling, None
                ended.result()

    async def _remind(self, line: Line, items: Sequence[ReminderItem], now: datetime) -> None:
        outlet = line.outlet
        if line.not_before is not None and now < line.not_before:
            self._next = min(self._next or line.not_before, line.not_before)  # late ones again
            return
        wanted = [
            item
            for item in items
            if item.kind in outlet.kinds and outlet.agency in ("", item.agency)
        ]
        new = await self._store.untold(outlet.name, wanted)
        if not new:
            return
        try:
            trouble, faulty = await self._tell(line, new, now)
            if len(new) == len(faulty) > 1:  # hardly by each of them
                raise ChannelFailedError(trouble)
        except (ChannelFailedError, TimeoutError) as error:
            await self._failed(line, str(error) or "it does not answer", now)
            return
        if faulty:
            await self._store.note_told(outlet.name, faulty, now)
        line.failures, line.not_before = 0, None
        await self._note(line, trouble, now)
        log.info("reminder.told", outlet=outlet.name, count=len(new))

    async def _tell(
        self, line: Line, new: Sequence[ReminderItem], now: datetime
    ) -> tuple[str, list[ReminderItem]]:
        """Tells documents in one digest and writes that down.

        Returns:
            What is wrong with a part, and what this program cannot tell: found by halving, the
            others are told all the same.

        Raises:
            ChannelFailedError, TimeoutError: The outlet failed.
        """
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                trouble = await line.channel.tell(digest_of(new, line.outlet, self._agency))
        except (ChannelFailedError, TimeoutError, StorageFailedError):
            raise
        except Exception as error:
            if len(new) > 1:
                half = len(new) // 2
                first, faulty = await self._tell(line, new[:half], now)
                second, others = await self._tell(line, new[half:], now)
                return second or first, faulty + others
            message_id = uuid_text(new[0].message_id)
            log.exception("reminder.fault", outlet=line.outlet.name, message_id=message_id)
            told = f"message {message_id} met a fault of this program: {in_few_words(error)}"
            return told, list(new)
        await self._store.note_told(line.outlet.name, new, now)
        return trouble, []

    async def _note(self, line: Line, trouble: str, now: datetime) -> None:
        """Raises, or ends, the alarm of an outlet."""
        name = line.outlet.name
        if trouble:
            message = f"Reminders do not go out by {name}: {trouble}."
            await self._alarms.raise_alarm(ALARM, name, message, now)
        elif line.alarmed:
            await self._alarms.clear_alarm(ALARM, name)
        line.alarmed = bool(trouble)

    async def _failed(self, line: Line, why: str, now: datetime) -> None:
        line.failures += 1
        line.not_before = now + wait_after(line.failures)
        self._next = min(self._next or line.not_before, line.not_before)
        await self._note(line, why, now)
        log.warning("reminder.failing", outlet=line.outlet.name, failures=line.failures)


def _item(late: LateItem) -> ReminderItem:
    row = late.row
    return ReminderItem(
        kind=ReminderKind(row.kind.value),
        message_id=row.message_id,
        agency=row.agency,
        peer=row.peer,
        number=row.number,
        notation=row.notation,
        subject=row.subject,
        due=late.due,
    )
