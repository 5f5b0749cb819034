"""Fields of a record as options and files give them."""

import json
import unicodedata
from pathlib import Path

import pytest

from edoccore.errors import RequestInvalidError
from edocnode.cli import record


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("2026,01-TH", {"year": 2026, "notation": "01-TH"}),
        ("H29,2026,01-TH", {"agency": "H29", "year": 2026, "notation": "01-TH"}),
        (
            "000.00.29.H29, 2026, 01/TH, 12",
            {"agency": "000.00.29.H29", "year": 2026, "notation": "01/TH", "ordinal": 12},
        ),
    ],
)
def test_file_of_records_is_written_with_commas(text: str, found: dict[str, object]) -> None:
    assert record.dossier(text) == found


@pytest.mark.parametrize("text", ["01-TH", "H29,01-TH", "H29,2026", "H29,2026,01,x", "a,b,c,d,e"])
def test_file_of_records_in_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RequestInvalidError) as caught:
        record.dossier(text)
    assert "--dossier" in caught.value.hint


def test_options_win_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "fields.json"
    signer = {"full_name": "Trần Bình", "position": "Chủ tịch"}
    decomposed = unicodedata.normalize("NFD", "Đường sắt")
    file.write_text(
        json.dumps({"subject": "a", "page_count": 3, "signer": signer, "content": decomposed}),
        encoding="utf-8",
    )
    options = {"subject": "b", "page_count": None, "to_places": [], "signer": {"position": "Phó"}}
    assert record.merged(record.fields_in(file), options) == {
        "subject": "b",
        "page_count": 3,
        "signer": {"full_name": "Trần Bình", "position": "Phó"},
        "content": "Đường sắt",
    }


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe", b"7", b"[" * 100_000])
def test_file_that_is_no_object_is_told_by_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "fields.json"
    file.write_bytes(content)
    with pytest.raises(RequestInvalidError, match=r"fields\.json"):
        record.fields_in(file)


def test_json_in_decomposed_escapes_becomes_composed(tmp_path: Path) -> None:
    file = tmp_path / "fields.json"
    file.write_text('{"subject": "a\\u0302", "to_places": ["e\\u0302"]}', encoding="utf-8")
    assert record.fields_in(file) == {"subject": "â", "to_places": ["ê"]}


def test_day_that_is_none_names_its_option() -> None:
    assert record.day("2026-12-05", "--issued-date") == "2026-12-05"
    with pytest.raises(RequestInvalidError) as caught:
        record.day("5/12/2026", "--issued-date")
    assert caught.value.hint == "Write --issued-date as 2026-12-05."
