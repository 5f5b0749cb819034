"""The same exchange on PostgreSQL and on SQLite, and with FULL and NORMAL.

    .venv/bin/python -m tests.benchmarks.bench_database [--quick] [--rounds N]

PostgreSQL runs on this machine with fsync and synchronous_commit on, one server for both nodes, set
up as deploy/README.md advises. It has run for a while: a fresh server makes and zeroes 16 MB of WAL
after each 16 MB written, a used one has them; and memory is in use (see ``used_memory``). Its own
processor time is not in the figures.
NORMAL is what SQLite is never run with: it loses acknowledged documents in a power cut. Needs the
programs of PostgreSQL.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.benchmarks.exchanging import Load, both_at_once, sealing_then_delivery
from tests.benchmarks.figures import Figures
from tests.benchmarks.observing import Span
from tests.benchmarks.report import Report, Scale, run_alone
from tests.benchmarks.used_memory import use_memory
from tests.support.postgres import PostgresServer, running_server

SIZE = 4 * 1024
FULL, NORMAL, POSTGRES = "SQLite FULL", "SQLite NORMAL", "PostgreSQL"
WAYS: Mapping[str, Callable[[Load], Span]] = {
    "delivery": lambda load: sealing_then_delivery(load)[1],
    "sealing and delivery": both_at_once,
}
DURABLE = {"fsync": "on", "synchronous_commit": "on"}
ADVISED = {
    "shared_buffers": "1GB",  # a quarter of the memory, of a small server
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
}
USED_SEGMENTS = 40  # of 16 MB of WAL, more than a round writes
HOW = "Filled outbox, both ways of the exchange benchmark, a pair of nodes for each database."
GOAL = "PostgreSQL at least 0.75 of SQLite; FULL at least 0.9 of NORMAL"


def run(scale: Scale) -> Report:
    """Measures all databases in each round."""
    count = scale.pick(2_000, 30_000)
    report = Report("databases", HOW, GOAL)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        others = [NORMAL]
        server = None
        try:
            server = stack.enter_context(running_server(**DURABLE, **ADVISED))
            _use(server)
            others.append(POSTGRES)
        except FileNotFoundError as error:
            report.skipped.append(str(error))
        before = partial(use_memory, folder) if scale.pick(False, True) else _as_it_is
        figures = Figures().interleaved(
            scale.rounds,
            *(partial(measured, name, count, server, before) for name in (FULL, *others)),
        )
    for name in figures.values:
        report.row_of(figures, name)
    pairs = [(POSTGRES, FULL)] if server else []
    shown = []
    for way in WAYS:
        for first, second in [*pairs, (FULL, NORMAL)]:
            names = (f"{item}, {way}: documents/s" for item in (first, second))
            ratio = figures.ratio(*names)
            report.row(f"{first} / {second}, {way}", ratio, "times")
            shown.append((f"{first} / {second}, {way}", ratio))
    report.bars("Databases beside each other", "times", shown)
    return report


def measured(
    name: str, count: int, server: PostgresServer | None, before: Callable[[], None]
) -> dict[str, float]:
    """Both ways on one database; ``before`` is called before each."""
    options = {"SYNCHRONOUS": "NORMAL"} if name == NORMAL else {}
    found: dict[str, float] = {}
    for way, exchanged in WAYS.items():
        before()
        with _databases(server if name == POSTGRES else None) as urls:
            span = exchanged(
                Load(count=count, size=SIZE, options=options, databases=lambda urls=urls: urls)
            )
        found |= span.figures(f"{name}, {way}")
    return found


def _as_it_is() -> None:
    """Memory as it is found."""


@contextlib.contextmanager
def _databases(server: PostgresServer | None) -> Iterator[tuple[str, str]]:
    """URLs of sender and recipient; gone afterwards, or they are vacuumed during the next round."""
    if server is None:
        yield "", ""
        return
    made = server.new_database(), server.new_database()
    yield server.url(made[0]), server.url(made[1])
    for name in made:
        server.drop_database(name)


def _use(server: PostgresServer) -> None:
    """Has the server fill WAL and recycle it, and its connections not interrupt who runs."""
    os.sched_setscheduler(server.process.pid, os.SCHED_BATCH, os.sched_param(0))
    with server.connect() as connection:
        connection.execute("CREATE TABLE filler (number int)")
        for number in range(USED_SEGMENTS):
            connection.execute("INSERT INTO filler VALUES (%s)", [number])
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("DROP TABLE filler")
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    run_alone(run)
