"""One document at a time, from its committed outbox to its committed receipt.

    .venv/bin/python -m tests.benchmarks.bench_lone [--quick] [--rounds N]

Idle: nothing else travels. Loaded: an office keeps 64 other documents in flight between the same
nodes. How both moments are seen is said in ``lone``. The floor is one fdatasync of this disk: two
commits at each side make at least four.
"""

from functools import partial

from tests.benchmarks.figures import Figures
from tests.benchmarks.floors import fdatasync_ms
from tests.benchmarks.lone import SIZE, quantiles, receipt_ms
from tests.benchmarks.office_load import endless
from tests.benchmarks.pair import pair
from tests.benchmarks.report import Report, Scale, run_alone

OTHERS = 64
DISK = "fdatasync of 4 KiB: p50 ms"
HOW = (
    "A document of 4 KiB, seen committed in the sender's database, until its receipt is seen "
    f"committed there; loaded: {OTHERS} others are always in flight."
)
GOAL = "idle p50 at most 10 ms, p99 at most 30 ms"


def run(scale: Scale) -> Report:
    """Measures idle and loaded, and the disk, interleaved."""
    count = scale.pick(20, 300)
    figures = Figures().interleaved(
        scale.rounds, partial(measured, count), lambda: {DISK: fdatasync_ms(scale.pick(50, 500))}
    )
    report = Report("a lone document", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name, "ms")
    for state in ("idle", "loaded"):
        ratio = figures.ratio(f"{state}: p50 ms", DISK)
        report.row(f"{state}: p50 / one fdatasync of the disk", ratio, "times")
    shown = [(name, figures.spread(name)) for name in figures.values]
    report.bars("Committed outbox to committed receipt", "milliseconds", shown)
    return report


def measured(count: int) -> dict[str, float]:
    """One pair of nodes, first idle, then loaded."""
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        found = quantiles(receipt_ms(nodes.sender, count), "idle")
        others = endless(nodes.sender, in_flight=OTHERS, size=SIZE)
        try:
            loaded = quantiles(receipt_ms(nodes.sender, count), "loaded")
            assert others.poll() is None, "the load ended by itself"
            return found | loaded
        finally:
            others.kill()
            others.communicate()


if __name__ == "__main__":
    run_alone(run)
