"""What met a fault of this program and waits to be tried again, while its loop goes on.

A fault is an error that no rule foresaw, met over one document or one node. What met it is set
aside by itself: nothing of it was kept, since each step is one transaction, and nothing is
forgotten, since it still waits in the database. It is tried again after a minute, then after longer
and longer, and an alarm tells of it until it has passed.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from edoccore.signing.statements import uuid_text
from edocnode.domain.model import DocumentId

SET_ASIDE = "SET_ASIDE"  # kind of the alarm; its subject is the name of the work
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
SOON = timedelta(minutes=1)  # what is missed at once rests no longer
WELL_AFTER = timedelta(minutes=1)  # a loop that was begun anew and met no fault since has passed it
MOST = 10_000  # remembered for one work; beyond it the work itself rests


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that waits for a loop.

    Attributes:
        place: Of its row, where the loop looks; local to this node.
    """

    place: int
    document_id: DocumentId

    def __str__(self) -> str:
        """As an alarm names it."""
        return f"document {uuid_text(self.document_id)}"


@dataclass(frozen=True, slots=True)
class Peer:
    """An agency whose node a loop speaks to."""

    agency: str

    def __str__(self) -> str:
        """As an alarm names it."""
        return f"the node of {self.agency}"


Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Entry:
    """How often something met a fault in a row, why, and when it may be tried again."""

    times: int
    why: str
    set_at: datetime
    next_at: datetime


@dataclass(slots=True)
class Book(Generic[Item]):
    """What is set aside of one work; forgotten at a stop, after which all is tried again.

    Attributes:
        most: Remembered at a time.
        longest: Nothing waits longer.
    """

    most: int = MOST
    longest: timedelta = LONGEST_WAIT
    _entries: dict[Item, Entry] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many are set aside, also those whose wait is over."""
        return len(self._entries)

    @property
    def last(self) -> tuple[str, str]:
        """What met a fault last of what is set aside, and why; empty when nothing is."""
        item, entry = next(reversed(self._entries.items()), ("", None))
        return str(item), entry.why if entry is not None else ""

    def has_room_for(self, item: Item) -> bool:
        """Whether one more can be remembered."""
        return item in self._entries or len(self._entries) < self.most

    def put(self, item: Item, why: str, now: datetime) -> Entry:
        """Sets something aside, for longer than the last time."""
        known = self._entries.pop(item, None)
        times = 1 if known is None else known.times + 1
        entry = self._entries[item] = Entry(
            times, why, now, now + min(wait_after(times), self.longest)
        )
        return entry

    def drop(self, item: Item) -> bool:
        """Forgets what has passed, or waits no more; whether it was set aside."""
        return self._entries.pop(item, None) is not None

    def due(self, now: datetime) -> set[Item]:
        """Those whose wait is over."""
        return {item for item, entry in self._entries.items() if _is_over(entry, now)}

    def left_out(self, now: datetime) -> set[Item]:
        """Those whose wait is not over."""
        return self._entries.keys() - self.due(now)


def wait_after(times: int) -> timedelta:
    """How long something waits that met a fault so many times in a row."""
    return min(FIRST_WAIT * (1 << min(times - 1, 10)), LONGEST_WAIT)


def _is_over(entry: Entry, now: datetime) -> bool:
    """Also after the clock was set back: nothing waits for a time that was never meant."""
    return not entry.set_at <= now < entry.next_at


def alarm_message(work: str, book: Book[Item]) -> str:
    """What a person reads while something is set aside.

    Args:
        work: What the loop does, as a text that is told.
    """
    item, why = book.last
    return (
        f"{work}: {len(book)} could not be dealt with by a fault of this program, last {item}: "
        f"{why}. All else goes on; what was set aside is tried again within an hour, and at the "
        f"next start. Report it with its traceback in the log (work.fault)."
    )


def rest_message(work: str, book: Book[str]) -> str:
    """What a person reads while a work rests as a whole; arguments as of ``alarm_message``."""
    _, why = book.last
    return (
        f"{work} rests after a fault of this program: {why}. It is tried again within an "
        f"hour, and at the next start. Report it with its traceback in the log (work.fault)."
    )
