import sys
import unicodedata

import pytest

from edoccore.signing.unicode14 import ASSIGNED

THIS_PYTHON_HAS_UNICODE_14 = unicodedata.unidata_version == "14.0.0"


def assigned_ranges() -> str:
    """Writes what this Python knows as assigned, in the form of the table."""
    spans: list[list[int]] = []
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)) in ("Cn", "Cs"):
            continue
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in spans)


@pytest.mark.skipif(not THIS_PYTHON_HAS_UNICODE_14, reason="only Python 3.11 has Unicode 14.0")
def test_table_is_what_unicode_14_assigns() -> None:
    assert assigned_ranges() == ASSIGNED


def test_every_point_of_the_table_is_assigned_in_the_unicode_of_this_python() -> None:
    for part in ASSIGNED.split():
        first, _, last = part.partition("-")
        for point in range(int(first, 16), int(last or first, 16) + 1):
            assert unicodedata.category(chr(point)) not in ("Cn", "Cs"), hex(point)
