"""Order between urgent and ordinary work: the urgent first, but never all of it.

Source: Decision 28/2018, Articles 6.2 and 10(k); proto/README.md, section Delivery.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from edocnode.domain.model import Lane

SHARE = 8  # every eighth place is for the lanes below those that would fill a batch
# Large documents whose parts travel to one peer at the same time: each lane has places of its own,
# so that none waits for a less urgent one.
TRANSFERS = {Lane.HOA_TOC: 2, Lane.THUONG_KHAN: 1, Lane.KHAN: 1, Lane.NORMAL: 2}
WAITING_TRANSFERS = 16  # of one lane that may wait for such a place; more come again later

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
