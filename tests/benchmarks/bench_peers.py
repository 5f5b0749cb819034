"""64 peers, each with one document at a time, beside the same with a commit for each document.

    .venv/bin/python -m tests.benchmarks.bench_peers [--quick] [--rounds N]
        [--profile FOLDER [--native]]

The peers are 64 agencies of the directory with keys, TLS certificates and connections of their own,
played by this process. Their documents are sealed before the clock starts; each sends the next one
when the receipt of the last is there. The node is a program of its own. Beside it in each round:
the same node, committing every write alone; and sealing every statement alone, too.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Received
from edocnode.rpc.messages import batch_to_message
from tests.benchmarks.figures import Figures
from tests.benchmarks.lone import quantiles
from tests.benchmarks.observing import Span, mark
from tests.benchmarks.pair import FOLDER_VARIABLE, BenchNode, program
from tests.benchmarks.profiling import Profiling, looked_at
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.bad_peer import BadPeer
from tests.support.nation import Nation
from tests.support.nodes import make_node, utc_now
from tests.support.ports import free_port

PEERS, SIZE = 64, 4 * 1024
SETTLED_S = 0.5
TOGETHER, ALONE = "group commit", "a commit for each document"
SEALED_ALONE = "a commit and a seal for each document"
OPTIONS = {
    TOGETHER: {},
    ALONE: {"COMMIT_ALONE": "1"},
    SEALED_ALONE: {"COMMIT_ALONE": "1", "SEAL_ALONE": "1"},
}
HOW = (
    f"{PEERS} peers with mutual TLS each have one document of 4 KiB under way, from the parcel "
    "written to its receipt read; peers and node share the processors."
)
GOAL = "at least 2.5 times a commit for each document"


@dataclass(frozen=True, slots=True)
class Letter:
    """A parcel that is ready to be written, and what its answer is known by."""

    message: messages.DeliverRequest
    digest: bytes


def run(scale: Scale, profile: Profiling | None = None) -> Report:
    """Measures all ways in each round."""
    each = scale.pick(3, 50)
    measures = [partial(measured, name, each, profile) for name in OPTIONS]
    figures = Figures().interleaved(scale.rounds, *measures)
    report = Report(f"{PEERS} peers with one document each", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    for other in (ALONE, SEALED_ALONE):
        ratio = figures.ratio(f"{TOGETHER}: documents/s", f"{other}: documents/s")
        report.row(f"{TOGETHER} / {other}", ratio, "times")
    names = [f"{name}: documents/s" for name in OPTIONS]
    shown = [(name, figures.spread(name)) for name in names]
    report.bars(f"{PEERS} peers, one document each", "documents per second", shown)
    return report


def measured(name: str, each: int, profile: Profiling | None) -> dict[str, float]:
    """One node and all its peers."""
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        nation = Nation.create(utc_now())
        port = free_port()
        target = nation.add_agency("G01", "Bộ Nội vụ", address=f"127.0.0.1:{port}")
        agencies = [nation.add_agency(f"H{n}", f"Tỉnh {n}") for n in range(100, 100 + PEERS)]
        node = program(make_node(nation, target, Path(folder) / "G01", port=port), OPTIONS[name])
        peers = [BadPeer(nation, agency, target, f"127.0.0.1:{port}") for agency in agencies]
        letters = [letters_of(peer, each) for peer in peers]
        node.start()
        try:
            with looked_at(profile, name, {"node": node.pid}, PEERS * each):
                span, took = asyncio.run(_exchange(node, peers, letters))
        finally:
            node.kill()
    found = {f"{name}: documents/s": span.rate, f"{name}: CPU us, node": span.cpu_us[0]}
    return found | quantiles(took, name)


def letters_of(peer: BadPeer, count: int) -> list[Letter]:
    """Documents of a peer, each under a seal of its own."""
    made = []
    for _ in range(count):
        parcel = peer.parcel(peer.letter(os.urandom(SIZE)))
        message = messages.DeliverRequest(batch=batch_to_message([parcel]))
        made.append(Letter(message, sha256(parcel.envelope.statement).digest()))
    return made


async def _exchange(
    node: BenchNode, peers: Sequence[BadPeer], letters: Sequence[Sequence[Letter]]
) -> tuple[Span, list[float]]:
    ready, go = asyncio.Barrier(len(peers) + 1), asyncio.Event()
    took: list[float] = []

    async def play(peer: BadPeer, own: Sequence[Letter]) -> None:
        async with peer.stream() as stream:
            await ready.wait()
            await go.wait()
            for letter in own:
                began = time.perf_counter()
                await stream.write(letter.message)
                (answer,) = await stream.answers([letter.digest])
                assert isinstance(answer, Received), answer
                took.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for peer, own in zip(peers, letters, strict=True):
            group.create_task(play(peer, own))
        await ready.wait()
        before = mark([node.pid])
        go.set()
    after = mark([node.pid])
    await asyncio.sleep(SETTLED_S)  # what gRPC still tells of cancelled calls belongs to this loop
    return before.until(after, len(took)), took


if __name__ == "__main__":
    run_alone(run, profiles=True)
