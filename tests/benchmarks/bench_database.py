"""The same exchange on PostgreSQL and on SQLite, and with FULL and NORMAL.

    .venv/bin/python -m tests.benchmarks.bench_database [--quick] [--rounds N]

PostgreSQL runs on this machine with fsync and synchronous_commit on, one server for both nodes, set
up as deploy/README.md advises. It has run for a while: a fresh server makes and zeroes 16 MB of WAL
after each 16 MB written, a used one has them. Its own processor time is not in the figures.
NORMAL is what SQLite is never run with: it loses acknowledged documents in a power cut. Needs the
programs of PostgreSQL.
"""

import contextlib
from functools import partial

from tests.benchmarks.exchanging import Load, both_at_once, sealing_then_delivery
from tests.benchmarks.figures import Figures
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.postgres import PostgresServer, running_server

SIZE = 4 * 1024
FULL, NORMAL, POSTGRES = "SQLite FULL", "SQLite NORMAL", "PostgreSQL"
WAYS = ("delivery", "sealing and delivery")
DURABLE = {"fsync": "on", "synchronous_commit": "on"}
ADVISED = {
    "shared_buffers": "256MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
}
USED_SEGMENTS = 40  # of 16 MB of WAL, more than a round writes
HOW = "Filled outbox, both ways of the exchange benchmark, a pair of nodes for each database."
GOAL = "PostgreSQL at least 0.75 of SQLite; FULL at least 0.9 of NORMAL"


def run(scale: Scale) -> Report:
    """Measures all databases in each round."""
    count = scale.pick(2_000, 10_000)
    report = Report("databases", HOW, GOAL)
    with contextlib.ExitStack() as stack:
        others = [NORMAL]
        server = None
        try:
            server = stack.enter_context(running_server(**DURABLE, **ADVISED))
            _use(server)
            others.append(POSTGRES)
        except FileNotFoundError as error:
            report.skipped.append(str(error))
        figures = Figures().interleaved(
            scale.rounds, *(partial(measured, name, count, server) for name in (FULL, *others))
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


def measured(name: str, count: int, server: PostgresServer | None) -> dict[str, float]:
    """Both ways on one database."""
    options = {"SYNCHRONOUS": "NORMAL"} if name == NORMAL else {}
    load = Load(count=count, size=SIZE, options=options)
    if name == POSTGRES:
        assert server is not None
        load = Load(count=count, size=SIZE, databases=partial(_two_databases, server))
    _, delivery = sealing_then_delivery(load)
    both = both_at_once(load)
    spans = zip(WAYS, (delivery, both), strict=True)
    return {
        key: value for way, span in spans for key, value in span.figures(f"{name}, {way}").items()
    }


def _use(server: PostgresServer) -> None:
    """Has the server fill WAL and recycle it."""
    with server.connect() as connection:
        connection.execute("CREATE TABLE filler (number int)")
        for number in range(USED_SEGMENTS):
            connection.execute("INSERT INTO filler VALUES (%s)", [number])
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("DROP TABLE filler")
        connection.execute("CHECKPOINT")


def _two_databases(server: PostgresServer) -> tuple[str, str]:
    return server.url(server.new_database()), server.url(server.new_database())


if __name__ == "__main__":
    run_alone(run)
