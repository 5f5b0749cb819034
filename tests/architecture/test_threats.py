"""The threat table of SECURITY.md names tests that exist."""

import re

import pytest

from tests.architecture.repository import ROOT, named_tests

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = {
    number: re.findall(r"`(test_\w+)`", tests)
    for number, tests in re.findall(r"^\| *(T-\d\d)\b[^|]*\|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
}
PROMISED = [1, 3, 5, 7, 11, 12, 13, 14, 15, 22, 23, 24, 25, 26, 27, 28, 29, 30, 39, 41, 42]


def test_table_lists_every_promised_threat() -> None:
    assert set(ROWS) >= {f"T-{number:02}" for number in PROMISED}


@pytest.mark.parametrize("threat", ROWS)
def test_threat_names_tests_that_exist(threat: str) -> None:
    if not any(ROWS.values()):
        pytest.skip("the table of threats names no test yet")
    assert ROWS[threat], f"{threat} has no test"
    assert set(ROWS[threat]) <= {name for _, name in named_tests()}
