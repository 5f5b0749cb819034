from xml.etree import ElementTree as ET

from tests.benchmarks.charts import Bars, Lines
from tests.benchmarks.figures import Figures, Spread
from tests.benchmarks.profiling import table


def test_rounds_are_interleaved_and_ratios_taken_round_by_round() -> None:
    seen: list[str] = []

    def measure(name: str, values: list[float]):
        def once() -> dict[str, float]:
            seen.append(name)
            return {name: values.pop(0)}

        return once

    figures = Figures().interleaved(3, measure("own", [2, 20, 6]), measure("floor", [1, 10, 2]))
    assert seen == ["own", "floor"] * 3
    assert figures.ratio("own", "floor") == Spread(median=2, low=2, high=3)


def test_a_chart_is_xml_that_says_its_figures() -> None:
    spread = Spread(median=1234.5, low=1000, high=2000)
    line = ("recipient", [(10_000.0, 180.0), (1_000_000.0, 190.0)])
    for chart, figure in (
        (Bars("A <b>", "times", [("x & y", spread)]), "1,234"),
        (Lines("Growth", "rows", "us", [line]), "190"),
    ):
        page = ET.fromstring(chart.svg())
        assert figure in "".join(page.itertext())


def test_a_profile_gives_the_time_of_a_thread_to_where_it_worked() -> None:
    stacks = [
        "thread (7): writer;run (group_writer.py:1);commit (default.py:9) 30",
        "thread (7): writer;run (group_writer.py:1);insert (default.py:8) 10",
        "thread (7): writer;run (group_writer.py:1);wait (threading.py:320) 60",
    ]
    text = table(stacks, {7: 4.0, 8: 1.0}, documents=1000)
    assert "4000.0  writer" in text
    assert "3000.0  commit (default.py:9)" in text
    assert "1000.0  insert (default.py:8)" in text
    assert "1000.0  threads of gRPC and others without Python" in text
    assert "wait" not in text
