"""A node's own file of code lists, over those of the program."""

import unicodedata
from pathlib import Path

import pytest

from edoccore.errors import SettingsError
from edocnode.domain.codes import CodeList, find_code
from edocnode.edxml.document_types import types_of
from edocnode.storage.code_lists import MAX_FILE_BYTES, builtin_lists, lists_with


def written(folder: Path, text: str) -> Path:
    file = folder / "mã.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_own_file_corrects_an_entry_and_adds_another(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        '[[types]]\ncode = "CV"\nunverified = false\nnote = ""\n'
        '[[types]]\ncode = "QTr"\nvi = "Quy trình"\n',
    )
    lists = lists_with(own)
    letter = find_code(lists, CodeList.TYPES, "cong van")
    assert (letter.vi, letter.edxml, letter.unverified, letter.note) == ("Công văn", 18, False, "")
    assert find_code(lists, CodeList.TYPES, "quy trinh").code == "QTr"
    assert len(lists[CodeList.TYPES]) == 30
    assert len(lists[CodeList.COPIES]) == 3


def test_packages_of_edxml_have_the_names_and_numbers_of_the_lists_and_an_own_file_corrects_them(
    tmp_path: Path,
) -> None:
    types = types_of(builtin_lists()[CodeList.TYPES])
    assert types.written("QĐ") == types.written("Quyết định") == (2, "Quyết định")
    assert types.code("quyết định") == types.code("Quyết định (cá biệt)") == "QĐ"
    assert types.written("PB") == (None, "Phiếu báo")
    assert types.written("Đơn") == (None, "Đơn")
    own = written(tmp_path, '[[types]]\ncode = "QĐ"\nedxml = 8\n')
    corrected = types_of(lists_with(own)[CodeList.TYPES])
    assert corrected.written("QĐ") == (8, "Quyết định")


def test_own_file_may_be_in_decomposed_form(tmp_path: Path) -> None:
    text = '[[types]]\ncode = "QĐ"\nen = "decision"\n'
    lists = lists_with(written(tmp_path, unicodedata.normalize("NFD", text)))
    assert len(lists[CodeList.TYPES]) == 29
    assert find_code(lists, CodeList.TYPES, "QĐ").en == "decision"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[kinds]]\ncode = 'a'", "kinds"),
        ("[[types]]\ncode = 'a'", "vi"),
        ("[[types]]\nvi = 'a'", "code"),
        ("[[types]]\ncode = 'a'\nvi = 'b'\nname = 'c'", "'name'"),
        ("[[types]]\ncode = 'a'\nvi = 3", "str"),
        ("[[urgency]]\ncode = 'a'\nvi = 'b'", "urgency"),
        ("[[states]]\ncode = 'a'\nvi = 'b'", "states"),
        ("[[reasons]]\ncode = 'OTHER'\nvi = 'Khác'", "reasons"),
        ("types = 1", "array"),
        ("[[types", "declaration"),
        ("# " + "a" * MAX_FILE_BYTES, "bytes"),
    ],
)
def test_own_file_that_cannot_be_used_is_told_with_its_name(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        lists_with(written(tmp_path, text))
    assert told in caught.value.message
    assert "mã.toml" in caught.value.message


def test_missing_own_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        lists_with(tmp_path / "none.toml")
