"""What is settled, what is missing below it, and what is said of a missing number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import EdocError, LimitExceededError, RequestInvalidError
from edocnode.domain.model import DeliveryState, MessageId
from edocnode.domain.numbers import (
    MAX_NUMBERS,
    MAX_RANGES,
    NumberedEnvelope,
    NumberState,
    answer_number,
    check_question,
    missing_ranges,
    question,
    ranges_text,
    settled_up_to,
)

EPOCH = b"e" * 16
NUMBERS = st.integers(1, 60)


def envelope(seq: int, state: DeliveryState, **changes: bool) -> NumberedEnvelope:
    values = {"in_force": True, "can_be_offered": True} | changes
    return NumberedEnvelope(seq=seq, message_id=MessageId(b"m" * 16), state=state, **values)


@pytest.mark.parametrize(
    ("state", "settled"),
    [
        (DeliveryState.DELIVERED, True),
        (DeliveryState.REJECTED, True),
        (DeliveryState.EXPIRED, True),
        (DeliveryState.VOID, True),
        (DeliveryState.QUEUED, False),
        (DeliveryState.SENDING, False),
        (DeliveryState.HELD, False),
    ],
)
def test_the_mark_stops_before_what_may_still_arrive(state: DeliveryState, settled: bool) -> None:
    done = DeliveryState.DELIVERED
    rows = [envelope(1, done), envelope(2, state), envelope(3, done)]
    assert settled_up_to(0, rows) == (3 if settled else 1)


def test_an_envelope_that_another_took_the_place_of_keeps_nobody_waiting() -> None:
    assert settled_up_to(0, [envelope(1, DeliveryState.QUEUED, in_force=False)]) == 1


def test_the_mark_stays_where_nothing_follows() -> None:
    assert settled_up_to(7, []) == 7


@given(st.integers(1, 30), NUMBERS, st.lists(NUMBERS))
def test_what_is_missing_is_the_span_without_what_is_present(
    first: int, length: int, numbers: list[int]
) -> None:
    span = (first, first + length - 1)
    found = missing_ranges(span, sorted(numbers))
    listed = [number for low, high in found for number in range(low, high + 1)]
    assert listed == sorted(set(range(span[0], span[1] + 1)) - set(numbers))
    assert all(low <= high for low, high in found)


@pytest.mark.parametrize(
    ("state", "changes", "said"),
    [
        (DeliveryState.QUEUED, {}, NumberState.COMING),
        (DeliveryState.HELD, {}, NumberState.COMING),
        (DeliveryState.DELIVERED, {}, NumberState.COMING),
        (DeliveryState.DELIVERED, {"can_be_offered": False}, NumberState.GONE),
        (DeliveryState.REJECTED, {"can_be_offered": False}, NumberState.GONE),
        (DeliveryState.EXPIRED, {"can_be_offered": False}, NumberState.EXPIRED),
        (DeliveryState.VOID, {}, NumberState.VOID),
        (DeliveryState.DELIVERED, {"in_force": False}, NumberState.ELSEWHERE),
    ],
)
def test_of_a_number_is_said_what_became_of_its_envelope(
    state: DeliveryState, changes: dict[str, bool], said: NumberState
) -> None:
    answer = answer_number(envelope(5, state, **changes))
    assert (answer.seq, answer.state, answer.message_id) == (5, said, b"m" * 16)


def test_a_question_has_no_more_than_may_be_asked_at_a_time() -> None:
    one = question([(1, 10 * MAX_NUMBERS)])
    assert one == [(1, MAX_NUMBERS)]
    many = question([(number, number) for number in range(1, 999, 2)])
    assert len(many) == MAX_RANGES
    check_question(EPOCH, one)
    check_question(EPOCH, many)


@pytest.mark.parametrize(
    ("epoch", "ranges", "error"),
    [
        (b"", [(1, 1)], RequestInvalidError),
        (EPOCH, [(0, 1)], RequestInvalidError),
        (EPOCH, [(2, 1)], RequestInvalidError),
        (EPOCH, [(1, 1 << 53)], RequestInvalidError),
        (EPOCH, [(1, MAX_NUMBERS + 1)], LimitExceededError),
        (EPOCH, [(1, 1)] * (MAX_RANGES + 1), LimitExceededError),
    ],
)
def test_a_question_that_is_none_or_too_large_is_refused(
    epoch: bytes, ranges: list[tuple[int, int]], error: type[EdocError]
) -> None:
    with pytest.raises(error):
        check_question(epoch, ranges)


def test_ranges_are_told_as_people_write_them() -> None:
    assert ranges_text([(3, 3), (7, 9)]) == "3, 7 to 9"
    assert ranges_text([(n, n) for n in range(1, 40, 2)]).endswith(", 15, ...")
