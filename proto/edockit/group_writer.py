"""The one writing thread of a database: many small writes share one durable COMMIT.

Each write is a function that gets the connection. The thread runs queued functions one after
another inside one transaction and commits when the queue is empty or a bound is reached: alone
a write waits for nobody, under load hundreds share one fsync.

Invariants:
 1. A future resolves only after the COMMIT that holds its function's work.
 2. A function that raises leaves nothing behind and disturbs no other: the first of a group has
    the transaction to itself (undone by ROLLBACK), each later one has a SAVEPOINT.
 3. A COMMIT whose durability is in doubt is never asked again: all its futures fail, the writer
    stops for good, and only a new process, reading what is there, may go on.
 4. A full disk is not a failure: the group is rolled back and may be tried again.
 5. Every future is settled, whoever cancels and whatever fails: the thread ends only when the
    database is closed, or by a fault of its own, which fails all that wait and all that come.
"""

import collections
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy
from sqlalchemy.engine import Connection, RootTransaction

from edoccore.errors import DiskFullError, EdocError, StorageDamagedError, StorageFailedError
from edockit import database_errors

MAX_GROUP_WRITES = 512  # writes in one commit; 100 already make fsync cheap (proto/README.md)
MAX_GROUP_SECONDS = 0.05  # a commit waits no longer than this for further writes to run
# Plain SQL: SQLAlchemy's begin_nested costs 40 microseconds a write, this 8.
_SAVEPOINT = "SAVEPOINT edoc_write"
_UNDO = "ROLLBACK TO SAVEPOINT edoc_write"
_RELEASE = "RELEASE SAVEPOINT edoc_write"

Result = TypeVar("Result")
Write = Callable[[Connection], Any]  # the result type belongs to the future of the same job


class WriteConnection(Protocol):
    """Where the writer gets its connection, and how it can tell whether it is still sound."""

    def connect(self) -> Connection:
        """Opens the writing connection."""
        ...

    def in_transaction(self, connection: Connection) -> bool:
        """Tells whether the transaction is open and could be committed."""
        ...


@dataclass(slots=True)
class _Job:
    """One queued write and the future its caller holds."""

    write: Write
    future: Future[Any]
    result: Any = field(default=None)


