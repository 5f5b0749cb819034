"""Order between urgent and ordinary work: the urgent first, but never all of it.

Source: Decision 28/2018, Articles 6.2 and 10(k); proto/README.md, section Delivery.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain, islice
from typing import Generic, TypeVar

from edocnode.domain.model import Lane

SHARE = 8  # every eighth place is for the lanes below those that would fill a batch
# Large documents whose parts travel to one peer at the same time: each lane has places of its own,
# so that none waits for a less urgent one.
TRANSFERS = {Lane.HOA_TOC: 2, Lane.THUONG_KHAN: 1, Lane.KHAN: 1, Lane.NORMAL: 2}
WAITING_TRANSFERS = 16  # of one lane that may wait for such a place; more come again later

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def shared(
    urgent: Sequence[Item], limit: int, below: Callable[[Lane, int], Sequence[Item]], *, last: Lane
) -> list[Item]:
    """Fills a batch in order of lanes, and leaves a share to the lanes that would get nothing.

    Args:
        urgent: At most ``limit``, the most urgent first.
        limit: Places.
        below: Finds at most so many of the lanes less urgent than one.
        last: Lane of the last of ``urgent``.
    """
    if len(urgent) < limit or last is Lane.NORMAL:
        return list(urgent)
    others = below(last, max(limit // SHARE, 1))
    return [*urgent[: limit - len(others)], *others]


def room_for_receipts(envelopes: int, receipts: int, limit: int) -> int:
    """How many of so many places under one seal receipts get; at least half while both wait."""
    return min(receipts, max(limit // 2, limit - envelopes))


class ByLane(Generic[Key, Item]):
    """What waits in memory, by lane, each thing once; the oldest of a lane first."""

    def __init__(self) -> None:
        """Begins empty."""
        self._lanes: dict[Lane, dict[Key, Item]] = {lane: {} for lane in Lane}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._lanes.values()))

    def add(self, lane: Lane, key: Key, item: Item) -> None:
        """Lets it wait."""
        self._lanes[lane][key] = item

    def drop(self, key: Key) -> None:
        """It no longer waits, or never did."""
        for waiting in self._lanes.values():
            if waiting.pop(key, None) is not None:
                return

    def clear(self) -> None:
        """Nothing waits."""
        for waiting in self._lanes.values():
            waiting.clear()

    def first(self, limit: int) -> list[Item]:
        """At most ``limit``, urgent lanes first, with a share for those below."""
        urgent = list(islice(self._from(Lane.HOA_TOC), limit))
        if len(urgent) < limit:
            return urgent
        reached = 0
        for lane, waiting in self._lanes.items():
            reached += len(waiting)
            if reached >= limit:
                return shared(urgent, limit, self._below, last=lane)
        return urgent

    def _below(self, lane: Lane, count: int) -> list[Item]:
        return [] if lane is Lane.NORMAL else list(islice(self._from(Lane(lane + 1)), count))

    def _from(self, first: Lane) -> chain[Item]:
        return chain.from_iterable(
            waiting.values() for lane, waiting in self._lanes.items() if lane >= first
        )
