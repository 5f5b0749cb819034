"""What a benchmark is asked for and what it gives back: a table, and charts of it."""

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edockit import tls13  # noqa: F401 - before gRPC, as in the programs
from tests.benchmarks.charts import Bars, Chart, Lines
from tests.benchmarks.figures import Figures, Spread
from tests.benchmarks.profiling import Profiling

ROUNDS = 3
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        quick: Only whether it works; no figure means anything.
        long: Also what takes an hour: 500,000 documents, 10 million rows.
        rounds: Interleaved rounds.
    """

    quick: bool = False
    long: bool = False
    rounds: int = ROUNDS

    def pick(self, quick: Value, normal: Value, long: Value | None = None) -> Value:
        """The value for this scale."""
        if self.quick:
            return quick
        return long if self.long and long is not None else normal


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    what: str
    spread: Spread
    unit: str


@dataclass(slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        how: One sentence: what exactly was measured, and how.
        goal: The project's goals for these figures, in words.
        skipped: What could not be measured here, and why.
    """

    title: str
    how: str
    goal: str = ""
    rows: list[Row] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def row(self, what: str, spread: Spread, unit: str = "") -> None:
        """Adds a line."""
        self.rows.append(Row(what, spread, unit))

    def row_of(self, figures: Figures, name: str, unit: str = "") -> None:
        """Adds a line for a figure by its own name."""
        self.row(name, figures.spread(name), unit)

    def bars(self, title: str, unit: str, names: Sequence[tuple[str, Spread]]) -> None:
        """Adds a chart with one bar for each figure."""
        self.charts.append(Bars(title, unit, tuple(names)))

    def lines(self, chart: Lines) -> None:
        """Adds a chart of growth."""
        self.charts.append(chart)

    def text(self) -> str:
        """The table."""
        lines = [f"== {self.title}", f"   {self.how}"]
        lines += [f"   Goal: {self.goal}"] if self.goal else []
        width = max((len(row.what) for row in self.rows), default=0)
        lines += [
            f"   {row.what:<{width}}  {row.spread.text():<30} {row.unit}" for row in self.rows
        ]
        lines += [f"   not measured: {why}" for why in self.skipped]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "title": self.title,
            "how": self.how,
            "goal": self.goal,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "skipped": self.skipped,
        }


Benchmark = Callable[[Scale], Report]


def scale_options(parser: argparse.ArgumentParser) -> None:
    """Adds what every benchmark takes."""
    parser.add_argument("--quick", action="store_true", help="only whether it works")
    parser.add_argument("--long", action="store_true", help="also what takes an hour")
    parser.add_argument("--rounds", type=int, default=0, help=f"default {ROUNDS}, quick 1")


def chosen_scale(chosen: argparse.Namespace) -> Scale:
    """The scale of a command line."""
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    return Scale(quick=chosen.quick, long=chosen.long, rounds=rounds)


def run_one(name: str, scale: Scale) -> Report:
    """Runs the benchmark of this name."""
    report: Report = importlib.import_module(f"tests.benchmarks.bench_{name}").run(scale)
    return report


def run_alone(benchmark: Callable[..., Report], *, profiles: bool = False) -> None:
    """Runs one benchmark as a program and prints its table.

    Args:
        profiles: Whether it can write profiles of its nodes.
    """
    doc = sys.modules[benchmark.__module__].__doc__ or ""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    scale_options(parser)
    if profiles:
        profile_options(parser)
    chosen = parser.parse_args()
    wanted = {"profile": chosen_profile(chosen)} if profiles else {}
    print(benchmark(chosen_scale(chosen), **wanted).text())


def profile_options(parser: argparse.ArgumentParser) -> None:
    """Adds what a benchmark takes that can write profiles."""
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="for profiles of the nodes")
    parser.add_argument("--native", action="store_true", help="C functions in the profiles")


def chosen_profile(chosen: argparse.Namespace) -> Profiling | None:
    """What a command line wants of profiles."""
    if chosen.profile is None:
        return None
    chosen.profile.mkdir(parents=True, exist_ok=True)
    return Profiling(chosen.profile, chosen.native)
