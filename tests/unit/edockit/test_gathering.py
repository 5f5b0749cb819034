"""Work for many callers together: one group at a time, each told of its own, whoever leaves."""

import asyncio
from collections.abc import Sequence

import pytest

from edoccore.errors import LimitExceededError, StorageFailedError
from edockit.gathering import Gathering


class Desk:
    """Doubles numbers in groups, and stands still before each group until it is let go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.together: Gathering[int, int] = Gathering(self.work, weight=lambda item: item, most=10)

    async def work(self, items: Sequence[int]) -> Sequence[int | LimitExceededError]:
        self.groups.append(list(items))
        await self.go_on.wait()
        if 13 in items:
            raise ValueError("nobody foresaw 13")
        if 17 in items:
            raise LimitExceededError("The disk takes no 17.")
        return [LimitExceededError("7 is too much.") if item == 7 else 2 * item for item in items]

    async def begun(self, *items: int) -> list["asyncio.Task[int]"]:
        """Calls for items in order; returns when each waits or is worked on."""
        tasks = [asyncio.ensure_future(self.together.one(item)) for item in items]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


async def test_the_first_waits_for_nobody_and_those_that_come_meanwhile_share_a_group() -> None:
    desk = Desk()
    tasks = await desk.begun(1, 2, 3, 4)
    desk.go_on.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
    # All four came before the first group was taken; what comes next is a group of its own.
    assert desk.groups == [[1, 2, 3, 4]]
    desk.go_on.clear()
    alone = await desk.begun(5)
    more = await desk.begun(1, 2)
    assert desk.groups[1:] == [[5]]
    desk.go_on.set()
    assert await asyncio.gather(*alone, *more) == [10, 2, 4]
    assert desk.groups[1:] == [[5], [1, 2]]


async def test_a_group_weighs_no_more_than_it_may_unless_one_item_alone_does() -> None:
    desk = Desk()
    tasks = await desk.begun(4, 6, 1, 40, 1)
    desk.go_on.set()
    assert await asyncio.gather(*tasks) == [8, 12, 2, 80, 2]
    assert desk.groups == [[4, 6], [1], [40], [1]]


async def test_what_is_wrong_with_one_is_told_to_it_alone() -> None:
    desk = Desk()
    tasks = await desk.begun(1, 7, 2)
    desk.go_on.set()
    assert (await tasks[0], await tasks[2]) == (2, 4)
    with pytest.raises(LimitExceededError):
        await tasks[1]


async def test_a_fault_over_one_of_many_spoils_no_other() -> None:
    desk = Desk()
    desk.together = Gathering(desk.work, weight=lambda _: 1, most=10)
    tasks = await desk.begun(1, 13, 2)
    desk.go_on.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert (told[0], told[2]) == (2, 4)
    assert isinstance(told[1], ValueError)
    assert desk.groups == [[1, 13, 2], [1], [13], [2]]


async def test_what_failed_for_all_is_told_to_all_and_not_tried_again() -> None:
    desk = Desk()
    desk.together = Gathering(desk.work, weight=lambda _: 1, most=10)
    tasks = await desk.begun(1, 17, 2)
    desk.go_on.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in told] == [LimitExceededError] * 3
    assert desk.groups == [[1, 17, 2]]
    assert await desk.together.one(3) == 6  # and it goes on


async def test_where_only_some_errors_are_common_any_other_is_told_to_its_item_alone() -> None:
    desk = Desk()
    desk.together = Gathering(desk.work, weight=lambda _: 1, most=10, common=StorageFailedError)
    tasks = await desk.begun(1, 17, 2)
    desk.go_on.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert (told[0], told[2]) == (2, 4)
    assert isinstance(told[1], LimitExceededError)
    assert desk.groups == [[1, 17, 2], [1], [17], [2]]


async def test_a_crowd_is_given_a_moment_to_come_and_then_taken_whole() -> None:
    desk = Desk()
    asked = list[list[int]]()

    def pause_s(waiting: Sequence[int]) -> float:
        asked.append(list(waiting))
        return 0.2 if len(waiting) > 1 else 0

    desk.together = Gathering(desk.work, weight=lambda _: 1, most=10, pause_s=pause_s)
    desk.go_on.set()
    (alone,) = await desk.begun(1)
    assert await alone == 2
    crowd = await desk.begun(2, 3)
    late = await desk.begun(4)
    assert await asyncio.gather(*crowd, *late) == [4, 6, 8]
    assert desk.groups == [[1], [2, 3, 4]]
    assert asked == [[1], [2, 3]]


async def test_who_leaves_takes_back_what_waits_and_disturbs_nobody() -> None:
    desk = Desk()
    first = await desk.begun(1, 2)
    later = await desk.begun(3, 4, 5)
    first[0].cancel()
    later[1].cancel()
    await asyncio.sleep(0)
    desk.go_on.set()
    told = await asyncio.gather(*first, *later, return_exceptions=True)
    assert [told[1], told[2], told[4]] == [4, 6, 10]
    assert isinstance(told[0], asyncio.CancelledError)
    assert desk.groups == [[1, 2], [3, 5]]


async def test_work_that_is_broken_off_keeps_nobody_waiting() -> None:
    desk = Desk()
    tasks = await desk.begun(1)
    tasks += await desk.begun(2)
    (worker,) = asyncio.all_tasks() - {asyncio.current_task(), *tasks}
    worker.cancel()
    async with asyncio.timeout(30):
        told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in told] == [asyncio.CancelledError] * 2
    desk.go_on.set()
    assert await desk.together.one(3) == 6


@pytest.mark.parametrize("count", [1, 50])
async def test_all_are_told(count: int) -> None:
    desk = Desk()
    desk.go_on.set()
    numbers = [100 + number for number in range(count)]
    assert await asyncio.gather(*map(desk.together.one, numbers)) == [2 * each for each in numbers]
