"""The gate's last question: did every test that SECURITY.md names run, and pass, in this run?

A name that exists proves nothing when the test is skipped, deselected or not collected. Switched on
by ``EDOC_GATE=true``, as ``.ci/run`` does; a part of the tests, run by hand, is asked nothing. On a
developer's machine a test may be skipped for want of a program; under CI it may not.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

SECURITY = Path(__file__).resolve().parents[2] / "SECURITY.md"


def names_in(text: str) -> set[str]:
    """Tests that the table of threats names."""
    rows = re.findall(r"^\| *T-\d\d\b.*\|$", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}


def name_of(node_id: str) -> str:
    """``test_x`` of ``tests/a.py::test_x[case]``."""
    return node_id.partition("[")[0].rpartition("::")[2]


def unproven(
    named: Collection[str], passed: Collection[str], skipped: Collection[str], *, in_ci: bool
) -> dict[str, str]:
    """The named tests that this run does not prove, each with the reason.

    Args:
        passed: Of which at least one case passed; ``skipped``: of which one was skipped.
    """
    missing = {}
    for name in sorted(named):
        if name in passed:
            continue
        if name not in skipped:
            missing[name] = "did not run"
        elif in_ci:
            missing[name] = "was skipped"
    return missing


class RanPlugin:
    """Watches the reports of all processes, and fails the run for a named test without one."""

    def __init__(self, *, in_ci: bool) -> None:
        self._in_ci = in_ci
        self._passed: set[str] = set()
        self._skipped: set[str] = set()
        self._missing: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = name_of(report.nodeid)
        if report.when == "call" and report.passed:
            self._passed.add(name)
        elif report.skipped:
            self._skipped.add(name)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        named = names_in(SECURITY.read_text(encoding="utf-8"))
        self._missing = unproven(named, self._passed, self._skipped, in_ci=self._in_ci)
        if self._missing and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in told(self._missing):
            terminalreporter.write_line(line, red=True)


def told(missing: dict[str, str]) -> Iterable[str]:
    """What a person reads."""
    return [f"SECURITY.md names {name}, which {why}" for name, why in missing.items()]
