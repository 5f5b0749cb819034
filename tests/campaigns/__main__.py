"""The command ``python -m tests.campaigns``: real faults on real nodes, with a verdict for each."""

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from edockit import tls13  # noqa: F401 - before gRPC, as in the programs
from tests.campaigns.faults import FAULTS
from tests.campaigns.stage import Stage
from tests.support.network import AGENCIES, Network


def run_campaign(folder: Path, names: Sequence[str], *, seed: int, rounds: int) -> str:
    """Founds a network and does faults to it; see ``play``."""
    (folder / "network").mkdir()
    (folder / "scratch").mkdir()
    network = Network(folder / "network")
    try:
        network.found()
        network.join(AGENCIES)
        stage = Stage(network, folder / "scratch", random.Random(seed))
        return play(stage, names, rounds=rounds)
    finally:
        network.close()


def play(stage: Stage, names: Sequence[str], *, rounds: int) -> str:
    """Does faults one after another to one pair of nodes, whose network is not running yet.

    Returns:
        The verdict of the first that was not stood, after which the nodes are not used any more;
        empty when all were.
    """
    try:
        stage.start()
        for number in range(rounds):
            for name in names:
                if failed := _verdict(stage, name, number):
                    return failed
        stage.check_proofs()
        return ""
    finally:
        stage.close()


def _verdict(stage: Stage, name: str, number: int) -> str:
    """Does one fault and prints its verdict; returns it when it failed."""
    began = time.monotonic()
    try:
        done = FAULTS[name].run(stage)
        delivered = stage.check()
    except (AssertionError, OSError) as error:
        traceback.print_exc()
        line = f"FAILED  {name}, round {number}: {error}"
        print(line, flush=True)
        return line
    took = time.monotonic() - began
    print(f"held    {name}: {done}; {delivered} documents so far, {took:.1f} s", flush=True)
    return ""


def main() -> int:
    """Runs the campaign; exit code 1 when a fault was not stood."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only the faults of the gate")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=[], help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:10} {fault.what}" for name, fault in FAULTS.items()))
        return 0
    names = given.only or [name for name, item in FAULTS.items() if item.short or not given.short]
    with tempfile.TemporaryDirectory(prefix="edoc-campaign-") as folder:
        failed = run_campaign(Path(folder), names, seed=given.seed, rounds=given.rounds)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
