"""An event loop without a clock, a socket or a thread: time passes when nothing else is left to do.

Everything that runs on it runs in an order that the seed alone decides. What asyncio would give
to a thread is run as one step of the loop, after a delay of the seed. Tasks and futures hash by
their number, since asyncio keeps them in sets and walks through those.
"""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from tests.simulation.process import Process

PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
THREAD_S = 0.002  # the longest that a thread is late, but for a few
STALL_S = 0.2  # those few
STALLED = 0.002  # their share


class StalledError(Exception):
    """Nothing is ready and nothing is due: somebody waits for ever."""


class _Numbered:
    """Hashes by number, as no address does twice."""

    def __new__(cls, *_: object, **__: object) -> Any:
        made = super().__new__(cls)
        made.number = next(_numbers)
        return made

    def __hash__(self) -> int:
        return self.number


_numbers = itertools.count()


class _Task(_Numbered, asyncio.Task):
    pass


class _Future(_Numbered, asyncio.Future):
    pass


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the module."""

    def __init__(self, chance: random.Random) -> None:
        """Begins at second 0."""
        super().__init__()
        self._selector = self
        self._now = 0.0
        self._chance = chance
        self._clock_resolution = 1e-9
        self.set_task_factory(_new_task)
        self.broken: list[str] = []  # callbacks that raised
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """Lets time pass until the next timer, in place of a selector."""
        if timeout is None:
            raise StalledError
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0]._when)
        return []

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by number."""
        return _Future(loop=self)

    def run_in_executor(
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Runs a function as one step, a little later; like a thread, it is not cancelled."""
        process = PROCESS.get()
        future = self.create_future()

        def step() -> None:
            try:
                if process is not None:
                    process.effect("thread")
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - belongs to the caller
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # it is told where it is awaited
            else:
                if not future.done():
                    future.set_result(result)

        late = STALL_S if self._chance.random() < STALLED else THREAD_S
        self.call_later(self._chance.random() * late, step)
        return future

    def _note(self, _loop: object, context: dict[str, Any]) -> None:
        """Notes a callback that raised; what tasks raise is judged where they are awaited."""
        if "handle" in context:
            self.broken.append(f"{context['message']}: {context.get('exception')!r}")

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task:
    task = _Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.adopt(task)
    return task
