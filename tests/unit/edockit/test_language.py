import pytest

from edockit.language import Catalogue, Language, choose_language

CATALOGUE = Catalogue(
    {
        "No such file.": "Không có tệp này.",
        "Document {document_id} is {state}.": "Văn bản {document_id} {state}.",
        "Document {document_id} is {state}; {reason}": "Văn bản {document_id} {state}: {reason}",
        "{agency} does not own {code}.": "Mã {code} không thuộc {agency}.",
        "revoked": "đã bị thu hồi",
        "it is missing": "bị thiếu",
        "{x}: {y}": "không bao giờ",
    }
)


@pytest.mark.parametrize(
    ("option", "environment", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "vi_VN.UTF-8"}, "vi"),
        (None, {"LANG": "vi"}, "vi"),
        (None, {"LANG": "vie_XX"}, "en"),
        (None, {"LANG": "vi_VN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        (None, {"LANG": "vi_VN.UTF-8", "LC_ALL": ""}, "vi"),
        (None, {"LANG": "en_US.UTF-8", "LC_MESSAGES": "vi_VN"}, "vi"),
        ("en", {"LANG": "vi_VN.UTF-8"}, "en"),
        ("vi", {}, "vi"),
        ("fr", {"LANG": "vi_VN.UTF-8"}, "vi"),
    ],
)
def test_the_option_goes_before_the_locale(
    option: str | None, environment: dict[str, str], language: str
) -> None:
    assert choose_language(option, environment) is Language(language)


def test_a_message_without_values_is_found_whole() -> None:
    assert CATALOGUE.told("No such file.") == "Không có tệp này."


def test_values_go_into_the_translated_sentence_in_its_own_order() -> None:
    assert CATALOGUE.told("H29 does not own G01.") == "Mã G01 không thuộc H29."


def test_a_value_that_is_a_message_is_translated_too() -> None:
    assert CATALOGUE.told("Document 7 is revoked; it is missing") == (
        "Văn bản 7 đã bị thu hồi: bị thiếu"
    )


def test_one_word_is_translated_only_where_a_state_stands() -> None:
    assert CATALOGUE.told("Document revoked is revoked.") == "Văn bản revoked đã bị thu hồi."
    assert CATALOGUE.told("revoked does not own G01.") == "Mã G01 không thuộc revoked."


@pytest.mark.parametrize(
    "moment", ["2026-11-26T01:00:00.000Z", "2026-11-26T01:00:00+00:00", "2026-11-26 01:00:00Z"]
)
def test_a_time_is_told_as_clocks_in_viet_nam_show_it(moment: str) -> None:
    assert (
        CATALOGUE.told(f"{moment} does not own G01.") == "Mã G01 không thuộc 26/11/2026 08:00:00."
    )


def test_a_time_that_is_none_stays_as_it_is() -> None:
    for text in ("2026-11-26", "2026-02-31T01:00:00Z", "9999-12-31T23:59:59Z"):
        assert CATALOGUE.told(f"{text} does not own 08:00.") == f"Mã 08:00 không thuộc {text}."


def test_blanks_around_a_message_stay() -> None:
    assert CATALOGUE.told("  No such file.\n") == "  Không có tệp này.\n"


def test_what_is_not_known_is_told_as_it_is() -> None:
    assert CATALOGUE.told("Disk 3 is full.") == "Disk 3 is full."


def test_a_template_of_hardly_any_letters_of_its_own_catches_nothing() -> None:
    assert CATALOGUE.told("error: disk") == "error: disk"


def test_braces_in_values_are_told_as_they_are() -> None:
    assert CATALOGUE.told("{0} does not own {x}.") == "Mã {x} không thuộc {0}."
