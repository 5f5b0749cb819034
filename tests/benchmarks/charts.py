"""Charts as plain SVG: bars with the spread of the rounds, and lines of growth.

Readable on white and on dark pages, with the figures as text, so that nothing is lost for those
who cannot see the picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from tests.benchmarks.figures import Spread, short

WIDTH, LABEL, LINE, TOP, RIGHT = 880, 430, 28, 52, 90
PLOT = WIDTH - LABEL - RIGHT
HEIGHT_OF_LINES = 320
NAMESPACE = "http://www.w3.org/2000/svg"
COLOURS = ("#1f6feb", "#c2410c", "#15803d", "#7e22ce", "#525252")
STYLE = (
    "text{font:13px sans-serif;fill:#6b7280}.t{font-weight:600;font-size:15px}"
    ".w{stroke:#6b7280;stroke-width:1.5}.a{stroke:#9ca3af;stroke-width:1}"
)


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar a figure: the median, and a line from the lowest to the highest round."""

    title: str
    unit: str
    bars: Sequence[tuple[str, Spread]]

    def svg(self) -> str:
        """The picture."""
        height = TOP + LINE * len(self.bars) + 16
        most = max((spread.high for _, spread in self.bars), default=1) or 1
        body = [_text(12, 24, f"{self.title}, {self.unit}", "t")]
        for number, (label, spread) in enumerate(self.bars):
            body += _bar(TOP + LINE * number, label, spread, PLOT / most)
        return _page(self.title, height, body)


@dataclass(frozen=True, slots=True)
class Lines:
    """Values over a size, both axes named; the size on a logarithmic axis."""

    title: str
    x_name: str
    y_name: str
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]]

    def svg(self) -> str:
        """The picture."""
        points = [point for _, line in self.series for point in line]
        low, high = (pick(math.log10(x) for x, _ in points) for pick in (min, max))
        most = max(y for _, y in points) or 1
        body = [_text(12, 24, self.title, "t"), _text(12, 44, self.y_name)]

        def place(x: float, y: float) -> tuple[float, float]:
            share = (math.log10(x) - low) / ((high - low) or 1)
            return 70 + share * (WIDTH - 260), HEIGHT_OF_LINES - 40 - y / most * 220

        body += _axes(sorted({x for x, _ in points}), place, self.x_name)
        for number, (name, line) in enumerate(self.series):
            body += _line(name, [(*place(x, y), y) for x, y in line], COLOURS[number % 5])
        return _page(self.title, HEIGHT_OF_LINES, body)


Chart: TypeAlias = Bars | Lines
Place: TypeAlias = Callable[[float, float], tuple[float, float]]


def _bar(y: float, label: str, spread: Spread, scale: float) -> list[str]:
    middle = y + LINE / 2 - 4
    low, high = (LABEL + value * scale for value in (spread.low, spread.high))
    width = max(spread.median * scale, 1)
    box = f'x="{LABEL}" y="{y}" width="{width:.1f}" height="{LINE - 9}"'
    return [
        f'<rect {box} fill="{COLOURS[0]}" opacity="0.75"/>',
        f'<line class="w" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>',
        _text(max(high, LABEL + spread.median * scale) + 6, y + 14, short(spread.median)),
    ]


def _axes(sizes: Sequence[float], place: Place, name: str) -> list[str]:
    left, floor = place(sizes[0], 0)
    right, _ = place(sizes[-1], 0)
    body = [f'<line class="a" x1="{left}" x2="{right:.1f}" y1="{floor}" y2="{floor}"/>']
    body += [_text(place(size, 0)[0], floor + 18, f"{size:,.0f}") for size in sizes]
    return [*body, _text(left, floor + 36, name)]


def _line(name: str, points: Sequence[tuple[float, float, float]], colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    body = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, y, value in points:
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
        body.append(_text(x - 8, y - 8, short(value)))
    x, y, _ = points[-1]
    return [*body, _text(x + 34, y + 4, name)]


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _page(title: str, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            *body,
            "</svg>\n",
        ]
    )
