"""The catalogues have the messages of the code, and no others."""

import ast

import pytest

from tests.support.messages import PACKAGES, messages_of, read_catalogue, template

UPDATE = "run `make messages`, then translate what is empty"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_catalogue_has_the_messages_of_the_code(package: str) -> None:
    in_code, known = set(messages_of(package)), set(read_catalogue(package))
    assert sorted(in_code - known) == [], UPDATE
    assert sorted(known - in_code) == [], UPDATE


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('"Nothing."', "Nothing."),
        ('f"{entry.agency} owns {codes[0]!r}."', "{agency} owns {value0}."),
        ('f"{a} and {b.a}"', "{a} and {a2}"),
        ('f"{time_text(now)} {{x}}"', "{now} {{x}}"),
        ("text", None),
    ],
)
def test_places_have_the_names_of_their_values(code: str, message: str | None) -> None:
    assert template(ast.parse(code, mode="eval").body) == message
