"""Order between urgent and ordinary work: the urgent first, but never all of it.

Source: Decision 28/2018, Articles 6.2 and 10(k); proto/README.md, section Delivery.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
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


def room_for_envelopes(receipts: int, limit: int) -> int:
    """How many of so many places under one seal envelopes may have; at least half of them."""
    return limit - min(receipts, limit // 2)


class ByLane(Generic[Key, Item]):
    """What waits in memory, by lane and by agency, each thing once; the oldest first of each.

    Agencies of one lane get equal parts of what is taken, so that what waits for one holds up no
    other.
    """

    def __init__(self) -> None:
        """Begins empty."""
        self._lanes: dict[Lane, dict[str, dict[Key, Item]]] = {lane: {} for lane in Lane}
        self._place: dict[Key, tuple[Lane, str]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._place)

    def __iter__(self) -> Iterator[Item]:
        """All that wait, the urgent first."""
        agencies = chain.from_iterable(lane.values() for lane in self._lanes.values())
        return chain.from_iterable(waiting.values() for waiting in agencies)

    def only(self, lane: Lane, agencies: Collection[str]) -> bool:
        """Whether all that wait are of this lane and of these agencies; true of nothing."""
        others = any(waiting for each, waiting in self._lanes.items() if each is not lane)
        return not others and self._lanes[lane].keys() <= set(agencies)

    def add(self, lane: Lane, agency: str, key: Key, item: Item) -> None:
        """Lets it wait."""
        self._place[key] = lane, agency
        self._lanes[lane].setdefault(agency, {})[key] = item

    def drop(self, key: Key) -> None:
        """It no longer waits, or never did; its agency comes after the others."""
        if (place := self._place.pop(key, None)) is None:
            return
        lane, agency = place
        waiting = self._lanes[lane].pop(agency)
        del waiting[key]
        if waiting:
            self._lanes[lane][agency] = waiting

    def clear(self) -> None:
        """Nothing waits."""
        self._place.clear()
        for agencies in self._lanes.values():
            agencies.clear()

    def first(self, limit: int) -> list[Item]:
        """At most ``limit``, urgent lanes first, with a share for those below."""
        taken: list[Item] = []
        last = Lane.HOA_TOC
        for last in Lane:
            taken += self._of_lane(last, limit - len(taken))
            if len(taken) == limit:
                break
        return shared(taken, limit, self._below, last=last)

    def _below(self, lane: Lane, count: int) -> list[Item]:
        taken: list[Item] = []
        for below in Lane:
            if below > lane:
                taken += self._of_lane(below, count - len(taken))
        return taken

    def _of_lane(self, lane: Lane, count: int) -> list[Item]:
        agencies = list(islice(self._lanes[lane].values(), count))
        if not agencies or not count:
            return []
        share = count // len(agencies)
        pieces = (islice(waiting.values(), share) for waiting in agencies)
        rests = (islice(waiting.values(), share, count) for waiting in agencies)
        return list(islice(chain.from_iterable(chain(pieces, rests)), count))
