"""All benchmarks, or those named: prints their tables, saves figures and charts.

    .venv/bin/python -m tests.benchmarks [NAME ...] [--quick | --long] [--rounds N] [--save FOLDER]

What each measures is said in its module and in ``tests/README.md``. Asserts nothing about time: a
machine is as fast as it is. Fails when a document is lost, doubled or left without its receipt.
"""

import argparse
import json
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks.report import Report, Scale, chosen_scale, run_one, scale_options

NAMES = (
    "exchange",
    "submit",
    "lone",
    "urgent",
    "peers",
    "attack",
    "growth",
    "statistics",
    "office",
    "attachment",
    "resume",
    "start",
    "revocation",
    "database",
    "storage",
    "registry",
    "signatures",
    "token",
    "suites",
    "others",
)
SUMMARY = """# What was measured

Written by `make bench` on {}. Median, and in brackets the lowest and the highest of the
interleaved rounds. What each figure means: [../README.md](../README.md)."""
SAVED = Path(__file__).parent / "saved"


def main() -> None:
    """Runs, prints, saves."""
    chosen = arguments()
    scale = chosen_scale(chosen)
    print(f"{machine()}; {scale.rounds} rounds")
    folder = chosen.save or (None if scale.quick else SAVED)
    reports: dict[str, Report] = {}
    for name in chosen.names or NAMES:
        began = time.monotonic()
        reports[name] = measured(name, scale)
        print(f"{reports[name].text()}\n   ({time.monotonic() - began:.0f} s)\n", flush=True)
        if folder is not None:  # after each: a run of an hour may be broken off
            save(reports, folder)
    if folder is not None:
        print(f"saved in {folder}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description="Runs benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="for figures and charts")
    scale_options(parser)
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]}; there are: {', '.join(NAMES)}")
    return chosen


def measured(name: str, scale: Scale) -> Report:
    """Runs one benchmark in a process of its own, so that none leaves anything to the next."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run_one, name, scale).result()


def save(reports: dict[str, Report], folder: Path) -> None:
    """Writes a JSON file of figures and the charts of each benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, report in reports.items():
        text = json.dumps(report.as_json(), ensure_ascii=False, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n")
        for number, chart in enumerate(report.charts, start=1):
            (folder / chart_file(name, number)).write_text(chart.svg())
    summary = [SUMMARY.format(machine()), *(markdown(*each) for each in reports.items())]
    (folder / "README.md").write_text("\n".join(summary) + "\n")


def machine() -> str:
    """Where the figures come from."""
    return f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}"


def markdown(name: str, report: Report) -> str:
    """One benchmark as a section with its table and charts."""
    lines = ["", f"## {report.title[:1].upper()}{report.title[1:]}", "", report.how, ""]
    lines += [f"Goal: {report.goal}.", ""] if report.goal else []
    lines += ["| figure | median [lowest - highest] | |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.spread.text().strip()} | {row.unit} |" for row in report.rows]
    lines += ["", *(f"Not measured: {why}" for why in report.skipped)]
    for number, chart in enumerate(report.charts, start=1):
        lines += ["", f"![{chart.title}]({chart_file(name, number)})"]
    return "\n".join(lines)


def chart_file(name: str, number: int) -> str:
    """Where a chart is saved."""
    return f"{name}-{number}.svg"


if __name__ == "__main__":
    main()
