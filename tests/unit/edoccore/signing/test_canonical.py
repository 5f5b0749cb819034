import json
import unicodedata
from bisect import bisect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from edoccore.errors import NotCanonicalError, StatementTooLargeError, StatementTypeError
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Operation, Part, Receipt, Urgency
from edoccore.signing.unicode14 import ASSIGNED

VECTORS = json.loads(
    (Path(__file__).parents[3] / "interop/vectors/canonical.json").read_text(encoding="utf-8")
)
REFUSALS = (NotCanonicalError, StatementTooLargeError, StatementTypeError)
Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    value: Number


class Sample(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="edoc.sample/v1",
):
    """The statement of the vectors; its keys stand on both sides of ``type``."""

    text: str
    amount: Number
    zone: str | UnsetType = UNSET
    flag: bool | UnsetType = UNSET
    colour: Colour | UnsetType = UNSET
    items: tuple[Item, ...] | UnsetType = UNSET


SPANS = [(part.partition("-")[0], part.rpartition("-")[2]) for part in ASSIGNED.split()]
FIRSTS = [int(first, 16) for first, _ in SPANS]
LASTS = [int(last, 16) for _, last in SPANS]


def is_assigned_in_14(character: str) -> bool:
    """Later Pythons draw characters that are newer than the table."""
    return ord(character) <= LASTS[bisect(FIRSTS, ord(character)) - 1]


characters = st.characters(exclude_categories=("Cs", "Cn", "Cc")).filter(is_assigned_in_14)
texts = st.text(characters | st.sampled_from('\n\t"\\/'), max_size=30).map(
    lambda text: unicodedata.normalize("NFC", text)
)
numbers = st.integers(0, 2**53 - 1)
samples = st.builds(
    Sample,
    text=texts,
    amount=numbers,
    zone=texts | st.just(UNSET),
    flag=st.booleans() | st.just(UNSET),
    colour=st.sampled_from(Colour) | st.just(UNSET),
    items=st.lists(st.builds(Item, name=texts, value=numbers), max_size=3).map(tuple)
    | st.just(UNSET),
)

ID = "0190a1b2-0000-7000-8000-000000000001"
ENVELOPE = Envelope(
    network="test",
    message_id=ID,
    document_id=ID,
    from_="H29",
    to="G01.22",
    to_node="G01",
    epoch=ID,
    seq=1,
    created="2026-11-23T03:04:05.678Z",
    expires="2026-12-23T03:04:05.678Z",
    urgency=Urgency.NORMAL,
    operation=Operation.NEW,
    parts=(
        Part(
            index=0,
            name="Quyết định số 28 (bản ký).pdf",
            media_type="application/pdf",
            size=1,
            sha256="0" * 64,
        ),
    ),
)
ENVELOPE_BYTES = canonical.encode(ENVELOPE)


def sample(text: str) -> bytes:
    """Bytes of a sample whose text is exactly this JSON, quotes included."""
    return (
        b'{"amount":1,"text":'
        + text.encode("utf-8", "surrogatepass")
        + b',"type":"edoc.sample/v1"}'
    )


def composed_with() -> set[str]:
    """Characters that may compose with the one in front of them."""
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(0x110000))
    return {chr(int(pair[1], 16)) for pair in parts if len(pair) == 2 and pair[0][0] != "<"}


def test_everyday_characters_are_those_that_need_no_look() -> None:
    seconds = composed_with()
    everyday = [
        character
        for character in map(chr, range(0xA0, 0x110000))
        if canonical._EVERYDAY.fullmatch(character)
    ]
    assert set("ăâđêôơưĂÂĐÊÔƠƯếẾộỘữỮỳỹ–—“”…₫") <= set(everyday)
    for character in everyday:
        assert canonical.text_fault(character) is None
        assert unicodedata.combining(character) == 0
        assert character not in seconds
    for left in everyday:
        assert unicodedata.is_normalized("NFC", left + left.join(everyday))


@pytest.mark.parametrize("text", ["e\u0301", "ế\u0323", "\u00e9\x7f", "ế\x9f", "ế\uffff"])
def test_an_everyday_letter_does_not_hide_what_stands_beside_it(text: str) -> None:
    with pytest.raises(NotCanonicalError):
        canonical.decode(sample(f'"{text}"'), Sample)


