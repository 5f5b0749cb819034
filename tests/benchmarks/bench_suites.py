"""What suite 2 costs: the same exchange under ECDSA P-256 alone, and together with ML-DSA-65.

    .venv/bin/python -m tests.benchmarks.bench_suites [--quick] [--rounds N]

One seal covers up to 400 statements, so a second signature costs each document little when there
are many, and the whole of it when there is one. ``raw`` are the operations alone.
"""

import time
from collections.abc import Callable
from functools import partial

from edoccore.identity.keys import verify_signature
from tests.benchmarks.exchanging import Load, both_at_once
from tests.benchmarks.figures import Figures
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.nation import Nation
from tests.support.nodes import TestNode, utc_now
from tests.support.suites import give_pair, spread

BYTES = 4 * 1024
SUITES = {1: "suite 1", 2: "suite 2"}
HOW = (
    "Small documents between two nodes, from a filled outbox, sealed and answered, under seals of "
    "either suite; and one signature made and verified."
)
GOAL = "suite 2 costs each document less than a tenth more processor time under load"


def run(scale: Scale) -> Report:
    """Measures both, interleaved."""
    count = scale.pick(6_000, 20_000)
    figures = Figures().interleaved(
        scale.rounds,
        *(partial(exchange, suite, count) for suite in SUITES),
        partial(operations, scale.pick(100, 1_000)),
    )
    report = Report("seals of two suites", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    return report


def exchange(suite: int, count: int) -> dict[str, float]:
    """Documents sealed, delivered and answered."""

    def prepare(nation: Nation, sender: TestNode, recipient: TestNode) -> None:
        for node in (sender, recipient) if suite == 2 else ():
            give_pair(nation, node)
        spread(nation, sender, recipient)

    return both_at_once(Load(count=count, size=BYTES, prepare=prepare)).figures(SUITES[suite])


def operations(rounds: int) -> dict[str, float]:
    """Processor time of one signature and of checking it, us."""
    nation = Nation.create(utc_now())
    found = {}
    for suite, name in SUITES.items():
        agency = nation.add_agency(f"H2{suite}", "Agency", suite=suite)
        key = nation.directory().seals.listed(agency.code, agency.digests[0]).key
        signer, data = agency.signer, b"{" + bytes(700)
        signature = signer.sign(data)
        found[f"{name}: signing, us"] = _us(lambda: signer.sign(data), rounds)  # noqa: B023
        check = partial(verify_signature, key, suite, data, signature)
        found[f"{name}: verifying, us"] = _us(check, rounds)
    return found


def _us(act: Callable[[], object], rounds: int) -> float:
    before = time.process_time()
    for _ in range(rounds):
        act()
    return (time.process_time() - before) / rounds * 1e6


if __name__ == "__main__":
    run_alone(run)
