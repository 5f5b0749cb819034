"""Steps over many items: each item its own result or failure, in its place."""

import pytest

from edoccore.errors import LimitExceededError, StorageFailedError
from edockit.steps import of_each


def test_a_failure_stays_in_its_place_and_no_later_step_meets_it() -> None:
    met: list[int] = []

    def halved(number: int, most: int) -> int:
        met.append(number)
        if number > most:
            raise LimitExceededError(f"{number} is too much.")
        return number // 2

    first = of_each(halved, [2, 9, 4], [5, 5, 5], failures=LimitExceededError)
    second = of_each(halved, first, [5, 5, 1], failures=LimitExceededError)
    assert met == [2, 9, 4, 1, 2]
    assert second[0] == 0
    assert [str(each) for each in second[1:]] == ["9 is too much.", "2 is too much."]


def test_what_is_no_failure_of_one_item_ends_the_step() -> None:
    with pytest.raises(ZeroDivisionError):
        of_each(lambda number: 1 // number, [0], failures=LimitExceededError)


def test_a_failed_disk_is_no_failure_of_one_item() -> None:
    def step(_: int) -> None:
        raise StorageFailedError("The disk failed.")

    with pytest.raises(StorageFailedError):
        of_each(step, [1], failures=Exception)
