"""What an honest agency's documents take while another agency attacks the same node.

Run: python -m tests.benchmarks.bench_attack [ROUNDS] [ATTACK ...]. A node in a process of its own;
an honest peer that sends one document at a time, each timed until its receipt is here; an attacker
pinned to one core (``tests.support.attacker``). Each round measures without and with the attack, so
that both see the same machine; printed are the 50th and 99th percentile of both, the ratio of the
99th (middle of the rounds, and from - to), and the node's resident memory before the first and
after each round. An agency that one round got suspended begins the next one so. Fails when the
honest peer meets an error or a document is left without its receipt.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edocnode.domain.exchange import Received
from edocnode.settings import settings_text
from edocnode.storage.folder import DataFolder
from tests.benchmarks.figures import Figures, Spread
from tests.benchmarks.report import Report, Scale
from tests.support.attacker import AttackProcess, prepare, prepare_offer
from tests.support.bad_peer import BadPeer
from tests.support.nation import Nation
from tests.support.network import Node
from tests.support.nodes import make_node, utc_now
from tests.support.ports import free_port

ROUNDS = 5
DOCUMENTS = 300  # a phase
BYTES = 4 * 1024
PAUSE_S = 0.02  # between two documents of the honest peer
NONE = ("busy", "bursts")  # the attacker's core is used, but nobody is attacked
ATTACKS = (*NONE, "flood", "hellos", "hoard_streams", "drip", "reset", "connections")
BEGIN_S = 1.0  # until an attack is under way
QUIET_S = 3.0  # after it, so that the node counts as uncrowded again
MEBIBYTE = 1024 * 1024
HOW = (
    "An honest peer sends one document at a time while another agency, on one core, attacks. "
    "`busy` and `bursts` only use that core, always or 8 ms of each 58: what they cost is the "
    "machine's."
)
GOAL = "no error, p99 under twice that without the attack, memory flat"


@dataclass
class Scene:
    """A node of G01, the attacker H29 and the honest H30."""

    node: Node
    attacker: BadPeer
    honest: BadPeer
    documents: int  # a phase
    told: Counter[str] = field(default_factory=Counter)
    done: int = 0

    def resident_bytes(self) -> int:
        """Memory of the node."""
        statm = Path(f"/proc/{self.node.process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def measure(self) -> list[float]:
        """Delivers documents one by one; returns the seconds of each."""
        took = []
        async with self.honest.stream() as stream:
            for _ in range(self.documents):
                parcel = self.honest.parcel(self.honest.letter(os.urandom(BYTES)))
                began = time.perf_counter()
                (answer,) = await stream.exchange(parcel)
                took.append(time.perf_counter() - began)
                assert isinstance(answer, Received), answer
                await asyncio.sleep(PAUSE_S)
        return took

    async def measure_under(self, attack: str, folder: Path) -> list[float]:
        """The same while H29 attacks."""
        core = max(os.sched_getaffinity(0))
        process = await asyncio.to_thread(AttackProcess.start, folder, attack, core=core)
        try:
            await asyncio.sleep(BEGIN_S)
            return await self.measure()
        finally:
            done, told = await asyncio.to_thread(process.end)
            self.done += done
            self.told.update(told)


def main() -> None:
    """Measures and prints."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    attacks = sys.argv[2:] or ATTACKS
    print(f"{rounds} rounds of {DOCUMENTS} documents of {BYTES} bytes, {os.cpu_count()} CPUs")
    print(f"{'':<15}{'without, ms':>16}{'attacked, ms':>17}   p99, attacked : without    memory")
    for attack in attacks:
        with tempfile.TemporaryDirectory() as folder:
            scene, pairs, sizes = asyncio.run(attacked(Path(folder), attack, rounds, DOCUMENTS))
            show(attack, pairs, sizes)
            print(f"{'':<15}attacker did {scene.done}, was told {dict(scene.told)}")


