"""The window of a courier: it keeps a fast peer busy, and little lies ahead at a slow one."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from edocnode.domain.window import (
    FEWEST_PARCELS,
    FIRST_PARCELS,
    MOST_BYTES,
    MOST_PARCELS,
    QUEUE_S,
    Mark,
    Window,
)


def play(window: Window, *, rate: float, delay_s: float, answers: int = 3_000) -> int:
    """Keeps the window full at a peer that takes ``rate`` a second; returns what it allows."""
    now, free_at = 0.0, 0.0
    flying: deque[tuple[float, Mark]] = deque()
    for _ in range(answers):
        room = window.room(len(flying), 0)
        mark = window.offered(len(flying) + room, at=now)
        for _ in range(room):
            free_at = max(free_at, now + delay_s) + 1 / rate
            flying.append((free_at, mark))
        now, mark = flying.popleft()
        window.answered(mark, 1, at=now)
    return len(flying) + window.room(len(flying), 0)


def test_before_any_answer_a_few_go_out_and_tell_what_one_needs_alone() -> None:
    assert Window(0.01).room(0, 0) == FIRST_PARCELS
    assert Window(0.01).room(FIRST_PARCELS, 0) == 0


def test_a_peer_that_answers_by_slow_signatures_is_kept_busy() -> None:
    window, cycle_s, now = Window(0.001), 0.065, 0.0
    sealed, waiting, answered = [], [], []
    for _ in range(60):  # each signature covers what came during the one before
        room = window.room(len(sealed) + len(waiting), 0)
        marks = [window.offered(len(sealed) + len(waiting) + room, at=now)] * room
        now += cycle_s
        answered.append(len(sealed))
        if sealed:
            window.answered(sealed[-1], len(sealed), at=now)
        sealed, waiting = waiting, marks
    assert sum(answered[-20:]) / (20 * cycle_s) > 1_000, "documents a second"


def test_a_fast_peer_gets_four_batches() -> None:
    assert play(Window(0.01), rate=20_000, delay_s=0.01) == MOST_PARCELS


def test_what_waits_at_a_slow_peer_is_done_within_little_more_than_that() -> None:
    for rate in (50, 200, 1_000):
        allowed = play(Window(0.01), rate=rate, delay_s=0.02)
        assert allowed / rate < 0.02 + 2 * QUEUE_S, rate


def test_a_long_line_is_filled_all_the_same() -> None:
    rate, delay_s = 2_000, 0.3
    assert play(Window(delay_s), rate=rate, delay_s=delay_s) >= 0.9 * rate * delay_s


def test_a_peer_that_was_slow_for_a_while_is_found_fast_again() -> None:
    window = Window(0.01)
    slow = play(window, rate=20, delay_s=0.02)
    assert slow < 10
    assert play(window, rate=20_000, delay_s=0.002) > 10 * slow


def test_large_parcels_are_counted_in_bytes() -> None:
    window = Window(0.01)
    play(window, rate=20_000, delay_s=0.01)
    for _ in range(50):
        window.weighed(256 * 1024)
    allowed = window.room(0, 0)
    assert allowed * 256 * 1024 <= MOST_BYTES < (allowed + 2) * 256 * 1024
    assert window.room(allowed, MOST_BYTES) == 0
    assert window.room(0, MOST_BYTES) == 1


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 500)), max_size=50),
    st.integers(0, 1_000),
    st.integers(0, 2 * MOST_BYTES),
)
def test_the_window_is_never_shut_and_never_over_its_bounds(
    answers: list[tuple[float, int]], parcels: int, size: int
) -> None:
    window = Window(0.01)
    now = 0.0
    for took, count in answers:
        mark = window.offered(count, at=now)
        now += took
        window.answered(mark, count, at=now)
        window.weighed(1_000)
    assert FEWEST_PARCELS <= window.room(0, 0) <= MOST_PARCELS
    assert 0 <= window.room(parcels, size) <= MOST_PARCELS
