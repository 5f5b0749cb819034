"""What figures of a month, late lists and counting cost over a million received documents.

    .venv/bin/python -m tests.benchmarks.bench_statistics [--quick] [--rounds N]

The inbox of a stopped node is filled (see ``growing``) and spread over the days of this month, 63
senders, four urgencies and five types; nine of ten were accepted. Then the node starts, counts
what is there, and an office asks over its socket; beside it a node with hardly a document.
"""

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from edocnode.domain.group_by import GroupBy
from edocnode.rpc.late import list_late
from edocnode.rpc.office_client import OfficeClient, open_office
from edocnode.rpc.statistics import read_statistics
from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.growing import grow
from tests.benchmarks.observing import memory_mib, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, BenchNode, pair
from tests.benchmarks.report import Report, Scale, run_alone

FEW = 10
ASKED = 15  # times; the median counts
PATIENCE_S = 600
MONTH, PEERS, LATE = "figures of a month: ms", "the same by peer: ms", "what is late: ms"
COUNTING, MEMORY = "counting: us per document", "memory after asking: MiB"
HOW = "Asked by an office over the node's socket, after all was counted; median of 15."
GOAL = "a month over 1,000,000 documents in under 1 s, memory flat"
SPREAD = """
    UPDATE inbox SET
        received_at = :first + position * :elapsed / (SELECT max(position) + 1 FROM inbox),
        sender = 'H' || (10 + position % 63),
        lane = CASE position % 100 WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 3 END,
        document_type = CASE position % 5 WHEN 0 THEN 'QĐ' WHEN 1 THEN 'BC' WHEN 2 THEN 'TTr' ELSE
            'Công văn' END,
        due_date = CASE position % 10 WHEN 0 THEN '2020-01-01' ELSE '' END,
        state = CASE position % 10 WHEN 9 THEN 'received' ELSE 'finished' END
"""


def run(scale: Scale) -> Report:
    """Measures both nodes in each round."""
    rows = scale.pick(5_000, 1_000_000)
    rounds = 1 if scale.quick else min(scale.rounds, 2)
    figures = Figures().interleaved(rounds, *(partial(measured, size) for size in (FEW, rows)))
    report = Report("statistics and late lists", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    for what in (MONTH, PEERS, LATE, MEMORY):
        ratio = figures.ratio(f"{rows:,} rows: {what}", f"{FEW:,} rows: {what}")
        report.row(f"{what.rpartition(':')[0]}: {rows:,} rows / {FEW:,} rows", ratio, "times")
    return report


def measured(rows: int) -> dict[str, float]:
    """One node with so many received documents."""
    with pair() as nodes:
        deliver_some(nodes.sender, nodes.recipient, nodes.nation.directory())
        grow(nodes.recipient.database, rows)
        spread(nodes.recipient.database)
        nodes.recipient.start()
        with open_office(nodes.recipient.socket) as office:
            took = counted(office, rows)
            found = {
                MONTH: asked(lambda: month(office)),
                PEERS: asked(lambda: month(office, GroupBy.PEER)),
                LATE: asked(lambda: list_late(office, agency="", kinds=[], limit=100)),
                MEMORY: memory_mib(nodes.recipient.pid),
            }
        found |= {COUNTING: took / rows * 1e6} if rows > FEW else {}
    return {f"{rows:,} rows: {name}": value for name, value in found.items()}


def deliver_some(sender: BenchNode, recipient: BenchNode, directory: object) -> None:
    """Gives the recipient a document of which rows can be copied; both are stopped afterwards."""
    fill(
        sender.database,
        directory,
        sender=SENDER,
        recipient=RECIPIENT,
        count=1,
        size=4096,
    )
    sender.start()
    recipient.start()
    outbox = sender.progress()
    wait_until(outbox.is_done, within_s=60, what="the receipt")
    outbox.close()
    sender.stop()
    recipient.stop()


def spread(database: str) -> None:
    """Spreads what was received over this month."""
    today = datetime.now(UTC) + timedelta(hours=7)
    first = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=7)
    elapsed = (today - timedelta(hours=7) - first).total_seconds()
    values = {"first": int(first.timestamp() * 1000), "elapsed": int(elapsed * 1000)}
    connection = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(SPREAD, values)
        connection.execute("DELETE FROM counted")
        connection.execute("DELETE FROM daily")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def month(office: OfficeClient, by: GroupBy | None = None) -> bool:
    """Asks for the figures of this month; whether all is counted."""
    today = (datetime.now(UTC) + timedelta(hours=7)).date()
    found = read_statistics(office, first=today.replace(day=1), last=today, agency="", by=by)
    return bool(found["complete"])


def counted(office: OfficeClient, rows: int) -> float:
    """Waits until all is counted; how long that took, in seconds."""
    began = time.perf_counter()
    while not month(office):
        assert time.perf_counter() - began < PATIENCE_S
    took = time.perf_counter() - began
    today = (datetime.now(UTC) + timedelta(hours=7)).date()
    found = read_statistics(office, first=today.replace(day=1), last=today, agency="", by=None)
    assert found["total"]["received"] == rows
    return took


def asked(call: Callable[[], object]) -> float:
    """Median time of a call, in milliseconds."""
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    run_alone(run)
