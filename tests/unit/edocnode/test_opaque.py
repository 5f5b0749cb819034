"""Positions and cursors as accounts get them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import RequestInvalidError
from edocnode.domain.opaque import MAX_POSITION, Opaque

ONE, OTHER = Opaque(b"1" * 32), Opaque(b"2" * 32)


@given(st.integers(1, MAX_POSITION - 1))
def test_a_position_comes_back_to_its_account_and_to_no_other(position: int) -> None:
    hidden = ONE.position(position)
    assert 0 < hidden < 1 << 64
    assert ONE.read_position(hidden) == position
    assert OTHER.position(position) != hidden
    with pytest.raises(RequestInvalidError):
        OTHER.read_position(hidden)


def test_neighbours_are_not_told_apart_from_strangers() -> None:
    gaps = {ONE.position(number + 1) - ONE.position(number) for number in range(1, 1000)}
    assert len(gaps) == 999
    assert min(map(abs, gaps)) > 1 << 32
    assert ONE.position(0) == ONE.read_position(0) == 0


@given(st.text(max_size=60))
def test_a_cursor_comes_back_and_a_made_up_one_is_refused(cursor: str) -> None:
    hidden = ONE.cursor(cursor)
    assert ONE.read_cursor(hidden) == cursor
    if cursor:
        for made_up in (cursor, hidden[:-2], hidden + "a", OTHER.cursor(cursor)):
            with pytest.raises(RequestInvalidError):
                ONE.read_cursor(made_up)
