import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edoccore.directory.join import JoinString, format_join, parse_join
from edoccore.errors import JoinStringError

JOIN = JoinString(
    host="registry.example.vn",
    port=7070,
    root_sha256="0123456789abcdef" * 4,
    token=bytes(range(16)),
)
TEXT = format_join(JOIN)


@given(
    host=st.sampled_from(["127.0.0.1", "::1", "2001:db8::1", "registry.example.vn", "a-b.c"]),
    port=st.integers(1, 65535),
    root=st.binary(min_size=32, max_size=32),
    token=st.binary(min_size=16, max_size=16),
)
def test_a_join_string_reads_back(host: str, port: int, root: bytes, token: bytes) -> None:
    join = JoinString(host=host, port=port, root_sha256=root.hex(), token=token)
    assert parse_join(format_join(join)) == join


def test_an_ipv6_host_stands_in_brackets() -> None:
    join = JoinString(host="::1", port=7, root_sha256="00" * 32, token=bytes(16))
    assert format_join(join).startswith("edoc1:[::1]:7:")
    assert parse_join(format_join(join)).address == "[::1]:7"


@given(
    st.integers(0, len(TEXT) - 1),
    st.sampled_from(string.ascii_letters + string.digits + ":.-[] \n"),
)
@example(0, "f")
def test_any_altered_character_is_found(place: int, character: str) -> None:
    altered = TEXT[:place] + character + TEXT[place + 1 :]
    if altered.strip() != TEXT:
        with pytest.raises(JoinStringError):
            parse_join(altered)


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 12))
def test_a_string_with_a_piece_left_out_is_refused(place: int, length: int) -> None:
    with pytest.raises(JoinStringError):
        parse_join(TEXT[:place] + TEXT[place + length :])


@given(st.integers(0, len(TEXT) - 2))
def test_two_characters_exchanged_are_found(place: int) -> None:
    swapped = TEXT[:place] + TEXT[place + 1] + TEXT[place] + TEXT[place + 2 :]
    if swapped != TEXT:
        with pytest.raises(JoinStringError):
            parse_join(swapped)


@given(st.text(max_size=500))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    with pytest.raises(JoinStringError):
        parse_join(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (TEXT.replace("edoc1", "edoc2"), "begin with edoc1"),
        (TEXT[:-1], "32 characters"),
        (TEXT[: TEXT.rindex(":")], "end is missing"),
        (TEXT.replace("0123", "012", 1), "64 digits"),
        (TEXT.replace("abcdef", "ABCDEF", 1), "lower-case hex"),
        (TEXT.replace("registry", "regi stry"), "space"),
        (TEXT.replace("registry", "register"), "altered"),
        (TEXT.replace(":7070:", ":70700:"), "no port"),
        (TEXT.replace("registry", "regi_try"), "host or port"),
        ("x" * 1000, "1000 characters"),
    ],
)
def test_the_error_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(JoinStringError, match=reason) as caught:
        parse_join(text)
    assert "ask the registry's officer" in caught.value.hint


def test_neither_the_error_nor_the_value_shows_the_token() -> None:
    token = TEXT[-32:]
    with pytest.raises(JoinStringError) as caught:
        parse_join(TEXT.replace("registry", "register"))
    assert token not in str(caught.value)
    assert repr(JOIN.token) not in repr(JOIN)


@pytest.mark.parametrize(
    "changes",
    [{"host": "a b"}, {"port": 0}, {"port": 65536}, {"root_sha256": "xy"}, {"token": b"short"}],
)
def test_what_could_not_be_read_back_is_not_written(changes: dict[str, object]) -> None:
    fields = {"host": "h", "port": 1, "root_sha256": "00" * 32, "token": bytes(16)} | changes
    with pytest.raises(ValueError, match="no join string"):
        format_join(JoinString(**fields))
