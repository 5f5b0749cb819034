"""Runs seeds: ``python -m tests.simulation --seed 123 --trace``."""

import argparse
import sys
from dataclasses import replace

from tests.simulation.world import Plan, Report, nation_plan, reform_plan, simulate


def main() -> int:
    """Runs what the command line asks for; 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--documents", type=int, default=0, help="handed in by each node")
    parser.add_argument("--seconds", type=float, default=60.0, help="of harm, in simulated time")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--nation", action="store_true", help="one large run; prints its cost")
    parser.add_argument("--reform", action="store_true", help="agencies end and are named anew")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    options = parser.parse_args()
    if options.nation:
        wanted = options.nodes or 3, options.documents or 12
        return nation(options.seed, *wanted, options.seconds)
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        plan = reform_plan(seed) if options.reform else Plan(seed=seed)
        report = simulate(
            replace(
                plan,
                nodes=options.nodes or plan.nodes,
                documents=options.documents or plan.documents,
                harm_s=options.seconds,
                faults=not options.no_faults,
            )
        )
        failed += bool(report.violations)
        show(report, trace=options.trace)
    return 1 if failed else 0


def nation(seed: int, nodes: int, documents: int, seconds: float) -> int:
    """Runs many nodes without faults and prints what each costs."""
    report = simulate(nation_plan(seed, nodes, documents=documents, harm_s=seconds))
    show(report, trace=False)
    print(
        f"{nodes} nodes: {report.cpu_s / nodes * 1000:.1f} ms of processor and "
        f"{report.memory_kib / nodes:.0f} KiB of memory each"
    )
    return 1 if report.violations else 0


def show(report: Report, *, trace: bool) -> None:
    """Prints a report."""
    if trace:
        print("\n".join(report.trace))
    verdict = f"{len(report.violations)} violations" if report.violations else "holds"
    print(
        f"seed {report.seed}: {verdict}; {report.documents} documents, "
        f"{report.simulated_s:.0f} s simulated in {report.cpu_s:.2f} s of processor"
    )
    for violation in report.violations:
        print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main())
