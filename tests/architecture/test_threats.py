"""The threat table of SECURITY.md names tests that exist, and the gate asks whether they ran."""

import os
import re
import subprocess
import sys

import pytest

from tests.architecture.repository import ROOT, named_tests
from tests.support.ran import name_of, names_in, unproven

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = {
    number: re.findall(r"`(test_\w+)`", tests)
    for number, tests in re.findall(r"^\| *(T-\d\d)\b[^|]*\|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
}
PROMISED = [1, 3, 4, 5, 7, *range(11, 18), 19, 20, *range(22, 33), 37, 38, 39, 41, 42]


def test_table_lists_every_promised_threat() -> None:
    assert set(ROWS) >= {f"T-{number:02}" for number in PROMISED}


@pytest.mark.parametrize("threat", ROWS)
def test_threat_names_tests_that_exist(threat: str) -> None:
    if not any(ROWS.values()):
        pytest.skip("the table of threats names no test yet")
    assert ROWS[threat], f"{threat} has no test"
    assert set(ROWS[threat]) <= {name for _, name in named_tests()}


def test_a_named_test_that_did_not_run_or_under_ci_was_skipped_is_missed() -> None:
    named, passed, skipped = {"test_a", "test_b", "test_c"}, {"test_a", "test_x"}, {"test_b"}
    missing = {"test_b": "was skipped", "test_c": "did not run"}
    assert unproven(named, passed, skipped, in_ci=True) == missing
    assert unproven(named, passed, skipped, in_ci=False) == {"test_c": "did not run"}
    assert name_of("tests/unit/test_x.py::TestY::test_a[1-::b[]") == "test_a"


def test_the_gate_asks_for_every_test_of_the_table() -> None:
    assert names_in(TEXT) >= {name for tests in ROWS.values() for name in tests}
    assert len(names_in(TEXT)) > 50
    assert "EDOC_GATE=true" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_gate_that_leaves_named_tests_out_fails_and_tells_them(workers: str) -> None:
    """Real pytest on one green file, as the gate would run it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers]
    file = "tests/unit/edocnode/domain/test_timestamps.py"
    done = [
        subprocess.run(
            [*command, file],
            cwd=ROOT,
            env={**os.environ, "EDOC_GATE": asked},
            capture_output=True,
            text=True,
            check=False,
        )
        for asked in ("true", "")
    ]
    assert [each.returncode for each in done] == [1, 0], done[1].stdout
    told = "SECURITY.md names test_t13_a_receipt_is_never_taken_for_an_envelope, which did not run"
    assert told in done[0].stdout
    assert "SECURITY.md names" not in done[1].stdout
