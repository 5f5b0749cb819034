"""When a node gives memory back: after work, and not while it works."""

import pytest

from edocnode.app.resting import REST_S, WORK_S, Rest


def test_memory_is_given_back_once_after_work_and_never_during_it():
    rest = Rest(5.0)
    assert [rest.is_due(used) for used in (5.5, 6.4, 7.0)] == [False, False, False]
    assert rest.is_due(7.0 + REST_S / 2)
    assert not rest.is_due(7.0 + REST_S / 2)


def test_a_node_that_hardly_works_gives_back_nothing_until_it_adds_up():
    rest, step = Rest(0.0), REST_S / 2
    looks = [rest.is_due(number * step) for number in range(1, 9)]
    assert looks.count(True) == 1
    assert looks.index(True) == pytest.approx(WORK_S / step - 1, abs=1)
