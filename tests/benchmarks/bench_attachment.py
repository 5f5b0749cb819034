"""Large attachments between two node processes: speed beside a raw TLS socket, and memory.

    .venv/bin/python -m tests.benchmarks.bench_attachment [--quick] [--rounds N]

A file of each size is handed in; the clock runs from then until the receipt is committed. The raw
socket sends as many bytes to a process that hashes, writes and fsyncs them, in the same round.
Memory is resident memory, looked at 50 times a second. Fails when a digest is wrong.
"""

from functools import partial

from tests.benchmarks.big_file import MIB, check_blob, hand_in
from tests.benchmarks.figures import Figures
from tests.benchmarks.observing import Memory, mark, wait_until
from tests.benchmarks.pair import Pair, pair
from tests.benchmarks.raw_tls import seconds_for
from tests.benchmarks.report import Report, Scale, run_alone

WITHIN_S = 1800
HOW = (
    "From the document handed in to its receipt committed, a gRPC connection with mutual TLS; raw: "
    "a TLS socket that hashes, writes and fsyncs."
)
GOAL = "at least 0.7 of the raw socket; memory within 64 MiB of idle, the same at 200 MiB and 4 GiB"


def run(scale: Scale) -> Report:
    """Measures every size and its floor in each round."""
    sizes = scale.pick((1, 16), (1, 200, 4096))
    figures = Figures().interleaved(scale.rounds, partial(measured, sizes), partial(floor, sizes))
    report = Report("large attachments", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    shown = []
    for size in sizes:
        ratio = figures.ratio(f"{size} MiB: MB/s", f"{size} MiB, raw: MB/s")
        report.row(f"{size} MiB: node / raw TLS socket", ratio, "times")
        shown.append((f"{size:,} MiB", ratio))
    report.bars("Attachment by a raw TLS socket that hashes, writes, fsyncs", "times", shown)
    over = [(name, figures.spread(name)) for name in figures.values if "over idle" in name]
    report.bars("Peak memory over idle", "MiB", over)
    return report


def measured(sizes: tuple[int, ...]) -> dict[str, float]:
    """All sizes through one pair of nodes."""
    found: dict[str, float] = {}
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        _sent(nodes, 1)  # idle means a node that has worked before
        for size in sizes:
            found |= _one(nodes, size)
    return found


def _one(nodes: Pair, size: int) -> dict[str, float]:
    before = mark(nodes.process_ids)
    with Memory(*nodes.process_ids) as memory:
        took = _sent(nodes, size)
    after = mark(nodes.process_ids)
    found = {f"{size} MiB: MB/s": size * MIB / 1e6 / took}
    for number, side in enumerate(("sender", "recipient")):
        process_id = nodes.process_ids[number]
        used = after.cpu[number] - before.cpu[number]
        found[f"{size} MiB: CPU ms for a MiB, {side}"] = used / size * 1000
        over = memory.peak[process_id] - memory.idle[process_id]
        found[f"{size} MiB: peak over idle, MiB, {side}"] = over
    return found


def _sent(nodes: Pair, size: int) -> float:
    """Seconds from kept to receipt; checks the bytes."""
    request, digest = hand_in(nodes.sender, size)
    progress = nodes.sender.progress()
    kept = mark([])
    wait_until(
        lambda: progress.state_of(request) == "delivered", within_s=WITHIN_S, what="the receipt"
    )
    took = mark([]).at - kept.at
    progress.close()
    check_blob(nodes.recipient, digest)
    return took


def floor(sizes: tuple[int, ...]) -> dict[str, float]:
    """The same sizes through a raw socket."""
    return {f"{size} MiB, raw: MB/s": size * MIB / 1e6 / seconds_for(size) for size in sizes}


if __name__ == "__main__":
    run_alone(run)
