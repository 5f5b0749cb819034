"""Which documents share an official number."""

from datetime import UTC, datetime

import pytest

from edocnode.domain.duplicates import same_number_key

NOW = datetime(2026, 12, 31, 17, 0, tzinfo=UTC)  # New Year in Viet Nam
LISTING = {"number": "28", "notation": "QĐ-UBND", "issued_date": "2026-11-23", "issuer": "H29"}


def key(**changes: str) -> str:
    return same_number_key({**LISTING, **changes}, "H29", NOW)


@pytest.mark.parametrize("changes", [{"number": "028"}, {"notation": "qđ-ubnd"}, {"issuer": ""}])
def test_same_number_in_another_spelling_is_the_same(changes: dict[str, str]) -> None:
    assert key(**changes) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "29"},
        {"notation": "CV-UBND"},
        {"issued_date": "2025-11-23"},
        {"issuer": "H30"},
        {"issued_date": ""},  # then its year is that of its arrival, 2027
    ],
)
def test_number_of_another_year_issuer_or_notation_is_another(changes: dict[str, str]) -> None:
    assert key(**changes) != key()


@pytest.mark.parametrize("changes", [{"number": ""}, {"notation": ""}])
def test_half_a_number_is_none(changes: dict[str, str]) -> None:
    assert key(**changes) == ""
