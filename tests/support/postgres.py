"""A real PostgreSQL for tests: one temporary server per test process, one database per test.

``tests/conftest.py`` has the fixtures, once for all tests. A module that imports them has a server
of its own: only for tests that stop it.
The server listens on a Unix socket in a temporary folder only, so processes of pytest-xdist
never meet. Run as root it starts PostgreSQL as an unprivileged user, which it insists on.
Without the PostgreSQL programs tests are skipped with the reason, or fail when ``CI=true``.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

START_TIMEOUT_S = 90
MISSING = "PostgreSQL is not installed (apt-get install postgresql)"
_USER = "edoc"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",  # the server of a test may forget everything when the machine dies
    "shared_buffers": "32MB",
    "max_connections": "60",
}


@dataclass(slots=True)
class PostgresServer:
    """A running server; makes databases copied from ``template1``."""

    socket_folder: Path
    process: subprocess.Popen[bytes]
    options: Mapping[str, str]
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _templates: dict[str, str] = field(default_factory=dict)

    def url(self, database: str = "postgres") -> str:
        """Returns the SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.socket_folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Opens a plain connection in autocommit mode, for what tests do behind the program."""
        return psycopg.connect(
            host=str(self.socket_folder), user=_USER, dbname=database, autocommit=True
        )

    def new_database(self, template: str = "template1") -> str:
        """Makes a database, empty or as its template is, and returns its name."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def template(self, kind: str, fill: Callable[[str], None]) -> str:
        """Returns the name of a database to copy; the first time it is filled, by its URL."""
        if kind not in self._templates:
            name = self.new_database()
            fill(self.url(name))
            self._templates[kind] = name
        return self._templates[kind]

    def await_ready(self) -> None:
        """Waits until it answers.

        Raises:
            RuntimeError: It does not start; with its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError((self.socket_folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        """Ends it at once, as pulling its plug would: every connection breaks, nothing is saved."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(START_TIMEOUT_S)

    def cut_off_in_commit(self, database: str) -> None:
        """Ends a connection whose COMMIT is done here, before the program hears of it."""
        waiting = (
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event = 'SyncRep' AND datname = %s"
        )
        there = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"
        deadline = time.monotonic() + START_TIMEOUT_S
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            connection.execute("SELECT pg_reload_conf()")
            try:
                while not (ended := connection.execute(waiting, [database]).fetchall()):
                    assert time.monotonic() < deadline, "nobody commits"
                    time.sleep(0.01)
                # Until they are gone: let go before, they would still tell of their COMMIT.
                while connection.execute(there, [[row[0] for row in ended]]).fetchall():
                    assert time.monotonic() < deadline, "they do not end"
                    time.sleep(0.01)
            finally:
                connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
                connection.execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Lets it and its children do nothing for a block, as a disk that hangs would."""
        family = [self.process.pid, *_children(self.process.pid)]
        try:
            for process in family:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def start_again(self) -> None:
        """Starts it after a crash; it recovers what was committed."""
        programs = _program_folder()
        assert programs is not None
        user = _unprivileged_user()
        self.process = _launch(programs, self.socket_folder, user, self.options)
        self.await_ready()

    def drop_database(self, name: str) -> None:
        """Removes a database even when connections to it were left open."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _children(process: int) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def _program_folder() -> Path | None:
    """Finds the folder of initdb and postgres: Debian's newest version, else the search path."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda program: int(program.parts[-3]),
    )
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found and shutil.which("postgres") else None


def _unprivileged_user() -> str | None:
    """Returns the user to run PostgreSQL as, or None when this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return None


def _as(user: str | None) -> list[str]:
    """The words before a command that another user runs; from util-linux.

    Python could change the user too, but then forks instead of calling vfork, and what threads of
    gRPC do in the forked child may end it.
    """
    return [] if user is None else ["setpriv", f"--reuid={user}", "--keep-groups", "--"]


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    subprocess.run(
        [*_as(user), programs / "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8"]
        + ["--locale=C", f"--username={_USER}", "--pgdata", data],
        check=True,
        capture_output=True,
        cwd=data.parent,
        timeout=60,
    )


def _launch(
    programs: Path, folder: Path, user: str | None, chosen: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    options = [f"--{name}={value}" for name, value in chosen.items()]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*_as(user), programs / "postgres", "-D", folder / "data", "-k", folder, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
        )


@contextlib.contextmanager
def running_server(**options: str) -> Iterator[PostgresServer]:
    """Runs a server with these options besides its own.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = _program_folder()
    if programs is None:
        raise FileNotFoundError(MISSING)
    # Not tmp_path: its parents are closed to other users, and socket paths must stay short.
    with tempfile.TemporaryDirectory(prefix="edoc-pg-") as name:
        folder, user = Path(name), _unprivileged_user()
        if user is not None:
            shutil.chown(folder, user)
        _initialise(programs, folder / "data", user)
        chosen = _OPTIONS | options
        server = PostgresServer(folder, _launch(programs, folder, user, chosen), chosen)
        try:
            server.await_ready()
            yield server
        finally:
            server.process.terminate()
            try:
                server.process.wait(60)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Runs a PostgreSQL server for the tests of this process."""
    if _program_folder() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Gives the URL of a fresh, empty database."""
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