class GroupWriter:
    """Runs writes in one thread and commits them in groups."""

    def __init__(
        self,
        source: WriteConnection,
        guard: threading.Lock,
        *,
        on_failure: Callable[[EdocError], None],
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Prepares the thread; ``start`` begins.

        Args:
            source: Gives the writing connection.
            guard: Held while the connection is in use; readers of a database in memory share it.
            on_failure: Called once, in the writing thread, when the writer stops for good.
            together: Held while the futures of a group are settled.
        """
        self._source = source
        self._guard = guard
        self._on_failure = on_failure
        self._together = together
        self._queue: collections.deque[_Job] = collections.deque()
        self._wakeup = threading.Condition()
        self._closing = False
        self._connection: Connection | None = None
        self.failure: EdocError | None = None
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)

    def start(self) -> None:
        """Starts the writing thread."""
        self._thread.start()

    def submit(self, write: Callable[[Connection], Result]) -> Future[Result]:
        """Queues one write.

        Raises:
            RuntimeError: The database was closed.
        """
        future: Future[Result] = Future()
        with self._wakeup:
            if self._closing:
                raise RuntimeError("the database is closed")
            if self.failure is not None:
                future.set_exception(self.failure)
                return future
            self._queue.append(_Job(write, future))
            self._wakeup.notify()
        return future

    def close(self) -> None:
        """Finishes what is queued, then ends the thread and its connection."""
        with self._wakeup:
            self._closing = True
            self._wakeup.notify()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        while (job := self._wait()) is not None:
            done: list[_Job] = []
            try:
                with self._guard:
                    self._run_group(job, done)
            except BaseException as error:
                failure = database_errors.writer_fault(error)
                self._stop(failure)
                _fail([job, *done], failure)
                raise

    def _wait(self) -> _Job | None:
        """Blocks for the next job; None when the writer is closed and its queue is empty."""
        while True:
            with self._wakeup:
                while not self._queue and not self._closing:
                    self._wakeup.wait()
                if not self._queue:
                    return None
            if (job := self._next()) is not None:  # else all that waited was cancelled
                return job

    def _next(self) -> _Job | None:
        """Takes the next job whose caller has not cancelled it; None when there is none now."""
        while True:
            try:
                job = self._queue.popleft()
            except IndexError:
                return None
            if job.future.set_running_or_notify_cancel():
                return job

    def _run_group(self, first: _Job, done: list[_Job]) -> None:
        """Runs one transaction, beginning with ``first``; settles every job it took.

        Args:
            done: Filled with the jobs whose work is in the transaction.
        """
        try:
            connection = self._open_connection()
            transaction = connection.begin()
        except Exception as error:  # noqa: BLE001 - any failure belongs to the futures
            self._discard_connection()
            _fail([first], self._judge(error))
            return
        undone_by = self._run_jobs(connection, first, done)
        if undone_by is None:
            self._commit(transaction, done)
            return
        self._roll_back(transaction)
        _fail(done, undone_by)

    def _run_jobs(
        self, connection: Connection, first: _Job, done: list[_Job]
    ) -> BaseException | None:
        """Runs jobs until the queue is empty or a bound is reached.

        Args:
            connection: In a transaction with nothing in it.
            first: The job to begin with; the others come from the queue.
            done: Filled with the jobs whose work is in the transaction.

        Returns:
            None when ``done`` is to be committed, else what undid the transaction.
        """
        deadline = time.monotonic() + MAX_GROUP_SECONDS
        job: _Job | None = first
        while job is not None:
            error = self._run_job(connection, job, done)
            if error is None:
                done.append(job)
            else:
                verdict = self._judge(error)
                _fail([job], verdict)
                if not done or self.failure is not None or not self._undo_last(connection):
                    return verdict
            full = len(done) >= MAX_GROUP_WRITES or time.monotonic() >= deadline
            job = None if full else self._next()
        return None

    def _run_job(self, connection: Connection, job: _Job, done: list[_Job]) -> BaseException | None:
        """Runs one write, behind a savepoint when others came before; returns what it raised."""
        try:
            if done:
                connection.exec_driver_sql(_SAVEPOINT)
            job.result = job.write(connection)
            if not self._source.in_transaction(connection):
                raise RuntimeError("the write hid a database error; its work cannot be committed")
            if done:
                connection.exec_driver_sql(_RELEASE)
        except BaseException as error:  # noqa: BLE001 - belongs to the caller of this write
            return error
        return None

    def _undo_last(self, connection: Connection) -> bool:
        """Undoes one write; returns whether the work of the writes before it still stands."""
        if connection.invalidated:
            return False
        try:
            connection.exec_driver_sql(_UNDO)
            connection.exec_driver_sql(_RELEASE)
        except sqlalchemy.exc.DBAPIError:
            return False  # the database had undone the whole transaction, savepoint included
        return self._source.in_transaction(connection)

    def _commit(self, transaction: RootTransaction, done: list[_Job]) -> None:
        try:
            transaction.commit()
        except Exception as error:  # noqa: BLE001 - any failure belongs to the futures
            verdict = self._judge_commit(error)
            self._roll_back(transaction)
            _fail(done, verdict)
            return
        with self._together():
            for job in done:
                job.future.set_result(job.result)

    def _judge(self, error: BaseException) -> BaseException:
        """Names what a write raised, and stops the writer when the disk cannot be trusted."""
        verdict = database_errors.from_database(error)
        if isinstance(error, StorageFailedError):  # of a file beside the database
            self._stop(error)
        if verdict is None:
            return error
        verdict.__cause__ = error
        lost = verdict.fields.get("cause") == database_errors.CONNECTION_LOST
        if not lost and isinstance(verdict, StorageFailedError | StorageDamagedError):
            self._stop(verdict)
        return verdict

    def _judge_commit(self, error: Exception) -> BaseException:
        """Names a failed COMMIT; all but a full disk and a broken constraint stop the writer."""
        verdict = database_errors.from_database(error)
        if isinstance(verdict, DiskFullError):
            verdict.__cause__ = error
            return verdict
        if verdict is None and isinstance(error, sqlalchemy.exc.IntegrityError):
            return error
        lost = verdict is None or verdict.fields.get("cause") == database_errors.CONNECTION_LOST
        failure = database_errors.commit_unknown(error) if lost or verdict is None else verdict
        failure.__cause__ = error
        self._stop(failure)
        return failure

    def _stop(self, failure: EdocError) -> None:
        """Ends all writing for good and tells the program once."""
        with self._wakeup:
            if self.failure is not None:
                return
            self.failure = failure
            waiting = list(self._queue)
            self._queue.clear()
        _fail([job for job in waiting if job.future.set_running_or_notify_cancel()], failure)
        self._on_failure(failure)

    def _roll_back(self, transaction: RootTransaction) -> None:
        """Undoes a transaction; a connection that cannot even do that is dropped."""
        try:
            transaction.rollback()
        except sqlalchemy.exc.DBAPIError:
            self._discard_connection()
            return
        connection = self._connection
        if self.failure is not None or (connection is not None and connection.invalidated):
            self._discard_connection()

    def _open_connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._source.connect()
        return self._connection

    def _discard_connection(self) -> None:
        """Drops a connection that may be broken; the next group opens another one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except sqlalchemy.exc.DBAPIError:
            connection.invalidate()  # not even a ROLLBACK reached the database


def _fail(jobs: list[_Job], error: BaseException) -> None:
    """Fails what is not settled yet."""
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
