"""The same promises on a SQLite file and on a real PostgreSQL."""

import shlex
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from edoccore.errors import DataFolderError, StorageDamagedError, StorageFailedError
from edockit.database import CHECKPOINT_PAGES, Database
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy, ThreadedProxy

METADATA = sa.MetaData()
NOTES = sa.Table("notes", METADATA, sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/node.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database.open(url, metadata=METADATA)
    yield opened
    opened.close()


def add(number: int):
    return lambda connection: connection.execute(NOTES.insert(), [{"id": number}])


def ids(database: Database) -> list[int]:
    query = sa.select(NOTES.c.id).order_by(NOTES.c.id)
    return list(database.read(lambda connection: connection.execute(query).scalars().all()))


@pytest.mark.postgres
def test_what_is_read_comes_in_binary_form(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    query = "SELECT '\\x00ff41'::bytea, 2::bigint ^ 40, 'Hà Nội'::text, NULL::bigint"

    def look(connection: sa.Connection) -> object:
        found = connection.exec_driver_sql(query)
        result = found.cursor.pgresult  # type: ignore[union-attr]  # psycopg's
        return result.fformat(0), tuple(found.one())

    assert database.read(look) == (1, (b"\x00\xffA", 2.0**40, "Hà Nội", None))
    database.close()


@pytest.mark.postgres
def test_statements_that_are_often_read_are_prepared_once(postgres_url: str) -> None:
    database = Database.open(postgres_url, metadata=METADATA)
    for _ in range(10):
        assert ids(database) == []
    query = "SELECT count(*) FROM pg_prepared_statements WHERE strpos(statement, 'notes') > 0"
    kept = database.read(lambda connection: connection.exec_driver_sql(query).scalar())
    database.close()
    assert kept == 1


def queue_behind(database: Database, *writes):
    """Queues writes while the writing thread is held, so that they share a group."""
    entered, release = threading.Event(), threading.Event()

    def wait(_connection: sa.Connection) -> None:
        entered.set()
        release.wait(60)

    database.write(wait)
    entered.wait(60)
    futures = [database.write(write) for write in writes]
    release.set()
    return futures


def test_a_failing_write_leaves_the_others_of_its_group(database: Database) -> None:
    futures = queue_behind(database, add(1), add(2), add(1), add(3))
    assert isinstance(futures[2].exception(10), sa.exc.IntegrityError)
    assert [futures[index].exception(10) for index in (0, 1, 3)] == [None] * 3
    assert ids(database) == [1, 2, 3]


def test_a_write_that_hides_a_database_error_never_counts_as_kept(database: Database) -> None:
    def hide(connection: sa.Connection) -> None:
        add(5)(connection)
        try:
            add(5)(connection)
        except sa.exc.IntegrityError:
            return

    database.write(add(1)).result(60)
    alone = database.write(hide)
    # SQLite undoes one statement and goes on; PostgreSQL gives up the transaction.
    if alone.exception(10) is None:
        assert ids(database) == [1, 5]
    else:
        assert ids(database) == [1]
    before, hidden, after = queue_behind(database, add(2), hide, add(3))
    assert before.exception(10) is None
    assert after.exception(10) is None
    assert hidden.exception(10) is not None
    assert {1, 2, 3} <= set(ids(database))


def test_a_reader_sees_one_snapshot_while_a_writer_commits(database: Database) -> None:
    database.write(add(1)).result(60)
    query = sa.select(sa.func.count()).select_from(NOTES)

    def read_twice(connection: sa.Connection) -> tuple[int, int]:
        first = connection.execute(query).scalar_one()
        database.write(add(2)).result(60)
        return first, connection.execute(query).scalar_one()

    assert database.read(read_twice) == (1, 1)
    assert ids(database) == [1, 2]


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"read-?only"):
        database.read(add(1))


def test_data_is_there_after_reopening(database: Database, url: str) -> None:
    database.write(add(4)).result(60)
    database.close()
    again = Database.open(url)
    assert ids(again) == [4]
    again.close()


def test_the_sqlite_file_and_its_side_files_are_private(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/node.db", metadata=METADATA)
    database.write(add(1)).result(60)
    ids(database)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"node.db": 0o600, "node.db-wal": 0o600, "node.db-shm": 0o600}
    database.close()


def test_a_readable_database_file_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    with pytest.raises(DataFolderError) as caught:
        Database.open(f"sqlite:///{path}")
    assert caught.value.hint == f"chmod 600 {shlex.quote(str(path))}"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="No such file"):
        Database.open(f"sqlite:///{tmp_path}/missing/node.db")


