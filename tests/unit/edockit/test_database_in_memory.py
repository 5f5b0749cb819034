"""The promises of Database that need no disk: groups, isolation, times, read-only readers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from edoccore.errors import EdocError, SettingsError, StorageFailedError
from edockit.database import Database, UTCDateTime

METADATA = sa.MetaData()
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UTCDateTime),
)
NOON = datetime(2026, 11, 23, 5, 0, 0, 678_000, tzinfo=UTC)


@pytest.fixture
def database() -> Iterator[Database]:
    opened = Database.open("sqlite://", metadata=METADATA)
    yield opened
    opened.close()


def add(number: int):
    return lambda connection: connection.execute(NOTES.insert(), [{"id": number, "at": NOON}])


def ids(database: Database) -> list[int]:
    return list(database.read(lambda c: c.execute(sa.select(NOTES.c.id)).scalars().all()))


def hold_writer(database: Database) -> threading.Event:
    """Keeps the writing thread inside a write until the event is set, so that others queue."""
    entered, release = threading.Event(), threading.Event()

    def wait(_connection: sa.Connection) -> None:
        entered.set()
        release.wait(60)

    database.write(wait)
    entered.wait(60)
    return release


def test_a_failing_write_leaves_the_others_of_its_group(database: Database) -> None:
    release = hold_writer(database)
    good = [database.write(add(number)) for number in range(3)]
    bad = database.write(add(1))
    after = database.write(add(7))
    release.set()
    for future in [*good, after]:
        future.result(60)
    assert isinstance(bad.exception(10), sa.exc.IntegrityError)
    assert ids(database) == [0, 1, 2, 7]


def test_writing_goes_on_when_all_that_waited_behind_a_commit_was_cancelled(
    database: Database,
) -> None:
    entered, queued, committed = threading.Event(), threading.Event(), threading.Event()

    def wait(_connection: sa.Connection) -> None:
        entered.set()
        queued.wait(60)

    first = database.write(wait)
    entered.wait(60)
    # Told in the writing thread, after the COMMIT and before it looks for the next write.
    first.add_done_callback(lambda _: committed.wait(60))
    queued.set()
    first.result(60)
    assert database.write(add(1)).cancel()
    committed.set()
    while database._writer._queue:  # nothing else waits when it looks
        time.sleep(0.001)
    database.write(add(2)).result(60)
    assert ids(database) == [2]


async def test_a_caller_that_leaves_never_stops_the_writing_of_others(database: Database) -> None:
    for number in range(300):
        leaving = asyncio.create_task(database.awrite(add(number)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.wait_for(database.awrite(add(1000)), 60)


def test_a_fault_of_the_writer_itself_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[EdocError] = []
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    database = Database.open("sqlite://", metadata=METADATA, on_failure=told.append)
    release = hold_writer(database)
    before = database.write(add(1))
    broken = database.write(lambda connection: connection.close())  # which no write may do
    waiting = database.write(add(2))
    release.set()
    for future in (before, broken, waiting):
        assert future.exception(10) is not None
    later = database.write(add(3)).exception(10)
    assert isinstance(later, StorageFailedError)
    assert told == [later]
    database.close()


def test_everything_a_failing_write_did_before_is_undone(database: Database) -> None:
    def two_then_fail(connection: sa.Connection) -> None:
        add(10)(connection)
        add(11)(connection)
        raise LookupError("the caller's own error")

    for behind_others in (False, True):
        release = hold_writer(database) if behind_others else threading.Event()
        others = [database.write(add(number)) for number in ((1, 2) if behind_others else ())]
        bad = database.write(two_then_fail)
        release.set()
        assert isinstance(bad.exception(10), LookupError)
        assert [other.exception(10) for other in others] == [None] * len(others)
    assert ids(database) == [1, 2]


def test_a_group_is_one_commit(database: Database) -> None:
    commits: list[int] = []
    sa.event.listen(database.engine, "commit", lambda _connection: commits.append(1))
    release = hold_writer(database)
    futures = [database.write(add(number)) for number in range(50)]
    release.set()
    for future in futures:
        future.result(60)
    assert len(commits) <= 2  # the held write is committed with them, or before them


def test_a_future_resolves_only_after_the_commit(database: Database) -> None:
    seen_at_commit: list[bool] = []
    release = hold_writer(database)
    future = database.write(add(1))
    sa.event.listen(database.engine, "commit", lambda _c: seen_at_commit.append(future.done()))
    release.set()
    future.result(60)
    assert seen_at_commit
    assert not any(seen_at_commit)


def test_a_write_cancelled_in_the_queue_is_not_run(database: Database) -> None:
    release = hold_writer(database)
    cancelled = database.write(add(1))
    assert cancelled.cancel()
    kept = database.write(add(2))
    release.set()
    kept.result(60)
    assert ids(database) == [2]


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        database.read(add(1))
    database.write(add(2)).result(60)
    assert ids(database) == [2]


async def test_awaited_writes_and_reads_share_the_group(database: Database) -> None:
    await asyncio.gather(*(database.awrite(add(number)) for number in range(20)))
    count = sa.select(sa.func.count()).select_from(NOTES)
    assert await database.aread(lambda connection: connection.execute(count).scalar_one()) == 20


def test_closing_finishes_what_is_queued_and_refuses_more() -> None:
    database = Database.open("sqlite://", metadata=METADATA)
    release = hold_writer(database)
    queued = database.write(add(1))
    threading.Timer(0.05, release.set).start()
    database.close()
    assert queued.done()
    assert queued.exception() is None
    with pytest.raises(RuntimeError, match="closed"):
        database.write(add(2))
    database.close()


def test_times_come_back_aware_in_utc_with_milliseconds(database: Database) -> None:
    hanoi = NOON.astimezone(timezone(timedelta(hours=7)))
    row = {"id": 1, "at": hanoi + timedelta(microseconds=999)}
    database.write(lambda c: c.execute(NOTES.insert(), [row])).result(60)
    assert database.read(lambda c: c.execute(sa.select(NOTES.c.at)).scalar_one()) == NOON
    stored = database.read(lambda c: c.execute(sa.text("SELECT at FROM notes")).scalar_one())
    assert stored == 1_795_410_000_678


def test_a_time_without_zone_is_refused(database: Database) -> None:
    row = {"id": 1, "at": datetime(2026, 11, 23)}  # noqa: DTZ001 - the point of the test
    error = database.write(lambda c: c.execute(NOTES.insert(), [row])).exception(10)
    assert "without a time zone" in str(error)
    assert ids(database) == []


@pytest.mark.parametrize("url", ["mysql://u:geheim@h/x", "nonsense", "postgresql://h/x"])
def test_another_kind_of_database_is_refused_without_naming_the_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Database.open(url)
    assert "geheim" not in str(caught.value)