@given(samples)
def test_bytes_are_those_of_rfc_8785_and_read_back_as_the_same(value: Sample) -> None:
    data = canonical.encode(value)
    assert data == rfc8785.dumps(msgspec.to_builtins(value))
    assert canonical.decode(data, Sample) == value


def test_the_type_is_sorted_among_the_other_keys() -> None:
    data = canonical.encode(Sample(text="x", amount=1, zone="z"))
    assert data == b'{"amount":1,"text":"x","type":"edoc.sample/v1","zone":"z"}'


@given(samples, st.data())
def test_bytes_with_one_changed_are_another_statement_or_refused(
    value: Sample, data: st.DataObject
) -> None:
    good = canonical.encode(value)
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 2))
    _read_same_or_refuse(good[:at] + data.draw(st.binary(max_size=2)) + good[at + cut :])


@given(st.binary(max_size=200) | texts.map(str.encode))
@example(b"")
@example(b"null")
@example(b"[" * 60_000)
def test_any_bytes_are_a_statement_or_refused(data: bytes) -> None:
    _read_same_or_refuse(data)


def _read_same_or_refuse(data: bytes) -> None:
    try:
        value = canonical.decode(data, Sample)
    except REFUSALS:
        return
    assert canonical.encode(value) == data
    assert rfc8785.dumps(json.loads(data)) == data


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_vectors_that_are_canonical_are_accepted(case: dict) -> None:
    data = bytes.fromhex(case["bytes"])
    assert json.loads(data) == case["value"]
    assert canonical.encode(canonical.decode(data, Sample)) == data
    assert canonical.encode(msgspec.convert(case["value"], Sample)) == data


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_vectors_that_are_not_canonical_are_refused(case: dict) -> None:
    with pytest.raises(REFUSALS) as caught:
        canonical.decode(bytes.fromhex(case["bytes"]), Sample)
    assert caught.value.reason == case["reason"]


def test_t11_vectors_of_altered_statements_are_refused_for_a_named_place() -> None:
    with pytest.raises(NotCanonicalError) as caught:
        canonical.decode(ENVELOPE_BYTES.replace(b'"seq":1', b'"seq":-1'), Envelope)
    assert caught.value.fields["where"] == "$.seq"
    with pytest.raises(NotCanonicalError) as caught:
        canonical.decode(ENVELOPE_BYTES + b" ", Envelope)
    assert caught.value.fields["where"] == f"byte {len(ENVELOPE_BYTES)}"


ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "space_at_the_end": lambda data: data + b" ",
    "space_at_the_start": lambda data: b" " + data,
    "space_inside": lambda data: data.replace(b'"seq":1', b'"seq": 1'),
    "line_end": lambda data: data + b"\r\n",
    "nul_at_the_end": lambda data: data + b"\0",
    "byte_order_mark": lambda data: b"\xef\xbb\xbf" + data,
    "utf_16": lambda data: data.decode().encode("utf-16"),
    "key_twice": lambda data: data.replace(b'"seq":1', b'"seq":2,"seq":1'),
    "same_key_and_value_twice": lambda data: data.replace(b'"seq":1', b'"seq":1,"seq":1'),
    "type_twice": lambda data: data.replace(
        b'"type":"edoc.envelope/v1"', b'"type":"edoc.envelope/v1","type":"edoc.envelope/v1"'
    ),
    "keys_in_another_order": lambda data: data.replace(
        b'"seq":1,"to":"G01.22"', b'"to":"G01.22","seq":1'
    ),
    "unknown_key": lambda data: data.replace(b'"seq":1', b'"seq":1,"sex":1'),
    "unknown_key_inside": lambda data: data.replace(b'"size":1', b'"size":1,"sizf":1'),
    "key_in_upper_case": lambda data: data.replace(b'"seq"', b'"Seq"'),
    "field_missing": lambda data: data.replace(b'"seq":1,', b""),
    "null": lambda data: data.replace(b'"document_id"', b'"about":null,"document_id"', 1),
    "text_not_nfc": lambda data: data.replace(
        "Quyết".encode(), unicodedata.normalize("NFD", "Quyết").encode()
    ),
    "needless_escape": lambda data: data.replace(b"H29", b"H2\\u0039"),
    "escaped_slash": lambda data: data.replace(b"application/pdf", b"application\\/pdf"),
    "float": lambda data: data.replace(b'"seq":1', b'"seq":1.0'),
    "exponent": lambda data: data.replace(b'"seq":1', b'"seq":1e0'),
    "minus_zero": lambda data: data.replace(b'"index":0', b'"index":-0'),
    "leading_zero": lambda data: data.replace(b'"seq":1', b'"seq":01'),
    "number_as_text": lambda data: data.replace(b'"seq":1', b'"seq":"1"'),
    "broken_utf_8": lambda data: data.replace("ế".encode(), "ế".encode()[:2]),
    "surrogate": lambda data: data.replace("ế".encode(), b"\xed\xa0\x80"),
    "escaped_surrogate": lambda data: data.replace("ế".encode(), b"\\ud83d"),
    "escaped_surrogate_pair": lambda data: data.replace("ế".encode(), b"\\ud83d\\ude00"),
    "unassigned_character": lambda data: data.replace("ế".encode(), "\U0001fadc".encode()),
    "noncharacter": lambda data: data.replace("ế".encode(), "\ufffe".encode()),
    "control_character": lambda data: data.replace("ế".encode(), b"\\u0007"),
    "carriage_return": lambda data: data.replace("ế".encode(), b"\\r"),
    "delete_character": lambda data: data.replace("ế".encode(), b"\x7f"),
    "c1_control_character": lambda data: data.replace("ế".encode(), "\u0085".encode()),
    "two_statements": lambda data: data + data,
    "in_a_list": lambda data: b"[" + data + b"]",
    "cut_short": lambda data: data[:-1],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_t11_an_altered_or_reencoded_envelope_is_refused(name: str) -> None:
    altered = ALTERATIONS[name](ENVELOPE_BYTES)
    assert altered != ENVELOPE_BYTES
    with pytest.raises((NotCanonicalError, StatementTypeError)):
        canonical.decode(altered, Envelope)