def run(scale: Scale) -> Report:
    """Every attack on a node of its own, as one benchmark of many."""
    figures = Figures()
    report = Report("an honest agency under attack", HOW, GOAL)
    shown = []
    for attack in scale.pick(("flood",), ATTACKS):
        with tempfile.TemporaryDirectory() as folder:
            documents = scale.pick(10, DOCUMENTS)
            found = attacked(Path(folder), attack, scale.rounds, documents)
            _, pairs, sizes = asyncio.run(found)
        for name, phase in (("without", 0), ("attacked", 1)):
            took = [percentile(pair[phase], 99) * 1e3 for pair in pairs]
            figures.values[f"{attack}, {name}: p99"] = took
            report.row_of(figures, f"{attack}, {name}: p99", "ms")
        ratio = figures.ratio(f"{attack}, attacked: p99", f"{attack}, without: p99")
        report.row(f"{attack}: p99 attacked / without", ratio, "times")
        grown = [(size - sizes[0]) / MEBIBYTE for size in sizes[1:]]
        report.row(f"{attack}: memory grown by", Spread.of(grown), "MiB")
        shown.append((attack, ratio))
    report.bars("p99 of an honest agency under attack by that without", "times", shown)
    return report


async def attacked(
    folder: Path, attack: str, rounds: int, documents: int
) -> tuple[Scene, list[tuple[list[float], list[float]]], list[int]]:
    """One attack on a new node: seconds without and with it by round, and its memory."""
    scene = make_scene(folder, documents)
    tools = folder / "attacker"
    letters = [scene.attacker.letter(os.urandom(BYTES)) for _ in range(2_000)]
    prepare(tools, scene.attacker, letters, in_batch=100)
    letter = scene.attacker.letter(*[b"x"] * 60, size_stated=MEBIBYTE)
    prepare_offer(tools, scene.attacker, letter)
    try:
        await scene.measure()
        sizes, pairs = [scene.resident_bytes()], []
        for _ in range(rounds):
            quiet = await scene.measure()
            pairs.append((quiet, await scene.measure_under(attack, tools)))
            sizes.append(scene.resident_bytes())
            await asyncio.sleep(QUIET_S)
    finally:
        scene.node.kill()
    return scene, pairs, sizes


def show(
    attack: str, pairs: Sequence[tuple[list[float], list[float]]], sizes: Sequence[int]
) -> None:
    """Prints one line."""
    ratios = sorted(percentile(loud, 99) / percentile(quiet, 99) for quiet, loud in pairs)
    spread = f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
    quiet = [seconds for pair in pairs for seconds in pair[0]]
    loud = [seconds for pair in pairs for seconds in pair[1]]
    memory = " ".join(str(size // MEBIBYTE) for size in sizes)
    line = f"{attack:<15}{both(quiet):>16}{both(loud):>17}   {spread:<24}{memory} MiB"
    print(line, flush=True)


def both(took: list[float]) -> str:
    """The 50th and the 99th percentile."""
    return f"{percentile(took, 50) * 1e3:.1f} / {percentile(took, 99) * 1e3:.1f}"


def percentile(took: list[float], share: int) -> float:
    """A percentile of durations."""
    return statistics.quantiles(took, n=100, method="inclusive")[share - 1]


def make_scene(folder: Path, documents: int) -> Scene:
    """Makes a nation and starts the node of G01."""
    nation = Nation.create(utc_now())
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh")
    nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hải Dương")
    target = nation.add_agency("G01", "Bộ Nội vụ")
    made = make_node(nation, target, folder / "G01", port=free_port())
    text = settings_text(made.settings)
    DataFolder(made.data).settings_file.write_text(text, encoding="utf-8")
    node = Node("G01", "edocnode.cli.main", made.data, {"LOG_LEVEL": "WARNING"}, anew=True)
    address = node.start().where["listen"]
    peers = (BadPeer(nation, nation.agencies[code], target, address) for code in ("H29", "H30"))
    return Scene(node, *peers, documents)


if __name__ == "__main__":
    main()
