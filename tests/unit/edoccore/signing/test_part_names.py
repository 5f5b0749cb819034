import json
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import PartNameError
from edoccore.signing.part_names import check_part_names

VECTORS = json.loads(
    (Path(__file__).parents[3] / "interop/vectors/names.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", VECTORS["accepted"], ids=ascii)
def test_usual_names_pass(name: str) -> None:
    check_part_names([name])


def test_all_usual_names_pass_together() -> None:
    check_part_names(VECTORS["accepted"])


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_t22_an_unsafe_name_is_refused(case: dict) -> None:
    with pytest.raises(PartNameError) as caught:
        check_part_names(["record.json", case["name"]])
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("case", VECTORS["twins"], ids=lambda case: case["why"])
def test_t22_names_that_are_one_to_a_file_system_or_a_reader_are_refused(case: dict) -> None:
    for name in case["names"]:
        check_part_names([name])
    with pytest.raises(PartNameError, match="named alike"):
        check_part_names(case["names"])


def test_t22_a_vietnamese_name_and_its_decomposed_twin_never_travel_together() -> None:
    name = "Quyết định.pdf"
    with pytest.raises(PartNameError):
        check_part_names([name, unicodedata.normalize("NFD", name)])


def test_the_message_says_which_name_and_why() -> None:
    with pytest.raises(PartNameError, match=r"'Phụ lục/1\.pdf'.*has the character /"):
        check_part_names(["record.json", "Phụ lục/1.pdf"])


@given(st.text(max_size=20) | st.text("./\\:-~ conCON1\u202e\uff0e\uff0fa", max_size=8))
def test_t22_whatever_passes_stays_inside_a_folder_on_every_system(name: str) -> None:
    try:
        check_part_names([name])
    except PartNameError:
        return
    for form in (name, unicodedata.normalize("NFKC", name).casefold()):
        assert PurePosixPath(form).parts == (form,)
        assert PureWindowsPath(form).parts == (form,)
        assert form.partition(".")[0].rstrip() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
        assert form not in (".", "..")
        assert form.isprintable()
