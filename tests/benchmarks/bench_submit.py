"""The whole way of a document: from ``Submit`` or ``SubmitMany`` of an office to the receipt.

    .venv/bin/python -m tests.benchmarks.bench_submit [--quick] [--rounds N]
        [--profile FOLDER [--native]]

An office, a process of its own in Python, keeps 256 documents in flight with one call each, or
hands in 200 with each message of a stream; it takes a good part of the processors itself, as
offices do not in an agency. Beside it: handing in alone until the documents are durably kept, while
the recipient is down; and the bare commit of the same bytes.
"""

from functools import partial

from tests.benchmarks.figures import Figures
from tests.benchmarks.floors import GROUP_COMMIT, group_commit
from tests.benchmarks.office_load import in_flight
from tests.benchmarks.pair import pair
from tests.benchmarks.profiling import Profiling, looked_at
from tests.benchmarks.report import Report, Scale, run_alone

IN_FLIGHT = 256
SIZE = 4 * 1024
IN_MESSAGE = 200
WHOLE, KEPT = "Submit to receipt", "Submit alone, durably kept"
MANY, MANY_KEPT = "SubmitMany to receipt", "SubmitMany alone, durably kept"
HOW = (
    f"Documents of 4 KiB for one recipient: {IN_FLIGHT} in flight with Submit; {IN_MESSAGE} in a "
    "message of SubmitMany."
)
GOAL = "at least 3,000 documents a second in batches, SubmitMany to receipt"


def run(scale: Scale, profile: Profiling | None = None) -> Report:
    """Measures both, and the floor, in each round."""
    count = scale.pick(500, 10_000)
    figures = Figures().interleaved(
        scale.rounds,
        partial(measured, count, profile),
        partial(group_commit, SIZE, count),
    )
    report = Report("documents handed in by an office", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    shown = []
    for way in (MANY, MANY_KEPT, WHOLE, KEPT):
        ratio = figures.ratio(f"{way}: documents/s", f"{GROUP_COMMIT}: documents/s")
        report.row(f"{way} / {GROUP_COMMIT}", ratio, "times")
        shown.append((way, figures.spread(f"{way}: documents/s")))
    report.bars("documents of 4 KiB handed in", "documents per second", shown)
    return report


def measured(count: int, profile: Profiling | None) -> dict[str, float]:
    """Until the receipt; then, with the recipient stopped, until the office is answered."""
    found: dict[str, float] = {}
    ways = {"submit": (WHOLE, KEPT, 0), "submit-many": (MANY, MANY_KEPT, IN_MESSAGE)}
    for name, (whole, kept, in_message) in ways.items():
        with pair() as nodes:
            load = partial(
                in_flight, nodes, in_flight=IN_FLIGHT, count=count, size=SIZE, in_message=in_message
            )
            nodes.sender.start()
            nodes.recipient.start()
            both = {node.code: node.pid for node in (nodes.sender, nodes.recipient)}
            with looked_at(profile, f"{name}-to-receipt", both, count):
                found |= load().figures(whole)
            nodes.recipient.stop()
            sender = {nodes.sender.code: nodes.sender.pid}
            with looked_at(profile, f"{name}-alone", sender, count):
                found |= load(receipts=False).figures(kept)
    return found


if __name__ == "__main__":
    run_alone(run, profiles=True)
