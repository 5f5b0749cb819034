"""The whole way of a document: handed in by an office, until it is kept, and until its receipt.

    .venv/bin/python -m tests.benchmarks.bench_submit [--quick] [--rounds N]
        [--profile FOLDER [--native]]

In batches: ``SubmitMany`` with 200 documents a message, to the receipt also with each node held to
a processor of its own. One by one: ``Submit``, 256 of them in flight until their receipts. Until
kept means that the recipient is down. The office is a program in Python that takes a good part of
the processors itself, as offices do not in an agency; its time is told apart. Fails when a document
is refused, lost, doubled or left without its receipt.
"""

from functools import partial

from tests.benchmarks.exchanging import PATIENCE_S, SLOWEST, check
from tests.benchmarks.figures import Figures
from tests.benchmarks.floors import ECHO, GROUP_COMMIT, echoes, group_commit
from tests.benchmarks.handing_in import IN_MESSAGE, in_batches
from tests.benchmarks.observing import Span, mark, wait_until
from tests.benchmarks.office_load import in_flight
from tests.benchmarks.pair import Pair, pair
from tests.benchmarks.profiling import Profiling, looked_at
from tests.benchmarks.report import Report, Scale, run_alone

IN_FLIGHT = 256
SIZE = 4 * 1024
BATCHES, BATCHES_KEPT = "SubmitMany to receipt", "SubmitMany until kept"
BATCHES_APART = f"{BATCHES}, a processor a node"
ONES, ONES_KEPT = "Submit to receipt", "Submit until kept"
WAYS = (BATCHES, BATCHES_APART, BATCHES_KEPT, ONES, ONES_KEPT)
HOW = (
    f"Documents of 4 KiB for one recipient; {IN_MESSAGE} in a message of SubmitMany, {IN_FLIGHT} "
    "in flight with Submit."
)
GOAL = "at least 3,000 documents a second in batches, from handing in to receipt"


def run(scale: Scale, profile: Profiling | None = None) -> Report:
    """Measures all ways, and the floors, in each round."""
    many, ones = scale.pick((1_000, 300), (20_000, 5_000), (100_000, 5_000))
    figures = Figures().interleaved(
        scale.rounds,
        partial(batches, many, profile),
        partial(batches_apart, many),
        partial(one_by_one, ones, profile),
        partial(group_commit, SIZE, many),
        partial(echoes, SIZE, ones),
    )
    report = Report("documents handed in by an office", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    for way in WAYS:
        for floor in (ECHO, GROUP_COMMIT):
            ratio = figures.ratio(f"{way}: documents/s", f"{floor}: documents/s")
            report.row(f"{way} / {floor}", ratio, "times")
    shown = [(way, figures.spread(f"{way}: documents/s")) for way in WAYS]
    report.bars("Handed in by an office", "documents per second", shown)
    return report


def batches(count: int, profile: Profiling | None) -> dict[str, float]:
    """Many a message: until the last receipt; then, with the recipient stopped, until kept."""
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        both = {node.code: node.pid for node in (nodes.sender, nodes.recipient)}
        with looked_at(profile, BATCHES, both, count):
            whole, office = _to_receipt(nodes, count)
        nodes.recipient.stop()
        with looked_at(profile, BATCHES_KEPT, {nodes.sender.code: nodes.sender.pid}, count):
            before = mark([nodes.sender.pid])
            in_batches(nodes.sender.socket, count, SIZE)
            kept = before.until(mark([nodes.sender.pid]), count)
    found = {f"{BATCHES}: CPU us, office": office / count * 1e6}
    return whole.figures(BATCHES) | found | kept.figures(BATCHES_KEPT)


def batches_apart(count: int) -> dict[str, float]:
    """Many a message until the last receipt, between nodes that are held to a processor each."""
    with pair(apart=True) as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        whole, _ = _to_receipt(nodes, count)
    return whole.figures(BATCHES_APART)


def _to_receipt(nodes: Pair, count: int) -> tuple[Span, float]:
    """Hands in batches and awaits all receipts; also processor seconds of the office."""
    before = mark(nodes.process_ids)
    office = in_batches(nodes.sender.socket, count, SIZE)
    _await_receipts(nodes, count)
    return before.until(mark(nodes.process_ids), count), office


def one_by_one(count: int, profile: Profiling | None) -> dict[str, float]:
    """One a call: until the receipt; then, with the recipient stopped, until kept."""
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        both = {node.code: node.pid for node in (nodes.sender, nodes.recipient)}
        with looked_at(profile, ONES, both, count):
            whole = in_flight(nodes, in_flight=IN_FLIGHT, count=count, size=SIZE)
        nodes.recipient.stop()
        with looked_at(profile, ONES_KEPT, {nodes.sender.code: nodes.sender.pid}, count):
            kept = in_flight(nodes, in_flight=IN_FLIGHT, count=count, size=SIZE, receipts=False)
        return whole.figures(ONES) | kept.figures(ONES_KEPT)


def _await_receipts(nodes: Pair, count: int) -> None:
    outbox, inbox = nodes.sender.progress(), nodes.recipient.progress()
    wait_until(
        lambda: inbox.received() >= count and outbox.is_done(),
        within_s=PATIENCE_S + count / SLOWEST,
        what="all receipts",
    )
    check(outbox, inbox, count)
    outbox.close()
    inbox.close()


if __name__ == "__main__":
    run_alone(run, profiles=True)
