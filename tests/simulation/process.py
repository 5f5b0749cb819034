"""One life of a node: from a start to the crash or the stop that ends it.

A killed process does nothing more, not even what its ``finally`` says: every effect of a dead
process raises ``ProcessKilled``, which no code of the product catches.
"""

import asyncio
from collections.abc import Callable


class ProcessKilled(BaseException):
    """This process is dead; like SIGKILL, nothing may hear of it."""


class Process:
    """Counts effects, dies at the one that was chosen, and takes its tasks along."""

    def __init__(self, name: str, *, on_death: Callable[[str], None]) -> None:
        """Lives from now on.

        Args:
            on_death: Called once with what it died of.
        """
        self.name = name
        self.alive = True
        self._on_death = on_death
        self._tasks: set[asyncio.Task] = set()
        self._dies_in = 0
        self._dies_at = ""

    @property
    def tasks(self) -> int:
        """How many of its tasks have not ended."""
        return len(self._tasks)

    def adopt(self, task: asyncio.Task) -> None:
        """Counts a task as one of this process."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.alive:
            task.cancel()

    def die_in(self, effects: int, at: str = "") -> None:
        """Dies at the ``effects``-th effect from now, of those whose name begins with ``at``."""
        self._dies_in, self._dies_at = effects, at

    def effect(self, name: str) -> None:
        """Stands before and after everything that the world can see.

        Raises:
            ProcessKilled: The process is dead, or died here.
        """
        if not self.alive:
            raise ProcessKilled
        if self._dies_in and name.startswith(self._dies_at):
            self._dies_in -= 1
            if not self._dies_in:
                self.kill(name)
                raise ProcessKilled

    def kill(self, why: str) -> None:
        """Ends at once; repeating it does nothing."""
        if not self.alive:
            return
        self.alive = False
        current = asyncio.current_task() if asyncio._get_running_loop() else None
        for task in sorted(self._tasks, key=hash):
            if task is not current:
                task.cancel()
        self._on_death(why)
