"""Start-up and idle memory of a node.

    .venv/bin/python -m tests.benchmarks.bench_start [--quick] [--rounds N]

Start-up is from the call of the program to its ready line, after which it answers; beside it an
interpreter that does nothing, and one that only imports gRPC and cryptography. Idle memory is
resident memory five seconds after the ready line, and again after a thousand documents. In a nation
of 3,500 agencies: a start on a directory that was checked before, the first connection, for which
the trust store is built, and memory once all others were found to be down.
"""

import socket
import ssl
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from edocnode.settings import settings_text
from edocnode.storage.folder import DataFolder
from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.observing import memory_mib, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, BenchNode, pair, program
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.nation import Nation
from tests.support.nodes import make_node, utc_now
from tests.support.ports import free_port

SETTLED_S = 5.0  # until a node is idle
PATIENCE_S = 120
NATION = 3500
GREETED_S = 30.0  # until all of them were found to be down
READY, BARE = "start to ready line: s", "python that does nothing: s"
IMPORTS = "python that imports grpc and cryptography: s"
NATION_READY = f"among {NATION} agencies, start to ready line: s"
HOW = "From the call of the program to its ready line; memory is VmRSS of the one process."
GOAL = "ready within 2 s; idle at most 130 MiB"


def run(scale: Scale) -> Report:
    """Measures in each round a node and the interpreter alone."""
    with tempfile.TemporaryDirectory() as folder:
        among = in_a_nation(Path(folder), scale.pick(100, NATION))
        figures = Figures().interleaved(
            scale.rounds,
            partial(measured, scale.pick(100, 1000)),
            interpreter,
            partial(started, among, scale.pick(1.0, GREETED_S)),
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


def in_a_nation(folder: Path, agencies: int) -> BenchNode:
    """A node whose directory lists thousands of others, at addresses where nobody listens."""
    nation = Nation.create(utc_now())
    agency = nation.add_agency(SENDER, "Ủy ban nhân dân tỉnh Hà Tĩnh")
    for number in range(agencies):
        name = f"Ủy ban nhân dân xã số {number}"
        nation.add_agency(f"X{number}", name, address=f"127.0.0.1:{1 + number}")
    made = make_node(nation, agency, folder / SENDER, port=free_port())
    DataFolder(made.data).settings_file.write_text(settings_text(made.settings), encoding="utf-8")
    return program(made, {})


def started(node: BenchNode, rest_s: float) -> dict[str, float]:
    """One start of a node in a nation."""
    began = time.perf_counter()
    node.start()
    found = {NATION_READY: time.perf_counter() - began}
    try:
        began = time.perf_counter()
        refused = _connect(node.where["listen"])
        found["there, first connection, refused: s"] = time.perf_counter() - began
        assert refused, "a caller without a certificate was let in"
        time.sleep(rest_s)
        found["there, idle: MiB"] = memory_mib(node.pid)
        found["there, at most: MiB"] = memory_mib(node.pid, "VmHWM")
    finally:
        node.kill()
    return found


def _connect(address: str) -> bool:
    """Whether a caller without a certificate is refused."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), PATIENCE_S) as raw:
        try:
            with context.wrap_socket(raw) as secured:
                return not secured.recv(1)
        except OSError:
            return True


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
