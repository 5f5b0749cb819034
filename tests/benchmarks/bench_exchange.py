"""Small documents between two node processes, beside raw gRPC echo of the same bytes.

    .venv/bin/python -m tests.benchmarks.bench_exchange [--documents N] [--bytes N] [--rounds N]
        [--quick] [--profile FOLDER [--native]]

From a filled outbox what is timed is the exchange alone, in three ways: sealing while the peer is
down; delivery of what is sealed already (checked, kept on disk, receipt sealed, sent back,
checked, kept); both at once, also with each node held to a processor of its own. With 1 and with
64 in flight an office hands in the next document when a receipt is there. Fails when a document is
lost, doubled or left without its receipt.

``--profile`` also writes where the processor time of each side went (see ``profiling``; once
before: ``tests/benchmarks/peers/make``). That slows the nodes, so its rates are no figures.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tests.benchmarks.exchanging import Load, both_at_once, sealing_then_delivery
from tests.benchmarks.figures import Figures
from tests.benchmarks.floors import (
    BATCHED,
    ECDSA,
    ECHO,
    ECHO_APART,
    GROUP_COMMIT,
    ecdsa,
    echoes,
    group_commit,
)
from tests.benchmarks.office_load import in_flight
from tests.benchmarks.pair import pair
from tests.benchmarks.profiling import Profiling, looked_at
from tests.benchmarks.report import (
    Report,
    Scale,
    chosen_profile,
    chosen_scale,
    profile_options,
    scale_options,
)

BYTES = 4 * 1024
ECHOES = 10_000
DELIVERY, BOTH, ALONE = "delivery of sealed documents", "sealing and delivery", "sealing alone"
APART = f"{BOTH}, a processor a node"
FLIGHTS = {1: (20, 500), 64: (200, 4_000)}  # in flight -> documents, quick and normal
HOW = (
    "Two node programs on this machine, mutual TLS, SQLite FULL; the outbox is full before the "
    "sender starts; processor time is that of the node programs alone."
)
GOAL = (
    "from a filled outbox at least 6,000/s, 0.8 of the unbatched echo, and under 330 us of "
    "processor time over both sides"
)


def run(
    scale: Scale, profile: Profiling | None = None, *, size: int = BYTES, count: int = 0
) -> Report:
    """Measures all ways and their floors, interleaved."""
    count = count or scale.pick(2_000, 10_000, 500_000)
    load = Load(count=count, size=size, profile=profile)
    figures = Figures().interleaved(
        scale.rounds,
        partial(filled_outbox, load),
        partial(floors, size, min(count, ECHOES)),
        partial(flights, load, {number: scale.pick(*each) for number, each in FLIGHTS.items()}),
    )
    report = Report(f"exchange of {count:,} documents of {size:,} bytes", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    ratios(report, figures)
    return report


def filled_outbox(load: Load) -> dict[str, float]:
    """All ways once."""
    sealing, delivery = sealing_then_delivery(load)
    found = sealing.figures(ALONE) | delivery.figures(DELIVERY)
    for side, peak in zip(("sender", "recipient"), delivery.peak_mib, strict=True):
        found[f"{DELIVERY}: peak MiB, {side}"] = peak
    found |= both_at_once(load).figures(BOTH)
    return found | both_at_once(replace(load, apart=True)).figures(APART)


def flights(load: Load, counts: Mapping[int, int]) -> dict[str, float]:
    """So many documents in flight, from ``Submit`` to the receipt."""
    found: dict[str, float] = {}
    with pair() as nodes:
        nodes.sender.start()
        nodes.recipient.start()
        both = {node.code: node.pid for node in (nodes.sender, nodes.recipient)}
        for number, count in counts.items():
            name = f"{number} in flight"
            with looked_at(load.profile, name, both, count):
                span = in_flight(nodes, in_flight=number, count=count, size=load.size)
            found |= span.figures(name)
    return found


def floors(size: int, count: int) -> dict[str, float]:
    """What no exchange can be cheaper than."""
    return echoes(size, count) | group_commit(size, count) | ecdsa(count // 4)


def ratios(report: Report, figures: Figures) -> None:
    """Each way by each floor, and a chart."""
    shown = []
    for way in (DELIVERY, BOTH, APART, "64 in flight", "1 in flight"):
        for floor in (ECHO, ECHO_APART, BATCHED, GROUP_COMMIT, ECDSA):
            ratio = figures.ratio(f"{way}: documents/s", f"{floor}: documents/s")
            report.row(f"{way} / {floor}", ratio, "times")
            if floor == ECHO:
                shown.append((way, ratio))
        used = figures.ratio(f"{way}: CPU us", f"{ECHO}: CPU us")
        report.row(f"{way}, processor time / {ECHO}", used, "times")
    report.bars("Documents per second by the raw unbatched gRPC echo", "times", shown)
    sides = [
        (f"{way}, {side}", figures.spread(f"{way}: CPU us, {side}"))
        for way in (DELIVERY, BOTH, APART, "64 in flight", "1 in flight")
        for side in ("sender", "recipient")
    ]
    report.bars("Processor time per document", "microseconds", sides)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=0)
    parser.add_argument("--bytes", type=int, default=BYTES)
    scale_options(parser)
    profile_options(parser)
    chosen = parser.parse_args()
    scale, profile = chosen_scale(chosen), chosen_profile(chosen)
    print(run(scale, profile, size=chosen.bytes, count=chosen.documents).text())


if __name__ == "__main__":
    main()
