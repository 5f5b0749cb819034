"""Large attachments between two node processes: speed beside a raw TLS socket, and memory.

    .venv/bin/python -m tests.benchmarks.bench_attachment [--quick] [--rounds N]

A file of each size is handed in; the clock runs from then until the receipt is committed. Right
afterwards a raw socket sends as many bytes to a process that hashes, writes and fsyncs them. Memory
is resident memory, looked at 50 times a second. Fails when a digest is wrong.
"""

from functools import partial

from tests.benchmarks.big_file import MIB, check_blob, hand_in
from tests.benchmarks.figures import Figures
from tests.benchmarks.observing import Memory, mark, wait_until
from tests.benchmarks.pair import Pair, pair
from tests.benchmarks.raw_tls import send
from tests.benchmarks.report import Report, Scale, run_alone

WITHIN_S = 1800
RATE, CPU = "MB/s", "CPU ms for a MiB"
HOW = (
    "From the document handed in to its receipt committed, a gRPC connection with mutual TLS; raw: "
    "a TLS socket that hashes, writes and fsyncs."
)
GOAL = "at least 0.7 of the raw socket; memory within 64 MiB of idle, the same at 200 MiB and 4 GiB"


def run(scale: Scale) -> Report:
    """Measures every size and its floor in each round."""
    sizes = scale.pick((1, 16), (1, 200, 4096))
    figures = Figures().interleaved(scale.rounds, partial(measured, sizes))
    report = Report("large attachments", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    shown = []
    for size in sizes:
        rate, used = (
            figures.ratio(f"{size} MiB: {what}", f"{size} MiB, raw: {what}") for what in (RATE, CPU)
        )
        report.row(f"{size} MiB: node / raw TLS socket, {RATE}", rate, "times")
        report.row(f"{size} MiB: node / raw TLS socket, {CPU}", used, "times")
        shown.append((f"{size:,} MiB", rate))
    report.bars("Attachment by a raw TLS socket that hashes, writes, fsyncs", "times", shown)
    over = [(name, figures.spread(name)) for name in figures.values if "over idle" in name]
    report.bars("Peak memory over idle", "MiB", over)
    return report


def measured(sizes: tuple[int, ...]) -> dict[str, float]:
    """All sizes through one pair of nodes, each followed by its floor."""
    found: dict[str, float] = {}
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        _sent(nodes, 1)  # idle means a node that has worked before
        for size in sizes:
            found |= _one(nodes, size)
            seconds, used = send(size)
            found[f"{size} MiB, raw: {RATE}"] = size * MIB / 1e6 / seconds
            found[f"{size} MiB, raw: {CPU}"] = used / size * 1000
    return found


def _one(nodes: Pair, size: int) -> dict[str, float]:
    with Memory(*nodes.process_ids) as memory:
        seconds, used = _sent(nodes, size)
    found = {
        f"{size} MiB: {RATE}": size * MIB / 1e6 / seconds,
        f"{size} MiB: {CPU}": sum(used) / size * 1000,
    }
    for side, process_id, cpu in zip(("sender", "recipient"), nodes.process_ids, used, strict=True):
        found[f"{size} MiB: {CPU}, {side}"] = cpu / size * 1000
        over = memory.peak[process_id] - memory.idle[process_id]
        found[f"{size} MiB: peak over idle, MiB, {side}"] = over
    return found


def _sent(nodes: Pair, size: int) -> tuple[float, list[float]]:
    """From kept to receipt: seconds, processor seconds of each node; checks the bytes."""
    request, digest = hand_in(nodes.sender, size)
    progress = nodes.sender.progress()
    kept = mark(nodes.process_ids)
    wait_until(
        lambda: progress.state_of(request) == "delivered", within_s=WITHIN_S, what="the receipt"
    )
    ended = mark(nodes.process_ids)
    progress.close()
    check_blob(nodes.recipient, digest)
    return ended.at - kept.at, [new - old for new, old in zip(ended.cpu, kept.cpu, strict=True)]


if __name__ == "__main__":
    run_alone(run)
