"""Official identifiers, numbers as on paper, and what a clerk is told to look at."""

from typing import Any

import pytest

from edocnode.domain.codes import CodeLists
from edocnode.domain.official import official_code, on_paper, remarks, remarks_on_replacing
from edocnode.storage.code_lists import builtin_lists

LISTS: CodeLists = builtin_lists()
DECISION = {
    "subject": "Về việc ban hành Quy chế",
    "number": "28",
    "notation": "QĐ-UBND",
    "document_type": "QĐ",
    "issued_date": "2026-11-23",
    "issued_place": "Hà Tĩnh",
    "issuer": {"code": "H29"},
    "signer": {"authority": "TM.", "full_name": "Nguyễn Văn An"},
    "copy_form": "SY",
    "to_places": ["Như Điều 3", "Lưu: VT"],
    "page_count": 12,
}


def test_identifier_is_that_of_edxml() -> None:
    issuer = {"code": "000.00.00.G22"}
    day = {"issued_date": "2015-09-30", "number": "7816", "notation": "VPCP-TTĐT"}
    assert official_code({"issuer": issuer, **day}) == "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"


@pytest.mark.parametrize("missing", ["number", "notation", "issued_date", "issuer"])
def test_identifier_is_not_made_up_of_half(missing: str) -> None:
    for instead in ({}, {missing: ""}, {missing: 7}):
        fields = {name: value for name, value in DECISION.items() if name != missing} | instead
        assert official_code(fields) is None


@pytest.mark.parametrize(
    ("number", "shown"),
    [("5", "05"), ("05", "05"), ("15", "15"), ("7816", "7816"), ("5a", "5a"), ("", "")],
)
def test_number_below_ten_has_a_zero_on_paper(number: str, shown: str) -> None:
    assert on_paper(number) == shown


def test_ordinary_document_is_not_remarked_on() -> None:
    assert list(remarks(DECISION, LISTS)) == []
    assert list(remarks({"subject": "Về việc thử"}, {})) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": "Số 28"}, "number 'Số 28'"),
        ({"number": "123456789012"}, "usual form"),
        ({"notation": "QĐ UBND"}, "notation 'QĐ UBND'"),
        ({"notation": ""}, "no notation"),
        ({"number": ""}, "no number"),
        ({"subject": "N/A"}, "'N/A', which says nothing"),
        ({"issued_place": "Không có"}, "issued_place"),
        ({"document_type": "Thông tri"}, "edocnode codes types"),
        ({"copy_form": "Bản chụp"}, "edocnode codes copies"),
        ({"signer": {"authority": "THAY MẶT"}}, "edocnode codes authorities"),
        ({"signer": {"full_name": "An" * 26}}, "50 characters"),
        ({"to_places": ["a" * 501, "b" * 500]}, "1000 characters"),
        ({"page_count": 1000}, "page_count is 1000"),
    ],
)
def test_what_looks_wrong_is_remarked_on_once(change: dict[str, Any], told: str) -> None:
    (remark,) = remarks({**DECISION, **change}, LISTS)
    assert told in remark


def test_fields_of_a_wrong_kind_are_left_to_the_record() -> None:
    wrong = dict.fromkeys(DECISION, 7)
    assert [text for text in remarks(wrong, LISTS) if "7" in text] == []


def test_content_is_replaced_by_a_document_of_the_same_form_and_form_corrected_by_a_letter() -> (
    None
):
    other = {**DECISION, "document_type": "TB"}
    assert list(remarks_on_replacing(DECISION, DECISION)) == []
    assert list(remarks_on_replacing({}, DECISION)) == []
    (told,) = remarks_on_replacing(DECISION, other)
    assert f"of type {DECISION['document_type']} and this one of type TB" in told
    corrects = {"corrects": [{"document_id": "1"}]}
    assert list(remarks({**DECISION, **corrects, "document_type": "CV"}, LISTS)) == []
    (told,) = remarks({**other, **corrects}, LISTS)
    assert "công văn đính chính" in told
