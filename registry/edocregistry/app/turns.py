"""Lets threads that wait share one turn and one publication.

Publishing costs the same for one change as for a hundred, so whoever gets the turn carries out
all changes that were waiting by then, publishes once and wakes their threads. Alone a change waits
for nobody. Each change is still a transaction of its own, and one that fails disturbs no other.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from edocregistry.domain.publication import Publication
from edocregistry.storage.folder import DataFolder, Turn

Result = TypeVar("Result")


class _Change(Generic[Result]):
    """One waiting change and, afterwards, its outcome."""

    def __init__(self, act: Callable[[Turn], Result]) -> None:
        self._act = act
        self._results: list[Result] = []
        self._publication: Publication | None = None
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an outcome."""
        return self._error is not None or self._publication is not None

    def run(self, turn: Turn) -> None:
        """Carries it out; an error is kept for its own thread."""
        try:
            self._results.append(self._act(turn))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread it belongs to
            self._error = error

    def publish(self, publication: Publication) -> None:
        """Notes that it was published."""
        self._publication = publication

    def fail(self, error: BaseException) -> None:
        """Notes that it may not have been published."""
        self._error = self._error or error

    def outcome(self) -> tuple[Result, Publication]:
        """Returns the result, or raises what went wrong."""
        if self._error is not None:
            raise self._error
        if self._publication is None:
            raise AssertionError("the change was not carried out")
        return self._results[0], self._publication


class SharedTurns:
    """The one way in which a process changes a registry."""

    def __init__(
        self,
        folder: DataFolder,
        publish: Callable[[Turn], Publication],
        require_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the folder and what publishes it.

        Args:
            require_ready: Raises why nothing may be published; then no change is carried out.
        """
        self._folder = folder
        self._publish = publish
        self._require_ready = require_ready
        self._state = threading.Condition()  # guards the two below; held for a moment only
        self._busy = False  # a thread carries out changes
        self._waiting: list[_Change[object]] = []

    def run(self, act: Callable[[Turn], Result]) -> tuple[Result, Publication]:
        """Carries out a change and returns when it is published.

        Raises:
            EdocError: What ``act`` raised, or why the publication failed; then the change may have
                been kept, and the next turn publishes it.
        """
        change: _Change[Result] = _Change(act)
        with self._state:
            self._waiting.append(change)  # type: ignore[arg-type]  # results are not looked at
            while self._busy and not change.is_done:
                self._state.wait()
            if change.is_done:
                return change.outcome()
            self._busy = True
        self._lead()
        with self._state:
            self._busy = False
            self._state.notify_all()
        return change.outcome()

    def _lead(self) -> None:
        changes: list[_Change[object]] = []
        try:
            with self._folder.turn() as turn:
                self._require_ready()
                changes = self._take()
                for change in changes:
                    change.run(turn)
                if all(change.is_done for change in changes):  # refused: nothing to publish
                    return
                publication = self._publish(turn)
        except BaseException as error:  # noqa: BLE001 - raised again in the threads that wait
            for change in changes or self._take():
                change.fail(error)
        else:
            for change in changes:
                change.publish(publication)

    def _take(self) -> list[_Change[object]]:
        with self._state:
            taken, self._waiting = self._waiting, []
        return taken
