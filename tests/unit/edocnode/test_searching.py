"""What a person types to look for documents."""

import unicodedata
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.searching import (
    MAX_TEXT,
    checked_day,
    checked_types,
    number_spellings,
    search_words,
)
from edocnode.rpc.office_messages import inbox_request
from tests.support.nation import Nation


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


def test_what_is_looked_for_has_no_nul_and_real_moments() -> None:
    nation = Nation.create(datetime(2026, 11, 23, tzinfo=UTC))
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh")
    wanted = office.DocumentFilter(text="a\0b", document_types=["\0BC"], number="2\0/\0QĐ")
    found = inbox_request(office.ListInboxRequest(filter=wanted), nation.directory()).filters
    assert (found.words, found.document_types) == (("ab",), ("BC",))
    assert (found.number, found.notation) == (("2", "02"), "QĐ")
    never = office.DocumentFilter(since=Timestamp(seconds=1 << 60))
    with pytest.raises(RequestInvalidError):
        inbox_request(office.ListInboxRequest(filter=never), nation.directory())
