"""The table of the law in node/README.md has every rule, and names tests that exist."""

import re

import pytest

from tests.architecture.repository import ROOT, named_tests

TEXT = (ROOT / "node" / "README.md").read_text(encoding="utf-8")
ROWS = {
    rule: (said, re.findall(r"`(test_\w+)`", tests))
    for rule, said, tests in re.findall(
        r"^\| ([RC]\d+) \| ([^|]*) \| ([^|]*) \|$", TEXT, re.MULTILINE
    )
}
RULES = [*(f"R{number}" for number in range(1, 28)), *(f"C{number}" for number in range(1, 14))]


def test_table_has_every_rule_once_and_in_order() -> None:
    assert list(ROWS) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_rule_names_tests_that_exist_or_says_that_it_is_outside_a_node_s_power(rule: str) -> None:
    said, tests = ROWS[rule]
    assert tests or said.startswith("Outside a node's power")
    assert set(tests) <= {name for _, name in named_tests()}
