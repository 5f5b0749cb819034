"""Start-up and idle memory of a node.

    .venv/bin/python -m tests.benchmarks.bench_start [--quick] [--rounds N]

Start-up is from the call of the program to its ready line, after which it answers; beside it an
interpreter that does nothing, and one that only imports gRPC and cryptography. Idle memory is
resident memory two seconds after the ready line, and again after a thousand documents.
"""

import subprocess
import sys
import time
from functools import partial

from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.observing import memory_mib, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, pair
from tests.benchmarks.report import Report, Scale, run_alone

SETTLED_S = 5.0  # until a node is idle
PATIENCE_S = 120
READY, BARE = "start to ready line: s", "python that does nothing: s"
IMPORTS = "python that imports grpc and cryptography: s"
HOW = "From the call of the program to its ready line; memory is VmRSS of the one process."
GOAL = "ready within 2 s; idle at most 130 MiB"


def run(scale: Scale) -> Report:
    """Measures in each round a node and the interpreter alone."""
    figures = Figures().interleaved(
        scale.rounds, partial(measured, scale.pick(100, 1000)), interpreter
    )
    report = Report("start-up and idle memory", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    report.row("ready / bare imports", figures.ratio(READY, IMPORTS), "times")
    idle = [(name, figures.spread(name)) for name in figures.values if "MiB" in name]
    report.bars("Idle memory of a node", "MiB", idle)
    return report


def measured(documents: int) -> dict[str, float]:
    """One pair of nodes."""
    with pair() as nodes:
        directory = nodes.nation.directory()
        fill(
            nodes.sender.database,
            directory,
            sender=SENDER,
            recipient=RECIPIENT,
            count=documents,
            size=4096,
        )
        began = time.perf_counter()
        nodes.recipient.start()
        found = {READY: time.perf_counter() - began}
        time.sleep(SETTLED_S)
        found["idle after start: MiB"] = memory_mib(nodes.recipient.pid)
        nodes.sender.start()
        progress = nodes.sender.progress()
        wait_until(progress.is_done, within_s=PATIENCE_S, what="all receipts")
        progress.close()
        time.sleep(SETTLED_S)
        for side, node in (("sender", nodes.sender), ("recipient", nodes.recipient)):
            found[f"idle after {documents} documents, {side}: MiB"] = memory_mib(node.pid)
        return found


def interpreter() -> dict[str, float]:
    """How long Python alone takes."""
    return {
        name: _seconds(code)
        for name, code in ((BARE, "pass"), (IMPORTS, "import grpc.aio, cryptography.x509"))
    }


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    run_alone(run)
