"""What a document and a page of the inbox cost while the inbox grows.

    .venv/bin/python -m tests.benchmarks.bench_growth [--quick | --long] [--rounds N]

The recipient's database is filled up to each size with documents of metadata size (see
``growing``), then both nodes exchange some thousand documents, and an office reads pages of a
hundred: the newest, and one from the middle. Long goes to 10 million rows, 25 GB of disk.
"""

import statistics
import time
from collections.abc import Sequence
from functools import partial

from edocnode.rpc.office_client import OfficeClient, open_office
from tests.benchmarks.charts import Lines
from tests.benchmarks.exchanging import PATIENCE_S
from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.growing import grow
from tests.benchmarks.observing import mark, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, BenchNode, Pair, pair
from tests.benchmarks.report import Report, Scale, run_alone

SIZE = 4 * 1024
PAGE, PAGES = 100, 50
CPU, WALL = "CPU us per document, recipient", "us per document"
NEWEST, MIDDLE = "newest page of 100, ms", "page in the middle, ms"
HOW = (
    "A sealed outbox is delivered to a node whose inbox has so many rows; pages are read by an "
    "office over the node's socket."
)
GOAL = "every figure flat within 1.3 times"


def run(scale: Scale) -> Report:
    """Measures at every size, in each round with a pair of its own."""
    sizes = scale.pick((2_000,), (10_000, 1_000_000), (10_000, 1_000_000, 10_000_000))
    count = scale.pick(500, 5_000)
    rounds = 1 if scale.long else scale.rounds
    figures = Figures().interleaved(rounds, partial(measured, sizes, count))
    report = Report("growth of the inbox", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    for what in (CPU, WALL, NEWEST, MIDDLE):
        for size in sizes[1:]:
            ratio = figures.ratio(f"{size:,} rows: {what}", f"{sizes[0]:,} rows: {what}")
            report.row(f"{what}: {size:,} rows / {sizes[0]:,} rows", ratio, "times")
        line = [(size, figures.spread(f"{size:,} rows: {what}").median) for size in sizes]
        report.lines(Lines(f"While the inbox grows: {what}", "rows", "", [("", line)]))
    return report


def measured(sizes: Sequence[int], count: int) -> dict[str, float]:
    """One pair of nodes through all sizes."""
    found: dict[str, float] = {}
    with pair() as nodes:
        _exchange(nodes, count)  # there must be something to copy
        for size in sizes:
            grow(nodes.recipient.database, size)
            took = _exchange(nodes, count)
            found |= {f"{size:,} rows: {name}": value for name, value in took.items()}
    return found


def _exchange(nodes: Pair, count: int) -> dict[str, float]:
    """Delivers documents and reads pages; both nodes are stopped before and after."""
    fill(
        nodes.sender.database,
        nodes.nation.directory(),
        sender=SENDER,
        recipient=RECIPIENT,
        count=count,
        size=SIZE,
    )
    nodes.sender.start()
    outbox = nodes.sender.progress()
    wait_until(outbox.is_sealed, within_s=PATIENCE_S, what="all are sealed")
    nodes.recipient.start()
    inbox = nodes.recipient.progress()
    had = inbox.received()
    wait_until(lambda: inbox.received() > had, within_s=PATIENCE_S, what="the first document")
    before = mark([nodes.recipient.pid], inbox.received())
    wait_until(outbox.is_done, within_s=PATIENCE_S, what="all receipts")
    after = mark([nodes.recipient.pid], inbox.received())
    documents = after.documents - before.documents
    found = {
        CPU: (after.cpu[0] - before.cpu[0]) / documents * 1e6,
        WALL: (after.at - before.at) / documents * 1e6,
        **_pages(nodes.recipient, after.documents),
    }
    outbox.close()
    inbox.close()
    nodes.sender.stop()
    nodes.recipient.stop()
    return found


def _pages(node: BenchNode, newest: int) -> dict[str, float]:
    """Median time of a page."""
    with open_office(node.socket) as office:
        return {
            name: statistics.median(_page_ms(office, after) for _ in range(PAGES))
            for name, after in ((NEWEST, ""), (MIDDLE, str(newest // 2)))
        }


def _page_ms(office: OfficeClient, after: str) -> float:
    began = time.perf_counter()
    page = office.inbox(agency="", state="", limit=PAGE, after=after)
    took = time.perf_counter() - began
    assert len(page["documents"]) == PAGE
    return took * 1000


if __name__ == "__main__":
    run_alone(run)