def test_t13_a_receipt_is_not_read_as_an_envelope_nor_the_reverse() -> None:
    receipt = canonical.encode(
        Receipt(
            network="test",
            envelope="0" * 64,
            message_id=ID,
            from_="G01.22",
            to="H29",
            result="received",
            time="2026-11-23T03:04:05.678Z",
        )
    )
    for data, wrong in ((receipt, Envelope), (ENVELOPE_BYTES, Receipt)):
        with pytest.raises(StatementTypeError):
            canonical.decode(data, wrong)


@pytest.mark.parametrize(
    "data",
    [b'{"amount":1,"text":"x"}', b'{"amount":1,"text":"x","type":"edoc.sample/v2"}', b"{}"],
    ids=["none", "another version", "nothing at all"],
)
def test_t13_a_statement_without_its_type_is_refused(data: bytes) -> None:
    with pytest.raises(StatementTypeError):
        canonical.decode(data, Sample)


def test_a_type_in_the_wrong_place_does_not_make_up_for_a_missing_one() -> None:
    with pytest.raises(REFUSALS):
        canonical.decode(b'{"amount":1,"text":"edoc.sample/v1"}', Sample)


def test_bytes_over_the_limit_are_not_read_at_all() -> None:
    with pytest.raises(StatementTooLargeError) as caught:
        canonical.decode(b"\xff" * 65_537, Sample)
    assert caught.value.fields == {"size": "65537", "limit": "65536"}


def test_the_limit_itself_is_allowed_and_can_be_another() -> None:
    room = canonical.MAX_STATEMENT_BYTES - len(canonical.encode(Sample(text="", amount=1)))
    data = canonical.encode(Sample(text="x" * room, amount=1))
    assert canonical.decode(data, Sample).text == "x" * room
    with pytest.raises(StatementTooLargeError):
        canonical.encode(Sample(text="x" * (room + 1), amount=1))
    with pytest.raises(StatementTooLargeError):
        canonical.decode(data, Sample, limit=100)
    large = canonical.encode(Sample(text="x" * 100_000, amount=1), limit=canonical.MAX_RECORD_BYTES)
    assert canonical.decode(large, Sample, limit=canonical.MAX_RECORD_BYTES).amount == 1


