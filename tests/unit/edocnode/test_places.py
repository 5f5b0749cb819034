"""Places for couriers: bounded, and never all taken by peers that fail."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edocnode.domain.model import Lane
from edocnode.domain.places import LEAST_S, SHARE_S, Served, give_up
from edocnode.workers.delivery import AT_ONCE, Dispatcher

NOTHING: Any = SimpleNamespace()


def served(*, failing: int, sound: int) -> Dispatcher:
    """A dispatcher that serves so many peers, and knows P999 as one that fails."""
    dispatcher = Dispatcher(
        outbox=NOTHING,
        peers=NOTHING,
        parts=NOTHING,
        aside=NOTHING,
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


def test_nobody_gives_a_place_up_while_nobody_waits_or_all_are_new() -> None:
    served = [Served("G01", Lane.NORMAL, 10.0)]
    assert give_up(served, [], 100.0) == []
    assert give_up(served, [Lane.NORMAL], 10.0 + SHARE_S - 0.1) == []
    assert give_up(served, [Lane.HOA_TOC], 10.0 + LEAST_S - 0.1) == []
    assert give_up(served, [Lane.HOA_TOC], 10.0 + LEAST_S) == ["G01"]


def test_the_least_urgent_and_longest_served_goes_first() -> None:
    served = [
        Served("G01", Lane.HOA_TOC, 0.0),
        Served("G02", Lane.NORMAL, 5.0),
        Served("G03", Lane.NORMAL, 3.0),
        Served("G04", Lane.KHAN, 1.0),
    ]
    assert give_up(served, [Lane.NORMAL] * 9, 20.0) == ["G03", "G02", "G04", "G01"]
    assert give_up(served, [Lane.NORMAL], 20.0) == ["G03"]
    assert give_up(served, [Lane.KHAN, Lane.HOA_TOC], 5.5) == ["G03", "G02"]


@given(st.lists(st.sampled_from(Lane), max_size=30), st.lists(st.sampled_from(Lane), max_size=30))
def test_no_more_leave_than_wait_and_everybody_s_turn_comes(
    lanes: list[Lane], waiting: list[Lane]
) -> None:
    served = [Served(f"G{number:02}", lane, float(number)) for number, lane in enumerate(lanes)]
    leaving = give_up(served, waiting, 1_000.0)
    assert len(leaving) == len(set(leaving)) == min(len(waiting), len(lanes))
