"""Tells an event loop what became of work in another thread, many outcomes with one wake-up.

``asyncio.wrap_future`` wakes the loop for each future: a system call each, and a change of threads
in the middle of settling a group.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")
_Pair = tuple["asyncio.Future[Any]", "Future[Any]"]


class LoopOutcomes:
    """Outcomes on their way to event loops."""

    def __init__(self) -> None:
        """Begins with none."""
        self._lock = threading.Lock()
        self._told: dict[asyncio.AbstractEventLoop, list[_Pair]] = {}
        self._settling: int | None = None  # the thread that settles many

    async def of(self, future: Future[Result]) -> Result:
        """Waits for a future of another thread; whoever is cancelled cancels it."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Result] = loop.create_future()
        future.add_done_callback(lambda done: self._tell(loop, mine, done))
        try:
            return await mine
        except asyncio.CancelledError:
            future.cancel()
            raise

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Lets loops know at the end, once each, what this thread settles in between."""
        self._settling = threading.get_ident()
        try:
            yield
        finally:
            self._settling = None
            with self._lock:
                loops = list(self._told)
            for loop in loops:
                self._wake(loop)

    def _tell(
        self, loop: asyncio.AbstractEventLoop, mine: asyncio.Future[Any], done: Future[Any]
    ) -> None:
        """Takes note of an outcome, in the thread that settled it."""
        with self._lock:
            first = loop not in self._told
            self._told.setdefault(loop, []).append((mine, done))
        if first and self._settling != threading.get_ident():
            self._wake(loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._look, loop)
        except RuntimeError:  # the loop has ended, with all who waited
            with self._lock:
                self._told.pop(loop, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Settles what was told so far; runs on the loop."""
        with self._lock:
            told = self._told.pop(loop, ())
        for mine, done in told:
            if mine.done():  # its waiter was cancelled
                continue
            if done.cancelled():
                mine.cancel()
            elif (error := done.exception()) is not None:
                mine.set_exception(_settable(error))
            else:
                mine.set_result(done.result())


def _settable(error: BaseException) -> BaseException:
    """The same, unless it is the one that a future of asyncio refuses; others wait behind it."""
    if not isinstance(error, StopIteration):
        return error
    told = RuntimeError("an iterator ended where nothing expected it")
    told.__cause__ = error
    return told