@pytest.mark.parametrize("bracket", [b"[", b'{"a":', b'{"items":['])
def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack(bracket: bytes) -> None:
    for head in (b"", b'{"amount":1,"deep":', b'{"text":'):
        data = (head + bracket * 1_000_000)[: canonical.MAX_RECORD_BYTES]
        with pytest.raises(REFUSALS):
            canonical.decode(data, Sample, limit=canonical.MAX_RECORD_BYTES)


@pytest.mark.parametrize("amount", [2**53, 2**63, 2**64, 10**30, -1])
def test_integers_outside_0_to_2_53_are_refused_both_ways(amount: int) -> None:
    data = b'{"amount":%d,"text":"x","type":"edoc.sample/v1"}' % amount
    with pytest.raises(NotCanonicalError):
        canonical.decode(data, Sample)
    with pytest.raises(ValueError, match="Sample"):
        canonical.encode(Sample(text="x", amount=amount))


@pytest.mark.parametrize("text", ["\n\u0303", "\\\u0301", '"\u0301', "e\\\u0301", "\t\u0301x\\n"])
def test_escapes_do_not_change_what_is_nfc(text: str) -> None:
    assert unicodedata.is_normalized("NFC", text)
    data = canonical.encode(Sample(text=text, amount=1))
    assert canonical.decode(data, Sample).text == text


@pytest.mark.parametrize("text", ["\\n", "\\\\n", "\\u0007", '\\"', "\\\\", "\\b", "\n\\", "C:\\b"])
def test_a_backslash_in_a_text_is_a_character_like_others(text: str) -> None:
    data = canonical.encode(Sample(text=text, amount=1))
    assert canonical.decode(data, Sample).text == text


@pytest.mark.parametrize(
    "text",
    [
        "a\0",
        "\r\n",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\ud800",
        "e\u0301",
        "\ufffe",
        "\U0001fadc",
        "\u0378",
    ],
)
def test_text_that_may_not_stand_in_a_statement_is_refused_when_writing(text: str) -> None:
    for long in ("", "x" * 5000):
        with pytest.raises(NotCanonicalError):
            canonical.check_text(long + text)
        with pytest.raises(NotCanonicalError):
            canonical.encode(Sample(text=long + text, amount=1))


@pytest.mark.parametrize(
    "text", ["", "Quyết định\n\t1.", "日本語", "😀", "\u200d", "\ue000", "\u2028", "x" * 5000 + "ế"]
)
def test_other_text_may(text: str) -> None:
    canonical.check_text(text)
    assert canonical.decode(canonical.encode(Sample(text=text, amount=1)), Sample).text == text


@pytest.mark.parametrize(
    "value",
    [
        Sample(text=1, amount=1),
        Sample(text=None, amount=1),
        Sample(text="x", amount=1.0),
        Sample(text="x", amount=True),
        Sample(text={1}, amount=1),
        Sample(text="x", amount=1, colour="green"),
        Sample(text="x", amount=1, items=(ENVELOPE,)),
    ],
    ids=repr,
)
def test_a_value_of_the_wrong_kind_is_a_fault_of_the_program(value: Sample) -> None:
    with pytest.raises(ValueError, match="Sample has a field of the wrong kind"):
        canonical.encode(value)


def test_agency_codes_and_other_subclasses_of_text_are_written_as_text() -> None:
    class Code(str):
        __slots__ = ()

    assert canonical.encode(Sample(text=Code("H29"), amount=1)) == sample('"H29"')


def test_the_type_of_unread_bytes_can_be_asked() -> None:
    assert canonical.statement_type(ENVELOPE_BYTES) == "edoc.envelope/v1"
    for data in (b"{}", b"[]", b"", b'{"type":1}', b"\xff", b'{"a":' + b"[" * 60_000):
        with pytest.raises(StatementTypeError):
            canonical.statement_type(data)
    with pytest.raises(StatementTooLargeError):
        canonical.statement_type(ENVELOPE_BYTES, limit=10)
