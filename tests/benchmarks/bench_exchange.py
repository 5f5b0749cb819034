"""Small documents between two node processes, from a filled outbox, beside raw gRPC echo.

    .venv/bin/python -m tests.benchmarks.bench_exchange [--documents N] [--bytes N] [--rounds N]
        [--quick] [--profile FOLDER [--native]]

The outbox is full before the sender starts, so what is timed is the exchange alone. Three ways:
sealing while the peer is down; delivery of what is sealed already (checked, kept on disk, receipt
sealed, sent back, checked, kept); both at once. Prints documents per second, processor time per
document on each side, and both as ratios to the echo of the same bytes in the same round. Fails
when a document is lost, doubled or left without its receipt.

``--profile`` also writes where the processor time of each side went (see ``profiling``; once
before: ``tests/benchmarks/peers/make``). That slows the nodes, so its rates are no figures.
"""

import argparse
import os
from functools import partial
from pathlib import Path

from tests.benchmarks.exchanging import Load, both_at_once, sealing_then_delivery
from tests.benchmarks.figures import Figures, show
from tests.benchmarks.profiling import Profiling
from tests.benchmarks.raw_echo import echo

DOCUMENTS, QUICK_DOCUMENTS = 10_000, 1_000
BYTES = 4 * 1024
ROUNDS = 3
IN_BATCH = 200  # documents in one message of the batched echo
ECHOES = 10_000
DELIVERY, BOTH, ALONE = "delivery of sealed documents", "sealing and delivery", "sealing alone"
ECHO, BATCHED = "raw gRPC echo, one each", f"raw gRPC echo, {IN_BATCH} in a message"


def main() -> None:
    """Measures and prints."""
    chosen = arguments()
    profile = Profiling(chosen.profile, chosen.native) if chosen.profile else None
    load = Load(count=chosen.documents, size=chosen.bytes, profile=profile)
    print(f"exchange of {load.count} documents of {load.size} bytes, {os.cpu_count()} CPUs")
    figures = Figures().interleaved(
        chosen.rounds,
        partial(one_round, load),
        partial(floors, load.size, min(load.count, ECHOES)),
    )
    tell(figures)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int)
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few documents, one round")
    parser.add_argument("--profile", type=Path, metavar="FOLDER")
    parser.add_argument("--native", action="store_true", help="C functions in the profile")
    chosen = parser.parse_args()
    chosen.documents = chosen.documents or (QUICK_DOCUMENTS if chosen.quick else DOCUMENTS)
    chosen.rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    if chosen.profile is not None:
        chosen.profile.mkdir(parents=True, exist_ok=True)
    return chosen


def one_round(load: Load) -> dict[str, float]:
    """All three ways once."""
    sealing, delivery = sealing_then_delivery(load)
    found = sealing.figures(ALONE) | delivery.figures(DELIVERY)
    for side, peak in zip(("sender", "recipient"), delivery.peak_mib, strict=True):
        found[f"{DELIVERY}: peak MiB, {side}"] = peak
    return found | both_at_once(load).figures(BOTH)


def floors(size: int, count: int) -> dict[str, float]:
    """Echo of the same bytes, unbatched and batched."""
    found = {}
    for name, in_one in ((ECHO, 1), (BATCHED, IN_BATCH)):
        messages = max(count // in_one, 20)
        seconds, client, server = echo(size * in_one, messages)
        found[f"{name}: documents/s"] = messages * in_one / seconds
        found[f"{name}: CPU us"] = (client + server) / (messages * in_one) * 1e6
    return found


def tell(figures: Figures) -> None:
    """Prints the table."""
    for name in figures.values:
        show(name, figures.spread(name))
    for way in (DELIVERY, BOTH):
        for floor in (ECHO, BATCHED):
            ratio = figures.ratio(f"{way}: documents/s", f"{floor}: documents/s")
            show(f"{way}, by {floor}", ratio, "times")


if __name__ == "__main__":
    main()
