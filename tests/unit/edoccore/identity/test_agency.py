import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import RequestInvalidError
from edoccore.identity.agency import REGISTRY_CODE, AgencyCode


@pytest.mark.parametrize(
    "text",
    ["H29", "G01.22", "H29.5.1", "H37.DN.001", "000.00.00.G22", "123.45.67.H29", "REGISTRY"],
)
def test_both_forms_and_the_registry_are_codes(text: str) -> None:
    code = AgencyCode.parse(text)
    assert code == text
    assert isinstance(code, str)


def test_the_registry_has_a_code_of_its_own() -> None:
    assert AgencyCode.parse("REGISTRY") == REGISTRY_CODE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("h29", "lower-case"),
        ("H29.dn", "lower-case"),
        ("registry", "lower-case"),
        ("H29.", "empty group"),
        (".H29", "empty group"),
        ("H29..1", "empty group"),
        (" H29", "space"),
        ("H29\n", "space"),
        ("H29\0", "neither"),
        ("Η29", "only look like"),  # Greek capital eta
        ("Н29", "only look like"),  # Cyrillic capital en
        ("Ｈ29", "only look like"),  # full-width
        ("H２9", "only look like"),
        ("H٢9", "only look like"),  # Arabic-Indic digit
        ("H29\u200b", "only look like"),
        ("H29\u202e", "only look like"),
        ("H2", "neither"),
        ("H290", "neither"),
        ("29H", "neither"),
        ("H29/5", "neither"),
        ("H29-5", "neither"),
        ("00.00.00.G22", "neither"),
        ("000.00.00.G2", "neither"),
        ("H29." + "A" * 32, "more than 35"),
    ],
    ids=ascii,
)
def test_a_look_alike_is_refused_and_told_why(text: str, why: str) -> None:
    with pytest.raises(RequestInvalidError, match=why) as caught:
        AgencyCode.parse(text)
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


def test_the_longest_code_has_35_characters() -> None:
    assert AgencyCode.parse("H29." + "A" * 31)


@given(st.text(max_size=40))
def test_what_passes_is_upper_case_ascii_without_anything_hidden(text: str) -> None:
    try:
        code = AgencyCode.parse(text)
    except RequestInvalidError:
        return
    assert code.isascii()
    assert code == text.upper().strip(" .")
