"""From the publication of a revocation to the last call that the revoked key got through.

    .venv/bin/python -m tests.benchmarks revocation [--quick] [--rounds N]

One node with the refresh that nodes have unless told otherwise, and a thief with the TLS key of a
peer who tries without pause on a connection that was idle, on a stream that carries documents, on
new connections with the session of an old one, and after a restart of the node while the registry
is down. The promise is a minute; a refresh comes within 37.5 s.
"""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from edoccore.directory.layout import REFRESH_EVERY
from edockit.logs import set_up_logs
from tests.benchmarks.figures import Figures
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.revocation import measured

PROMISED_S = 60.0
HOW = "Seconds from publication to the last accepted call; 0: none was accepted."
GOAL = "at most 60 s in each situation; none after the restart"


def run(scale: Scale) -> Report:
    """Measures each situation in each round."""
    refresh_s = scale.pick(2.0, REFRESH_EVERY.total_seconds())
    figures = Figures().interleaved(scale.rounds, partial(once, refresh_s))
    report = Report("revocation", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    return report


def once(refresh_s: float) -> dict[str, float]:
    """One revocation; the promise must be kept."""
    set_up_logs(level="ERROR")  # the node runs here, and meets what it warns of
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), refresh_s=refresh_s, watch_s=1.4 * refresh_s))
    assert max(found.values()) < PROMISED_S, found
    return {f"{name}: s": seconds for name, seconds in found.items()}


if __name__ == "__main__":
    run_alone(run)
