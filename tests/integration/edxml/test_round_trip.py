"""What goes out as edXML comes back as it was, and what came in goes out again."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edoccore.signing import canonical
from edoccore.signing.readers import converted
from edoccore.signing.records import DocumentRecord
from edocnode.domain.checks import MIN_REASON
from edocnode.edxml.model import ActionKind
from edocnode.edxml.tree import shape
from edocnode.edxml.writing import OutFile, parse_elements, write_package
from tests.integration.edxml.packages import (
    EXPORTING,
    NOW,
    SAMPLES,
    action_and_files,
    for_writing,
    sample,
    written,
)

LETTERS = "abcdđĐẮẶỆứữỹ ƠƯ0189<>&\"'/,.;-()[]{}\n\t…–₫"


def texts(most: int, *, letters: str = LETTERS) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=1, max_size=min(most, 40)).filter(str.strip)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


DAYS = st.dates(min_value=NOW.date().replace(year=1950)).map(lambda day: day.isoformat())
TIMES = st.datetimes(
    min_value=NOW.replace(year=1990, tzinfo=None), max_value=NOW.replace(year=2200, tzinfo=None)
).map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z")
CODES = st.sampled_from(["H29", "G22", "H37.DN.001", "000.00.00.G22", "G01.22", "L"])
IDS = st.uuids(version=4).map(lambda item: f"{str(item)[:14]}7{str(item)[15:]}")
COUNTS = st.integers(0, (1 << 53) - 1)
REFERENCES = st.lists(
    optional(
        document_id=IDS,
        document_code=texts(200),
        agency=CODES,
        number=texts(100),
        notation=texts(100),
        issued_date=DAYS,
    ),
    min_size=1,
    max_size=3,
)
STAFF = optional(
    full_name=texts(100),
    staff_id=texts(100),
    department=texts(200),
    department_id=texts(100),
    email=texts(100),
    phone=texts(100),
)
RECORDS = st.fixed_dictionaries(
    {
        "issuer": st.fixed_dictionaries(
            {"code": CODES},
            optional={
                "name": texts(200),
                "parent": texts(200),
                "address": texts(500),
                "email": texts(100),
                "phone": texts(100),
                "fax": texts(100),
                "website": texts(200),
            },
        ),
        "subject": texts(500),
    },
    optional={
        "document_code": texts(200),
        "number": texts(11),
        "notation": texts(30),
        "document_type": st.sampled_from(["QĐ", "CV", "BC", "Quyết định", "Đơn", "TTr"])
        | texts(100),
        "issued_date": DAYS,
        "issued_place": texts(100),
        "content": texts(10_000),
        "signer": optional(
            authority=st.sampled_from(["TM.", "KT.", "TUQ."]),
            position=texts(100),
            full_name=texts(100),
        ),
        "due_date": DAYS,
        "deliver_by": TIMES,
        "dossier_file": optional(
            agency=CODES,
            year=st.integers(1900, 9999),
            notation=texts(20),
            ordinal=st.integers(1, 999),
        ),
        "copy_form": st.sampled_from(["SY", "TrS", "SL"]),
        "language": texts(30),
        "description": texts(500),
        "page_count": COUNTS,
        "issued_count": COUNTS,
        "to_places": st.lists(texts(200), min_size=1, max_size=4),
        "appendices": st.lists(texts(500), min_size=1, max_size=4),
        "in_reply_to": REFERENCES,
        "references": REFERENCES,
        "replaces": REFERENCES,
        "corrects": REFERENCES,
        "recipient_changes": st.lists(
            st.fixed_dictionaries({"code": CODES, "change": st.sampled_from(["added", "removed"])}),
            min_size=1,
            max_size=3,
        ),
        "circulation_scope": texts(100),
        "typist": texts(100),
        "is_direction": st.booleans(),
        "task_code": texts(100),
        "steering_type": st.integers(0, 3),
        "application": texts(100),
        "paper_also_sent": st.booleans(),
        "reason": texts(1000),
        "staff": STAFF,
        "trace": st.lists(
            st.fixed_dictionaries({"agency": CODES, "time": TIMES}), min_size=1, max_size=3
        ),
        "extensions": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["vendor:x", "eoffice"]), "value": texts(50)}
            ),
            min_size=1,
            max_size=2,
        ),
    },
)
URGENCIES = st.sampled_from(["normal", "khan", "thuong_khan", "hoa_toc"])


def test_the_strategy_has_every_field_of_the_record() -> None:
    filled_in = {"network", "document_id", "recipients"}
    assert set(DocumentRecord.__struct_fields__) - filled_in == set(_keys())


@given(
    fields=RECORDS,
    urgency=URGENCIES,
    recipients=st.lists(CODES, min_size=1, unique=True),
    kind=st.sampled_from([ActionKind.NEW, ActionKind.UPDATE, ActionKind.REPLACE]),
    target=texts(200).map(lambda text: " ".join(text.split())),
)
def test_export_then_import_gives_the_same_document(
    fields: dict[str, Any], urgency: str, recipients: list[str], kind: ActionKind, target: str
) -> None:
    if kind is not ActionKind.NEW:
        fields = {"reason": "Bổ sung phụ lục còn thiếu", **fields}
        assume(len(fields["reason"].strip()) >= MIN_REASON)
    if kind is ActionKind.REPLACE:
        fields = {**fields, "replaces": [{"document_code": target}, *fields.get("replaces", [])]}
    urgency = "hoa_toc" if "deliver_by" in fields else urgency
    _check(fields)
    files = {"Quyết định 28.pdf": b"%PDF-1.7 " * 9000, "b.pdf": b""}
    given_out = {**fields, "_to": recipients, "_urgency": urgency, "_operation": kind}
    given_out |= {"_target": target} if kind is ActionKind.UPDATE else {}
    action, came = action_and_files(written(given_out, files))
    trace = action.fields["trace"]
    back = {**action.fields, "trace": trace[:-1]}
    assert trace[-1]["agency"] == "H29", "the hop of the exporting node"
    assert {name: value for name, value in back.items() if value != []} == fields
    assert (action.kind, action.urgency, action.sender) == (
        kind,
        urgency,
        fields["issuer"]["code"],
    )
    if kind is not ActionKind.NEW:
        assert action.targets[0].document_code == target
    assert list(action.recipients) == recipients
    assert came == files


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("[!T]*.edxml")), ids=lambda path: path.stem)
def test_import_then_export_then_import_keeps_all_that_was_said(path: Any) -> None:
    action, files = action_and_files(path.read_bytes())
    again, files_again = action_and_files(written(for_writing(action), files))
    expected = {**action.fields, "trace": [*action.fields["trace"], again.fields["trace"][-1]]}
    assert again.fields == expected
    assert (again.kind, again.urgency, again.recipients) == (
        action.kind,
        action.urgency,
        action.recipients,
    )
    assert files_again == files


def test_unknown_elements_are_written_back_in_their_places() -> None:
    action, files = action_and_files(sample("Hỏa tốc hẹn giờ, phần tử riêng.edxml"))
    text = written(for_writing(action), files).decode()
    header = text[text.index("<edXML:MessageHeader>") : text.index("</edXML:MessageHeader>")]
    for kept in (
        "<edXML:Feedback>true</edXML:Feedback>",
        "<edXML:ExecuteRole>Chủ trì</edXML:ExecuteRole>",
        'MucDoBaoMat xmlns:n1="urn:vendor:eoffice">Thường<',
        "<edXML:ReplyFors>Công văn 12/UBND-VX</edXML:ReplyFors>",
        "<edXML:DueDate>2026/11/21 17:30:00</edXML:DueDate>",
        "<edXML:Priority>4</edXML:Priority>",
        "<edXML:TypeDetail>0</edXML:TypeDetail>",
    ):
        assert kept in header, kept
    assert "<edXML:ErrorCode>00</edXML:ErrorCode>" in text[text.index("</edXML:MessageHeader>") :]
    assert header.count("<edXML:Subject>") == 1


def test_an_element_that_was_kept_gives_way_when_the_field_says_otherwise() -> None:
    action, _ = action_and_files(sample("Văn bản mới.edxml"))
    changed = {**for_writing(action), "document_type": "QĐ"}
    again, _ = action_and_files(written(changed))
    assert again.fields["document_type"] == "QĐ"


def test_an_extension_cannot_say_a_second_time_what_a_field_says() -> None:
    action, _ = action_and_files(sample("Văn bản mới.edxml"))
    subject = (
        '<edXML:Subject xmlns:edXML="http://www.mic.gov.vn/TBT/QCVN_102_2016">Khác</edXML:Subject>'
    )
    hostile = [
        {"name": "edxml:MessageHeader/Foo", "value": subject},
        {"name": "edxml:MessageHeader/Subject", "value": subject},
        {
            "name": "edxml:edXMLHeader/MessageHeader",
            "value": subject.replace("Subject", "MessageHeader"),
        },
        {"name": "edxml:MessageHeader/X", "value": "<!DOCTYPE a><X/>"},
        {"name": "edxml:MessageHeader/X", "value": "</edXML><edXML>"},
    ]
    text = written({**for_writing(action), "extensions": hostile}).decode()
    assert "Khác" not in text
    assert "DOCTYPE" not in text
    assert action_and_files(text.encode())[0].fields["subject"] == action.fields["subject"]


def test_our_own_element_adds_and_never_contradicts() -> None:
    fields = {"issuer": {"code": "H29"}, "subject": "Quy chế", "language": "Tiếng Việt"}
    text = written({**fields, "_to": ["G22"]}).decode()
    assert action_and_files(text.encode())[0].fields["language"] == "Tiếng Việt"
    lying = text.replace('"language"', '"subject":"Khác","language"')
    assert lying != text
    found, _ = action_and_files(lying.encode())
    assert found.fields["subject"] == "Quy chế"


def test_large_attachments_are_written_and_read_in_pieces_of_any_size() -> None:
    data = bytes(range(256)) * 1111
    for size in (1, 57, 58, 1000, 58_368, 100_000):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        out: list[bytes] = []
        file = OutFile(
            name="a.bin", media_type="application/octet-stream", chunks=lambda pieces=pieces: pieces
        )
        fields = {"issuer": {"code": "H29"}, "subject": "x", "_to": ["G22"]}
        write_package(out.append, fields, [file], EXPORTING)
        assert action_and_files(b"".join(out))[1] == {"a.bin": data}


def test_two_forms_of_one_element_have_one_shape() -> None:
    spaced, plain = (
        parse_elements(text)[0]
        for text in (
            "<Code> <CodeNumber> 1 </CodeNumber>\n<Fax/></Code>",
            "<Code><CodeNumber>1</CodeNumber></Code>",
        )
    )
    assert shape(spaced) == shape(plain)


def _keys() -> list[str]:
    found: set[str] = set()

    @settings(max_examples=200, deadline=None, database=None)
    @given(fields=RECORDS)
    def collect(fields: dict[str, Any]) -> None:
        found.update(fields)

    collect()
    return sorted(found)


def _check(fields: dict[str, Any]) -> None:
    """The record is one that a node takes."""
    filled = {
        "type": "edoc.document/v1",
        "network": "n",
        "document_id": "019a2b3c-4d5e-7f60-8a1b-000000000002",
        "recipients": ["H29"],
    }
    canonical.encode(converted({**filled, **fields}, DocumentRecord), limit=4 << 20)
