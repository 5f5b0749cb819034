"""Signs anew what grows old, at intervals, as long as the server runs.

It also makes up for a publication that was cut off. A failure is logged and tried again at the
next interval: the directory in force stays good for hours to weeks.
"""

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from edoccore.errors import EdocError, StorageFailedError

INTERVAL = timedelta(seconds=60)

_log = structlog.get_logger(__name__)


class ResigningWorker:
    """One thread that runs the same jobs again and again."""

    def __init__(
        self,
        jobs: tuple[Callable[[], object], ...],
        *,
        on_failure: Callable[[EdocError], None],
        interval: timedelta = INTERVAL,
    ) -> None:
        """Takes the jobs; ``start`` begins.

        Args:
            jobs: Run one after the other, each interval.
            on_failure: Called when the disk cannot be trusted; the thread ends then.
            interval: Between the end of one round and the beginning of the next.
        """
        self._jobs = jobs
        self._on_failure = on_failure
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resigning", daemon=True)

    def start(self) -> None:
        """Begins with a round at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the round under way, if it has begun."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for job in self._jobs:
                try:
                    job()
                except StorageFailedError as error:
                    self._on_failure(error)
                    return
                except EdocError as error:
                    _log.error("resigning_failed", reason=error.reason, message=error.message)
                except Exception as error:  # noqa: BLE001 - top of a worker
                    _log.error("resigning_failed", exc_info=error)
            self._stopping.wait(self._interval.total_seconds())
