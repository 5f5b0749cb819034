"""The timer: goes on after ordinary failures, ends when the disk cannot be trusted."""

import threading
from datetime import timedelta

from edoccore.errors import DiskFullError, StorageFailedError
from edocregistry.workers.resigning import ResigningWorker

SOON = timedelta(milliseconds=5)


def run(job, rounds: int) -> list[object]:
    """Runs a job by the timer for some rounds and returns the failures it reported."""
    failures: list[object] = []
    enough = threading.Event()
    count = 0

    def counted():
        nonlocal count
        count += 1
        if count >= rounds:
            enough.set()
        job(count)

    def failed(error):
        failures.append(error)
        enough.set()

    worker = ResigningWorker((counted,), on_failure=failed, interval=SOON)
    worker.start()
    assert enough.wait(60)
    worker.stop()
    return failures


def test_jobs_run_again_and_again_until_stopped():
    assert run(lambda _count: None, 3) == []


def test_full_disk_or_a_fault_is_tried_again_at_the_next_interval():
    def job(count):
        if count == 1:
            raise DiskFullError
        if count == 2:
            raise ZeroDivisionError

    assert run(job, 4) == []


def test_disk_that_cannot_be_trusted_ends_the_timer_and_is_reported():
    def job(_count):
        raise StorageFailedError

    failures = run(job, 99)
    assert [type(error) for error in failures] == [StorageFailedError]
