"""Does together what many callers bring at the same time; nobody waits for others to come.

What comes first is worked on at once, with what else is ready to come. What comes meanwhile is
worked on together when that is done, and so on: a call costs its own work when there is little to
do, and its share of few steps when there is much. Where a step costs much itself, a crowd may be
given a moment to come.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edoccore.errors import EdocError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"


class Gathering(Generic[Item, Result]):
    """Work on what waits, one group at a time, on one event loop."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | EdocError]]],
        *,
        weight: Callable[[Item], int],
        most: int,
        pause_s: Callable[[Sequence[Item]], float] = lambda _: 0,
        common: type[EdocError] = EdocError,
    ) -> None:
        """Takes the work.

        Args:
            work: Returns for each item, in order, what became of it.
            weight: Of an item in a group.
            most: Weight of a group, unless one item alone is heavier.
            pause_s: Seconds in which more may come, from what waits before a group is taken.
            common: Errors of ``work`` that are told to the whole group. After any other, each item
                is worked on alone, so that only the one that is at fault is told.
        """
        self._work = work
        self._weight = weight
        self._most = most
        self._pause_s = pause_s
        self._common = common
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def one(self, item: Item) -> Result:
        """What became of an item. A caller that is cancelled takes its item back if it still waits.

        Raises:
            EdocError: What ``work`` returned for the item, or raised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(item, future))
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        group: Sequence[_Waiting[Item, Result]] = ()
        try:
            while self._waiting:
                await asyncio.sleep(0)  # what is ready comes too, even if work never waits
                if (pause_s := self._pause_s([each.item for each in self._waiting])) > 0:
                    await asyncio.sleep(pause_s)
                if group := self._next():
                    await self._settle(group)
        finally:
            self._task = None
            _cancel([*group, *self._waiting])  # the program ends
            self._waiting.clear()

    def _next(self) -> Sequence[_Waiting[Item, Result]]:
        group: list[_Waiting[Item, Result]] = []
        room = self._most
        while self._waiting:
            each = self._waiting[0]
            if not each.future.done():  # else its caller was cancelled
                room -= self._weight(each.item)
                if group and room < 0:
                    break
                group.append(each)
            self._waiting.popleft()
        return group

    async def _settle(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        """Works on a group; a fault over one of many shall not spoil the others."""
        try:
            results = await self._work([each.item for each in group])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            if isinstance(error, self._common) or len(group) == 1:
                _fail(group, error)
                return
            for each in group:
                await self._settle([each])
            return
        for each, result in zip(group, results, strict=True):
            if isinstance(result, EdocError):
                _fail([each], result)
            elif not each.future.done():
                each.future.set_result(result)


def _fail(group: Iterable[_Waiting[Item, Result]], error: Exception) -> None:
    for each in group:
        if not each.future.done():
            each.future.set_exception(error)


def _cancel(group: Iterable[_Waiting[Item, Result]]) -> None:
    for each in group:
        each.future.cancel()
