"""How many documents a slow token carries: a real PKCS#11 token that signs 20 times a second.

    .venv/bin/python -m tests.benchmarks.bench_token [--quick] [--rounds N]

Both nodes have their seals in SoftHSM2, behind a PKCS#11 module of the tests that waits 50 ms in
``C_Sign`` before it passes the call on; the node's own code is as shipped. Beside them the same
exchange with keys in files.
"""

import os
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.exchanging import Load, both_at_once
from tests.benchmarks.figures import Figures
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.nation import Nation
from tests.support.nodes import TestNode
from tests.support.token import SoftToken, give_token

BYTES = 4 * 1024
SIGNATURES_PER_S = 20
TOKEN, FILES = "seals in tokens of 20/s", "seals in files"
HOW = (
    "Small documents between two nodes, from a filled outbox, sealed and answered; both seals in "
    "SoftHSM2 behind a module that delays each signature by 50 ms, or in files."
)
GOAL = "a token that signs 20 times a second carries 1,000 documents a second"


def run(scale: Scale) -> Report:
    """Measures both, interleaved."""
    count = scale.pick(6_000, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        token = SoftToken.make(Path(folder), os.environ.__setitem__)
        figures = Figures().interleaved(
            scale.rounds,
            partial(exchange, TOKEN, count, token),
            partial(exchange, FILES, count, None),
        )
    report = Report("seals by a slow token", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    return report


def exchange(name: str, count: int, token: SoftToken | None) -> dict[str, float]:
    """Documents sealed, delivered and answered."""
    if token is None:
        return both_at_once(Load(count=count, size=BYTES)).figures(name)

    def prepare(nation: Nation, sender: TestNode, recipient: TestNode) -> None:
        give_token(nation, sender, token, [recipient])
        give_token(nation, recipient, token, [sender])

    token.control("delay", 1000 // SIGNATURES_PER_S)
    return both_at_once(Load(count=count, size=BYTES, prepare=prepare)).figures(name)


if __name__ == "__main__":
    run_alone(run)
