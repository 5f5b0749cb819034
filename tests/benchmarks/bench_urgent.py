"""A hoa_toc document while a queue of normal ones and a large file travel to the same peer.

    .venv/bin/python -m tests.benchmarks.bench_urgent [--quick] [--rounds N]

The queue is filled before the sender starts, the file handed in while the peer is still down; then
the peer starts, and urgent documents are sent one after another as in ``lone``. Only those count
that were answered while normal documents waited and the file was under way.
"""

from functools import partial

from edocnet.office.v1 import office_service_pb2 as messages
from tests.benchmarks.big_file import hand_in
from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.lone import SIZE, quantiles, receipt_ms
from tests.benchmarks.observing import Progress, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, pair
from tests.benchmarks.report import Report, Scale, run_alone

MOST = 1_000  # urgent documents
STARTED_WITHIN_S, SEALED_WITHIN_S = 60, 900
NAME = "hoa_toc"
GOAL = "p99 under 250 ms on loopback"


def run(scale: Scale) -> Report:
    """Measures in a pair of nodes of its own for each round."""
    queued, file_mib = scale.pick((8_000, 128), (100_000, 4096))
    figures = Figures().interleaved(scale.rounds, partial(measured, queued, file_mib))
    how = (
        f"{queued:,} normal documents are queued and a file of {file_mib} MiB is under way to the "
        "same peer; urgent documents of 4 KiB go one after another, from committed outbox to "
        "committed receipt."
    )
    report = Report("an urgent document in a crowd", how, GOAL)
    for name in figures.values:
        report.row_of(figures, name, "" if name.endswith("documents") else "ms")
    shown = [(name, figures.spread(name)) for name in figures.values if name.endswith("ms")]
    report.bars("hoa_toc while everything is busy", "milliseconds", shown)
    return report


def measured(queued: int, file_mib: int) -> dict[str, float]:
    """One round."""
    with pair() as nodes:
        fill(
            nodes.sender.database,
            nodes.nation.directory(),
            sender=SENDER,
            recipient=RECIPIENT,
            count=queued,
            size=SIZE,
        )
        nodes.sender.start()
        file, _ = hand_in(nodes.sender, file_mib)
        outbox = nodes.sender.progress()
        wait_until(outbox.is_sealed, within_s=SEALED_WITHIN_S, what="all are sealed")
        nodes.recipient.start()
        inbox = nodes.recipient.progress()
        wait_until(inbox.received, within_s=STARTED_WITHIN_S, what="the first document")
        took = receipt_ms(
            nodes.sender,
            MOST,
            urgency=messages.URGENCY_HOA_TOC,
            going_on=lambda: _is_crowded(outbox, file),
        )
        assert len(took) > 1, "the crowd was gone too soon: queue more"
        return quantiles(took, NAME) | {f"{NAME}: documents": len(took)}


def _is_crowded(outbox: Progress, file: str) -> bool:
    return outbox.has("queued") and outbox.state_of(file) != "delivered"


if __name__ == "__main__":
    run_alone(run)
