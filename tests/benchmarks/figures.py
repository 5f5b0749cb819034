"""Figures of several interleaved rounds, told as ratios with their spread."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self) -> str:
        """Median, and in brackets the lowest and highest."""
        return f"{short(self.median):>8} [{short(self.low)} - {short(self.high)}]"


@dataclass
class Figures:
    """Values by name, one of each round."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def interleaved(self, rounds: int, *measures: Measure) -> "Figures":
        """Takes each measure once in every round, in turn, so that all see the same machine."""
        for _ in range(rounds):
            for measure in measures:
                for name, value in measure().items():
                    self.values[name].append(value)
        return self

    def spread(self, name: str) -> Spread:
        """Of one figure."""
        return Spread.of(self.values[name])

    def ratio(self, name: str, floor: str) -> Spread:
        """One figure by another, round by round: what is slow for both cancels out."""
        pairs = zip(self.values[name], self.values[floor], strict=True)
        return Spread.of([value / other for value, other in pairs])


def short(value: float) -> str:
    """A number as a person reads it."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
