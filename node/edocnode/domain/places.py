"""Who gives up a place to whom, when more peers have something waiting than are served at once.

Without this, peers that are slow all day would keep their places, and a document to another agency,
however urgent, would wait behind them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edocnode.domain.model import Lane

SHARE_S = 5.0  # a peer is served so long before others may have its place
LEAST_S = 0.5  # and so long before a more urgent document may


@dataclass(frozen=True, slots=True)
class Served:
    """A peer with a place: its most urgent work, and since when on a clock of seconds."""

    agency: str
    lane: Lane
    since: float


def give_up(served: Iterable[Served], waiting: Sequence[Lane], now: float) -> list[str]:
    """Peers whose places go to those who wait: the least urgent first, then the longest served.

    Args:
        waiting: Of each peer without a place, its most urgent work.
        now: On the clock of ``Served``.

    Returns:
        At most one peer for each that waits; they come again after the others.
    """
    candidates = sorted(served, key=lambda item: (-item.lane, item.since))
    leaving: list[str] = []
    for lane in sorted(waiting):
        found = next((item for item in candidates if _gives_up(item, lane, now)), None)
        if found is None:
            break
        candidates.remove(found)
        leaving.append(found.agency)
    return leaving


def _gives_up(served: Served, lane: Lane, now: float) -> bool:
    for_how_long = now - served.since
    return for_how_long >= SHARE_S or (served.lane > lane and for_how_long >= LEAST_S)
