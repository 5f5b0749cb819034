"""What a kill in the middle of a large file costs: the bytes that are sent again.

    .venv/bin/python -m tests.benchmarks.bench_resume [--quick] [--rounds N]

Either side is killed (SIGKILL) when half of the file is staged, and started again. What was sent
comes from the sender's log, or, when the sender was killed, from what the recipient had written.
Fails when the file does not arrive with its digest.
"""

import time
from functools import partial

from edocnode.demo.programs import transfers
from tests.benchmarks.big_file import MIB, check_blob, hand_in
from tests.benchmarks.figures import Figures
from tests.benchmarks.observing import wait_until
from tests.benchmarks.pair import BenchNode, Pair, pair
from tests.benchmarks.report import Report, Scale, run_alone

ATTACHMENT_PART = 1  # 0 is the record
KILL_AT = 0.5  # of the transfer
DOWN_S = 1
WITHIN_S = 600
HOW = "A node is killed when half of a file is staged, and started again a second later."
GOAL = "less than 10 MiB sent again, whatever the size"


def run(scale: Scale) -> Report:
    """Measures for each side and size in each round."""
    sizes = scale.pick((64,), (200, 2048))
    measures = [
        partial(killed, size, victim) for size in sizes for victim in ("sender", "recipient")
    ]
    figures = Figures().interleaved(scale.rounds, *measures)
    report = Report("a kill in the middle of a file", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name, "MiB")
    shown = [(name, figures.spread(name)) for name in figures.values]
    report.bars("Sent again after a kill", "MiB", shown)
    return report


def killed(size: int, victim: str) -> dict[str, float]:
    """One transfer with one kill."""
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        request, digest = hand_in(nodes.sender, size)
        half = int(size * MIB * KILL_AT)
        wait_until(lambda: staged(nodes.recipient) >= half, within_s=WITHIN_S, what="half of it")
        struck = nodes.sender if victim == "sender" else nodes.recipient
        struck.kill()
        written = staged(nodes.recipient)
        assert written < size * MIB, "too fast: it was over"
        time.sleep(DOWN_S)
        struck.start()
        progress = nodes.sender.progress()
        wait_until(
            lambda: progress.state_of(request) == "delivered",
            within_s=WITHIN_S,
            what="the receipt",
        )
        progress.close()
        check_blob(nodes.recipient, digest)
        return {f"{size} MiB, {victim} killed": _again(nodes, victim, written) / MIB}


def staged(node: BenchNode) -> int:
    """Bytes of unfinished parts that a recipient has written."""
    return sum(path.stat().st_size for path in (node.data / "blobs" / "staging").glob("*"))


def _again(nodes: Pair, victim: str, written: int) -> float:
    logged = [e for e in transfers(nodes.sender.log, 0) if e["part"] == ATTACHMENT_PART]
    offset = max(e["offset"] for e in logged if e["event"] == "transfer.started")
    ended = [e["sent"] for e in logged if e["event"] == "transfer.ended"]
    sent = written if victim == "sender" else ended[0]
    return float(max(sent - offset, 0))


if __name__ == "__main__":
    run_alone(run)
