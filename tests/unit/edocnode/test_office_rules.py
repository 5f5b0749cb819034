"""What an office may hand in: everything that is refused before a byte of the parts has come."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest

from edoccore.directory.layout import AgencyState
from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    EdocError,
    FromNotOwnedError,
    LimitExceededError,
    NotCanonicalError,
    PartNameError,
    RecordInvalidError,
    RequestInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord
from edoccore.signing.statements import Operation, Urgency
from edocnode.domain.media_types import media_type_of
from edocnode.domain.model import DocumentId, MessageId, Submission
from edocnode.domain.office import (
    DeclaredPart,
    SendTimePastError,
    SubmitHeader,
    admit,
    build_record,
    build_submission,
    new_id,
    spellings,
)
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
FIELDS = json.dumps({"subject": "Về việc kết nối"}, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def nation() -> Nation:
    made = Nation.create(NOW)
    made.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"])
    made.add_agency("G01", "Bộ Nội vụ", owns=["G01.22"], aliases=["000.00.00.G01"])
    made.add_agency("G09", "Bộ đã đình chỉ")
    made.set_state("G09", AgencyState.SUSPENDED)
    made.add_agency("G10", "Bộ chưa có nút")
    made.entries["G10"] = msgspec.structs.replace(made.entries["G10"], seals=())
    return made


@pytest.fixture(scope="module")
def directory(nation: Nation) -> Directory:
    return nation.directory()


def header(**changes: object) -> SubmitHeader:
    given = {
        "request_id": "r-1",
        "sender": "",
        "recipients": ("G01",),
        "urgency": Urgency.NORMAL,
        "record_size": len(FIELDS),
        "parts": (DeclaredPart(name="Công văn.pdf", media_type="", size=5),),
        "lifetime": None,
    }
    return SubmitHeader(**(given | changes))


def submission(directory: Directory, fields: bytes = FIELDS, **changes: object) -> Submission:
    admitted = admit(header(**changes), directory, "H29", now=NOW)
    document_id = DocumentId(new_id(NOW, b"0123456789"))
    record = build_record(admitted, fields, network=directory.network, document_id=document_id)
    return build_submission(
        admitted,
        record,
        [sha256(part.name.encode()).digest() for part in admitted.parts],
        fields_digest=sha256(fields).digest(),
        document_id=document_id,
        message_ids=[MessageId(bytes([place]) * 16) for place in range(len(admitted.recipients))],
        inline=record.data,
    )


def test_document_gets_its_record_and_a_delivery_for_each_recipient(directory: Directory) -> None:
    made = submission(directory, recipients=("G01.22", "H29.5"))
    assert [(item.recipient, item.to_node) for item in made.deliveries] == [
        ("G01.22", "G01"),
        ("H29.5", "H29"),
    ]
    assert (made.sender, made.operation, made.about) == ("H29", Operation.NEW, None)
    record = canonical.decode(made.inline, DocumentRecord, limit=canonical.MAX_RECORD_BYTES)
    assert record.recipients == ("G01.22", "H29.5")
    assert record.issuer.name == "Ủy ban nhân dân tỉnh Hà Tĩnh"
    assert made.listing == {"subject": "Về việc kết nối"}
    assert made.parts[0].sha256 == sha256(made.inline).hexdigest()
    assert [(part.index, part.media_type) for part in made.parts[1:]] == [(1, "application/pdf")]
    assert made.expires == NOW + timedelta(days=30)


def test_one_unknown_recipient_sends_nothing(directory: Directory) -> None:
    with pytest.raises(AgencyUnknownError, match="X99"):
        admit(header(recipients=("G01", "X99")), directory, "H29", now=NOW)


def test_old_code_is_written_as_the_present_one(directory: Directory) -> None:
    (delivery,) = submission(directory, recipients=("000.00.00.G01",)).deliveries
    assert delivery.recipient == "G01"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"recipients": ()}, RequestInvalidError),
        ({"recipients": ("G01", "G01")}, RequestInvalidError),
        ({"recipients": ("G01", "000.00.00.G01")}, RequestInvalidError),
        ({"recipients": ("G09",)}, AgencyInactiveError),
        ({"recipients": ("G10",)}, AgencyInactiveError),
        ({"recipients": ("G01",) * 5001}, LimitExceededError),
        ({"sender": "G01"}, FromNotOwnedError),
        ({"sender": "X99"}, AgencyUnknownError),
        ({"request_id": ""}, RequestInvalidError),
        ({"request_id": "a" * 65}, RequestInvalidError),
        ({"request_id": "a b"}, RequestInvalidError),
        ({"lifetime": timedelta(days=91)}, RequestInvalidError),
        ({"record_size": 4 * 1024 * 1024 + 1}, LimitExceededError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_contradictory_request_is_refused(
    directory: Directory, changes: dict[str, object], error: type[EdocError]
) -> None:
    with pytest.raises(error):
        admit(header(**changes), directory, "H29", now=NOW)


def parts(*names: str, media_type: str = "", size: int = 1) -> tuple[DeclaredPart, ...]:
    return tuple(DeclaredPart(name=name, media_type=media_type, size=size) for name in names)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (parts("../x"), PartNameError),
        (parts("a.pdf", "A.PDF"), PartNameError),
        (parts("record.json"), PartNameError),
        (parts(*(f"{number}.pdf" for number in range(100))), LimitExceededError),
        (parts("a.pdf", media_type="Application/PDF"), RequestInvalidError),
        (parts("a.pdf", size=(1 << 42) + 1), LimitExceededError),
    ],
    ids=["climbs", "twins", "record", "hundred", "media type", "too large"],
)
def test_bad_part_is_refused_before_its_bytes_come(
    directory: Directory, given: tuple[DeclaredPart, ...], error: type[EdocError]
) -> None:
    with pytest.raises(error):
        admit(header(parts=given), directory, "H29", now=NOW)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (b"{", RecordInvalidError),
        (b"[]", RecordInvalidError),
        (b"{}", RecordInvalidError),
        (b'{"subject":""}', RecordInvalidError),
        (b'{"subject":"a","network":"other"}', RecordInvalidError),
        (b'{"subject":"a","document_id":"x"}', RecordInvalidError),
        (b'{"subject":"a","unknown":1}', RecordInvalidError),
        (b'{"subject":"a","due_date":"soon"}', RecordInvalidError),
        ('{"subject":"e\u0301"}'.encode(), NotCanonicalError),
        (b'{"subject":"a\\u0007"}', NotCanonicalError),
    ],
    ids=[
        "not JSON", "a list", "no subject", "empty subject", "network", "document id", "unknown",
        "due date", "not NFC", "bell",
    ],
)  # fmt: skip
def test_bad_field_of_the_record_is_named(
    directory: Directory, fields: bytes, error: type[EdocError]
) -> None:
    with pytest.raises(error):
        submission(directory, fields)


def test_same_request_has_the_same_hash_and_any_other_another(directory: Directory) -> None:
    first = submission(directory).request_hash
    assert submission(directory, request_id="r-2").request_hash == first
    others = [
        submission(directory, b'{"subject":"other"}'),
        submission(directory, recipients=("G01", "H29.5")),
        submission(directory, sender="H29.5"),
        submission(directory, urgency=Urgency.HOA_TOC),
        submission(directory, lifetime=timedelta(days=1)),
        submission(directory, parts=parts("other.pdf", size=5)),
        submission(directory, parts=()),
    ]
    assert len({first, *(item.request_hash for item in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tờ trình.PDF", "application/pdf"),
        ("bảng.tính.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("không đuôi", "application/octet-stream"),
    ],
)
def test_ending_tells_the_media_type(name: str, expected: str) -> None:
    assert media_type_of(name) == expected


def test_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    first, second = new_id(NOW, b"\xff" * 10), new_id(NOW + timedelta(milliseconds=1), b"\0" * 10)
    assert first < second
    assert (first[6] >> 4, first[8] >> 6) == (7, 2)


DAY = timedelta(days=1)


def test_delivery_is_tried_for_its_whole_lifetime_from_the_moment_of_sending_on(
    directory: Directory,
) -> None:
    made = submission(directory, send_at=NOW + 10 * DAY)
    assert (made.created, made.send_at) == (NOW, NOW + 10 * DAY)
    assert made.expires == NOW + 40 * DAY
    last = submission(directory, send_at=NOW + 60 * DAY)
    assert last.expires == NOW + 90 * DAY
    short = submission(directory, send_at=NOW + 89 * DAY, lifetime=DAY)
    assert short.expires == NOW + 90 * DAY


@pytest.mark.parametrize("moment", [NOW, NOW - DAY])
def test_document_is_not_sent_in_the_past(directory: Directory, moment: datetime) -> None:
    with pytest.raises(SendTimePastError, match="past"):
        admit(header(send_at=moment), directory, "H29", now=NOW)


def test_document_is_not_sent_so_late_that_its_envelope_would_live_too_long(
    directory: Directory,
) -> None:
    late = NOW + 60 * DAY + timedelta(milliseconds=1)
    with pytest.raises(RequestInvalidError, match="90 days") as refused:
        admit(header(send_at=late), directory, "H29", now=NOW)
    assert "2027-01-22T03:00:00.000Z" in refused.value.hint


def test_request_for_another_time_is_another_request(directory: Directory) -> None:
    hashes = {
        submission(directory, send_at=moment).request_hash
        for moment in (None, NOW + DAY, NOW + 2 * DAY)
    }
    assert len(hashes) == 3


OFFICIAL = {"subject": "a", "number": "28", "notation": "QĐ-UBND", "issued_date": "2026-11-23"}


def record_of(directory: Directory, fields: dict[str, object]) -> DocumentRecord:
    made = submission(directory, json.dumps(fields).encode())
    return canonical.decode(made.inline, DocumentRecord)


def test_document_with_number_and_day_gets_the_identifier_of_edxml(directory: Directory) -> None:
    assert record_of(directory, OFFICIAL).document_code == "H29,2026/11/23,28/QĐ-UBND"
    other = {"code": "H29.5", "name": "Sở Nội vụ"}
    assert record_of(directory, {**OFFICIAL, "issuer": other}).document_code == (
        "H29.5,2026/11/23,28/QĐ-UBND"
    )


def test_own_identifier_of_a_document_is_kept_as_it_is(directory: Directory) -> None:
    own = "000.00.29.H29.2026.000028"
    assert record_of(directory, {**OFFICIAL, "document_code": own}).document_code == own


def test_document_without_number_gets_no_identifier(directory: Directory) -> None:
    assert record_of(directory, {"subject": "a"}).document_code is msgspec.UNSET


@pytest.mark.parametrize("fields", [{"content": "e\u0302"}, {"to_places": ["a", "e\u0302"]}])
def test_text_in_decomposed_form_is_refused_by_its_field(
    directory: Directory, fields: dict[str, object]
) -> None:
    with pytest.raises(NotCanonicalError) as caught:
        record_of(directory, {"subject": "a", **fields})
    (name,) = fields
    assert caught.value.message.startswith(f"The field {name} of the document")
    assert "NFC" in caught.value.hint


def test_language_has_the_length_of_the_decree(directory: Directory) -> None:
    assert record_of(directory, {"subject": "a", "language": "a" * 30}).language == "a" * 30
    with pytest.raises(RecordInvalidError, match="language"):
        record_of(directory, {"subject": "a", "language": "a" * 31})


def test_old_and_new_spelling_of_a_code_find_the_same_documents(directory: Directory) -> None:
    assert spellings("", directory) == ()
    assert spellings("G01", directory) == ("G01", "000.00.00.G01")
    assert set(spellings("000.00.00.G01", directory)) == {"G01", "000.00.00.G01"}
    with pytest.raises(AgencyUnknownError):
        spellings("000.00.00.G77", directory)
