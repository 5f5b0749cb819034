"""The benchmarks still run; what they measure is no test's business."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.architecture.repository import ROOT

TIMEOUT_S = 600


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_a_quick_benchmark_prints_a_table_and_saves_figures_and_charts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "exchange", "--quick"]
    done = subprocess.run(
        [*command, "--save", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "delivery of sealed documents / raw gRPC echo" in done.stdout
    saved = json.loads((tmp_path / "exchange.json").read_text())
    rates = [row for row in saved["rows"] if row["what"].endswith("documents/s")]
    assert len(rates) > 5
    assert all(row["spread"]["median"] > 0 for row in rates)
    charts = sorted(tmp_path.glob("*.svg"))
    assert [ET.parse(chart).getroot().tag[-3:] for chart in charts] == ["svg", "svg"]
