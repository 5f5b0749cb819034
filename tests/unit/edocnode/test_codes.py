"""How a document type is found from what a person typed, and what the lists hold."""

import unicodedata
from collections.abc import Iterable

import pytest

from edoccore.errors import RequestInvalidError
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Urgency
from edocnode.domain.codes import CodeList, CodeUnknownError, find_code, knows_code
from edocnode.domain.model import DeliveryState
from edocnode.domain.reasons import DECLINE_CODES, REJECT_CODES
from edocnode.domain.secrecy import Secrecy
from edocnode.storage.code_lists import builtin_lists

LISTS = builtin_lists()


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("QĐ", "QĐ"),
        ("qđ", "QĐ"),
        ("qd", "QĐ"),
        ("Quyết định", "QĐ"),
        ("quyet dinh", "QĐ"),
        ("QUYẾT ĐỊNH (CÁ BIỆT)", "QĐ"),
        ("Quy định", "QyĐ"),
        ("cv", "CV"),
        ("Công văn", "CV"),
        (" công văn ", "CV"),
        ("ttr", "TTr"),
        ("thu cong", "Thư công"),
        ("HD", "HD"),
        ("hđ", "HĐ"),
        ("DA", "DA"),
        ("đề án", "ĐA"),
    ],
)
def test_type_is_found_by_code_or_name_with_or_without_marks_and_case(
    typed: str, code: str
) -> None:
    assert find_code(LISTS, CodeList.TYPES, typed).code == code


@pytest.mark.parametrize(("typed", "both"), [("hd", ("HD", "HĐ")), ("da", ("DA", "ĐA"))])
def test_what_may_be_two_types_is_asked_back(typed: str, both: tuple[str, str]) -> None:
    with pytest.raises(RequestInvalidError) as caught:
        find_code(LISTS, CodeList.TYPES, typed)
    assert not isinstance(caught.value, CodeUnknownError)
    assert all(f"{code} (" in caught.value.message for code in both)


def test_unknown_type_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(CodeUnknownError) as caught:
        find_code(LISTS, CodeList.TYPES, "quyet din")
    assert "QĐ (Quyết định)" in caught.value.hint
    with pytest.raises(CodeUnknownError) as caught:
        find_code(LISTS, CodeList.TYPES, "zzz")
    assert caught.value.hint == "All of them: edocnode codes types"


def test_authority_is_found_without_its_dot() -> None:
    assert find_code(LISTS, CodeList.AUTHORITIES, "kt").code == "KT."


def test_every_entry_is_found_by_what_lists_show_of_it() -> None:
    for name, entries in LISTS.items():
        for entry in entries:
            assert find_code(LISTS, name, entry.code) is entry
            assert find_code(LISTS, name, entry.vi) is entry
            assert knows_code(entries, entry.code)


def test_lists_are_those_of_the_law_in_composed_form() -> None:
    assert [len(LISTS[name]) for name in CodeList] == [29, 3, 5, 5, 2, 4, 7, 7, 10, 4]
    assert {entry.code for entry in LISTS[CodeList.URGENCY]} == {*Urgency, "hoa_toc_hen_gio"}
    assert [entry.edxml for entry in LISTS[CodeList.URGENCY]] == [0, 1, 2, 3, 4]
    for entries in LISTS.values():
        assert len({entry.code for entry in entries}) == len(entries)
        for entry in entries:
            text = f"{entry.code}{entry.vi}{entry.note}"
            assert unicodedata.is_normalized("NFC", text)
            assert entry.en


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (CodeList.SECRECY, Secrecy),
        (CodeList.STATES, DocumentState),
        (CodeList.DELIVERIES, DeliveryState),
        (CodeList.REASONS, REJECT_CODES),
        (CodeList.DECLINE_REASONS, DECLINE_CODES),
    ],
)
def test_lists_of_the_program_have_every_code_that_commands_take(
    name: CodeList, codes: Iterable[str]
) -> None:
    assert {entry.code for entry in LISTS[name]} == set(codes)


def test_what_was_not_read_in_its_source_says_so() -> None:
    types = {entry.code: entry for entry in LISTS[CodeList.TYPES]}
    assert types["CV"].unverified
    assert not types["NQ"].unverified
    assert {code for code, entry in types.items() if entry.edxml and not entry.unverified} == {
        *("NQ", "CĐ", "BGN", "BTT", "GUQ", "GM", "GGT"),
    }
    assert all(entry.note for entries in LISTS.values() for entry in entries if entry.unverified)
