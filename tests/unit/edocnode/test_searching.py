"""What a person types to look for documents."""

import unicodedata

import pytest

from edoccore.errors import RequestInvalidError
from edocnode.domain.searching import (
    MAX_TEXT,
    checked_day,
    checked_types,
    number_spellings,
    search_words,
)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_lose_case_and_marks_and_the_longest_comes_first(form: str) -> None:
    typed = unicodedata.normalize(form, "Về  ĐƯỜNG thủy ve")
    assert search_words(typed) == ("duong", "thuy", "ve")


def test_nothing_typed_is_nothing_looked_for() -> None:
    assert search_words("") == search_words("  \x00 ") == ()


@pytest.mark.parametrize("text", ["a" * (MAX_TEXT + 1), " ".join(map(str, range(13)))])
def test_search_is_bounded(text: str) -> None:
    with pytest.raises(RequestInvalidError):
        search_words(text)


@pytest.mark.parametrize(
    ("typed", "numbers", "notation"),
    [
        ("", (), ""),
        ("5", ("5", "05"), ""),
        ("05", ("05", "5"), ""),
        ("05/QĐ-UBND", ("05", "5"), "QĐ-UBND"),
        ("28/NQ/TW", ("28",), "NQ/TW"),
        ("/QĐ-UBND", (), "QĐ-UBND"),
        ("12a", ("12a",), ""),
        ("00", ("00",), ""),
    ],
)
def test_number_is_found_with_and_without_its_zero(
    typed: str, numbers: tuple[str, ...], notation: str
) -> None:
    assert number_spellings(typed) == (numbers, notation)


def test_day_and_types_are_checked() -> None:
    assert checked_day("2026-12-05") == "2026-12-05"
    with pytest.raises(RequestInvalidError):
        checked_day("5/12/2026")
    with pytest.raises(RequestInvalidError):
        checked_types(["a"] * 9)