def test_a_file_that_is_no_database_is_damaged_storage(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.touch(mode=0o600)
    path.write_bytes(b"this is not a database" * 300)
    with pytest.raises(StorageDamagedError):
        Database.open(f"sqlite:///{path}")


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_told(postgres_server: PostgresServer) -> None:
    for url in ("postgresql+psycopg://edoc@/x?host=/nowhere", postgres_server.url("missing")):
        with pytest.raises(StorageFailedError, match="PostgreSQL"):
            Database.open(url)


def test_sqlite_runs_with_the_durable_settings(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/node.db")

    def pragmas(connection: sa.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert database.write(pragmas).result(60) == ["wal", 2, 1, CHECKPOINT_PAGES]
    assert database.read(pragmas)[3] == 0
    database.close()


@pytest.mark.postgres
def test_a_connection_lost_before_commit_fails_its_group_and_the_next_connects_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = Database.open(postgres_url, metadata=METADATA)
    failures: list[object] = []
    database.on_failure = failures.append

    def lose(connection: sa.Connection) -> None:
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with postgres_server.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [backend])
        add(9)(connection)

    before, lost = queue_behind(database, add(1), lose)
    assert isinstance(before.exception(10), StorageFailedError)
    assert isinstance(lost.exception(10), StorageFailedError)
    database.write(add(2)).result(60)
    assert ids(database) == [2]
    assert not database.failed
    assert not failures
    database.close()


@pytest.mark.postgres
def test_a_connection_lost_at_commit_is_an_unknown_outcome_and_ends_writing(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = Database.open(postgres_url, metadata=METADATA)
    failures: list[object] = []
    database.on_failure = failures.append

    def lose_afterwards(connection: sa.Connection) -> None:
        add(1)(connection)
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with postgres_server.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [backend])

    error = database.write(lose_afterwards).exception(10)
    assert isinstance(error, StorageFailedError)
    assert error.fields["cause"] == "commit_unknown"
    assert database.failed
    assert failures == [error]
    assert database.write(add(2)).exception(10) is error
    database.close()


@pytest.fixture
def swallowing(postgres_server: PostgresServer) -> Iterator[ThreadedProxy]:
    """A network to PostgreSQL that can lose packets without a word."""
    made = ThreadedProxy("127.0.0.1", postgres_server.socket_folder / ".s.PGSQL.5432")
    yield made
    made.close()


HASTY = "tcp_user_timeout=2000&keepalives_idle=1&keepalives_interval=1&keepalives_count=2"


@pytest.mark.postgres
@pytest.mark.skipif(sys.platform != "linux", reason="loses packets by a filter of Linux sockets")
@pytest.mark.parametrize("already_sent", [True, False])
@pytest.mark.parametrize(
    ("said", "within_s"),
    [(HASTY, 20), pytest.param("", 50, marks=[pytest.mark.slow])],
)
def test_a_network_that_swallows_packets_is_noticed_and_left(
    postgres_url: str, swallowing: ThreadedProxy, said: str, within_s: float, *, already_sent: bool
) -> None:
    name = sa.make_url(postgres_url).database
    url = f"postgresql+psycopg://edoc@127.0.0.1:{swallowing.proxy.port}/{name}?{said}"
    database = Database.open(url, metadata=METADATA)

    def lose(connection: sa.Connection) -> None:
        if already_sent:  # and acknowledged: only the answer never comes
            threading.Timer(0.3, swallowing.call, [Proxy.swallow_packets]).start()
            connection.execute(sa.text("SELECT pg_sleep(60)"))
        swallowing.call(Proxy.swallow_packets)
        add(1)(connection)

    began = time.monotonic()
    error = database.write(lose).exception(within_s + 20)
    assert time.monotonic() - began < within_s
    assert isinstance(error, StorageFailedError)
    assert error.fields["cause"] == "connection_lost"
    database.write(add(2)).result(60)
    assert ids(database) == [2]
    database.close()
