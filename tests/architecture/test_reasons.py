"""The table of reasons in proto/README.md is the error tree, no more and no less."""

import re
from collections.abc import Iterator

import pytest

from edoccore import (
    agency_errors,
    alarm_errors,
    directory_errors,
    moving_errors,
    office_errors,
    officer_errors,
)
from edoccore.errors import EdocError
from tests.architecture.repository import ROOT

MARKER = "<!-- reasons -->"
CORE = (
    EdocError.__module__,
    agency_errors.__name__,
    alarm_errors.__name__,
    office_errors.__name__,
    moving_errors.__name__,
    directory_errors.__name__,
    officer_errors.__name__,
)


def _classes(base: type[EdocError] = EdocError) -> Iterator[type[EdocError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


def _defined() -> list[type[EdocError]]:
    """Returns the classes of the tree; errors of one program extend it outside the core."""
    return [found for found in _classes() if found.__module__ in CORE]


def test_table_lists_every_reason_once_and_no_other() -> None:
    readme = ROOT / "proto" / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if MARKER not in text:
        pytest.skip(f"proto/README.md has no table of reasons yet ({MARKER})")
    row = re.compile(r"^\| *`([A-Z][A-Z0-9_]+)` *\|", re.MULTILINE)
    listed = row.findall(text.partition(MARKER)[2])
    assert sorted(listed) == sorted({found.reason for found in _defined()})


def test_reason_belongs_to_one_class() -> None:
    reasons = [found.reason for found in _defined()]
    assert sorted(reasons) == sorted(set(reasons))


@pytest.mark.parametrize("error", _defined(), ids=lambda error: error.reason)
def test_error_has_reason_status_and_a_message_with_advice(error: type[EdocError]) -> None:
    import grpc

    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", error.reason)
    assert len(error.reason) <= 63
    assert error.status in grpc.StatusCode.__members__
    assert (error.__doc__ or "").strip().endswith(".")
