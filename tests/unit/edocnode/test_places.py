"""Places for couriers: bounded, and never all taken by peers that fail."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from edocnode.workers.delivery import AT_ONCE, Dispatcher

NOTHING: Any = SimpleNamespace()


def served(*, failing: int, sound: int) -> Dispatcher:
    """A dispatcher that serves so many peers, and knows P999 as one that fails."""
    dispatcher = Dispatcher(
        outbox=NOTHING,
        peers=NOTHING,
        parts=NOTHING,
        clock=lambda: datetime.now(UTC),
        can_send=lambda: True,
    )
    peers = [f"F{number}" for number in range(failing)] + [f"S{number}" for number in range(sound)]
    dispatcher._couriers = dict.fromkeys(peers, (NOTHING, NOTHING))
    dispatcher._failures = {f"F{number}": 3 for number in range(failing)} | {"P999": 1}
    return dispatcher


def test_no_more_peers_are_served_than_there_are_places() -> None:
    assert served(failing=0, sound=AT_ONCE - 1)._has_place("G01")
    assert not served(failing=0, sound=AT_ONCE)._has_place("G01")


def test_peers_that_fail_take_half_of_the_places_at_most() -> None:
    crowded = served(failing=AT_ONCE // 2, sound=0)
    assert not crowded._has_place("P999")
    assert crowded._has_place("G01")
    assert served(failing=AT_ONCE // 2 - 1, sound=AT_ONCE // 4)._has_place("P999")
