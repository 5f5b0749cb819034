"""A node that numbers documents for its agency, over its office service."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from edoccore.errors import (
    DecisionConflictError,
    EdocError,
    RecordInvalidError,
    RequestInvalidError,
)
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, read_part, text
from tests.support.nodes import TestNode, make_pair, running, until

Pair = tuple[TestNode, TestNode]
FIELDS = {"subject": "Về việc thử", "notation": "QĐ-UBND", "document_type": "QĐ"}


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    _, sender, recipient = make_pair(tmp_path)
    numbering = {"numbering": ("H29",), "numbering_series": {"CV": "công văn"}}
    sender.settings = sender.settings.model_copy(update=numbering)
    async with running(sender, recipient):
        yield sender, recipient


async def send(
    node: TestNode, request_id: str, sender: str = "", **fields: object
) -> office.SubmitResponse:
    record = json.dumps({**FIELDS, **fields}).encode()
    header = office.SubmitHeader(
        request_id=request_id,
        sender=sender,
        recipients=["G01"],
        record_size=len(record),
        number_here=True,
    )
    requests = [office.SubmitRequest(header=header), office.SubmitRequest(chunk=record)]
    async with node.office() as stub:
        return await stub.Submit(iter(requests))


async def numbers(node: TestNode, **series: object) -> list[office.NumberEntry]:
    async with node.office() as stub:
        listed = await stub.ListNumbers(
            office.ListNumbersRequest(series=office.NumberSeries(**series))
        )
    return list(listed.numbers)


async def test_numbered_document_travels_with_number_day_and_identifier(pair: Pair) -> None:
    sender, recipient = pair
    answer = await send(sender, "r-1", issued_date="2026-11-23")
    assert answer.number == "1"
    await until(lambda: recipient.inbox() == 1)
    record = json.loads(await read_part(recipient, text(answer.document_id), 0))
    assert record["number"] == "1"
    assert record["document_code"] == "H29,2026/11/23,1/QĐ-UBND"
    [entry] = await numbers(sender, year=2026)
    assert (entry.state, entry.document_id) == (office.NUMBER_STATE_USED, answer.document_id)


async def test_repeated_request_has_the_same_number_and_takes_no_other(pair: Pair) -> None:
    sender, _ = pair
    first = await send(sender, "r-1", issued_date="2026-11-23")
    again = await send(sender, "r-1", issued_date="2026-11-23")
    assert again.repeated_request
    assert (again.number, again.document_id) == (first.number, first.document_id)
    assert (await send(sender, "r-2", issued_date="2026-11-23")).number == "2"


async def test_document_without_a_day_is_of_today_in_viet_nam(pair: Pair) -> None:
    sender, recipient = pair
    answer = await send(sender, "r-1")
    await until(lambda: recipient.inbox() == 1)
    record = json.loads(await read_part(recipient, text(answer.document_id), 0))
    assert record["issued_date"].startswith("20")
    [entry] = await numbers(sender)
    assert entry.series.year == int(record["issued_date"][:4])


async def test_type_with_a_series_of_its_own_is_numbered_apart(pair: Pair) -> None:
    sender, _ = pair
    day = {"issued_date": "2026-11-23"}
    made = [
        (await send(sender, f"r-{place}", document_type=kind, **day)).number
        for place, kind in enumerate(("QĐ", "CV", "TB", "CV"))
    ]
    assert made == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"number": "28"}, RequestInvalidError),
        ({"issued_date": "2026-19-39"}, RecordInvalidError),
    ],
)
async def test_contradiction_takes_no_number(
    pair: Pair, fields: dict[str, str], refusal: type[EdocError]
) -> None:
    sender, _ = pair
    with Refused(refusal):
        await send(sender, "r-1", **fields)
    assert await numbers(sender) == []


async def test_agency_that_numbers_itself_gets_no_number_here(pair: Pair) -> None:
    sender, _ = pair
    with Refused(RequestInvalidError) as refused:
        await send(sender, "r-1", sender="H29.5")
    assert 'numbering = ["H29.5"]' in refused.error.hint


async def test_document_that_is_cut_off_takes_no_number(pair: Pair) -> None:
    sender, _ = pair
    header = office.SubmitHeader(
        request_id="r-1",
        recipients=["G01"],
        record_size=15,
        number_here=True,
        parts=[office.PartDeclaration(name="1.pdf", size=9)],
    )
    chunk = office.SubmitRequest(chunk=b'{"subject":"a"}short')
    async with sender.office() as stub:
        with Refused(RequestInvalidError):
            await stub.Submit(iter([office.SubmitRequest(header=header), chunk]))
    assert await numbers(sender) == []


async def test_numbers_for_paper_are_reserved_and_given_up(pair: Pair) -> None:
    sender, _ = pair
    series = office.NumberSeries(year=2026)
    async with sender.office() as stub:
        reserved = await stub.ReserveNumbers(
            office.ReserveNumbersRequest(
                series=series, count=2, purpose="Quyết định giấy", actor="Lan"
            )
        )
        assert list(reserved.numbers) == [1, 2]
        request = office.VoidNumberRequest(
            series=series, number=2, reason="In hỏng, bỏ số này", actor="Lan"
        )
        assert not (await stub.VoidNumber(request)).repeated_request
        assert (await stub.VoidNumber(request)).repeated_request
        with Refused(RequestInvalidError):
            await stub.VoidNumber(office.VoidNumberRequest(number=1, reason="hỏng", actor="Lan"))
    answer = await send(sender, "r-1", issued_date="2026-11-23")
    assert answer.number == "3"
    async with sender.office() as stub:
        with Refused(DecisionConflictError):
            await stub.VoidNumber(
                office.VoidNumberRequest(
                    series=series, number=3, reason="Không cần nữa", actor="Lan"
                )
            )
    listed = [(entry.number, entry.state) for entry in await numbers(sender, year=2026)]
    assert listed == [
        (3, office.NUMBER_STATE_USED),
        (2, office.NUMBER_STATE_VOID),
        (1, office.NUMBER_STATE_PAPER),
    ]
    await until(lambda: sender.count("SELECT count(*) FROM effect WHERE seal_id IS NOT NULL"))


def whole(request_id: str, content: bytes = b"", **fields: object) -> office.WholeSubmission:
    record = json.dumps({**FIELDS, "issued_date": "2026-11-23", **fields}).encode()
    header = office.SubmitHeader(
        request_id=request_id,
        recipients=["G01"],
        record_size=len(record),
        number_here=True,
        parts=[office.PartDeclaration(name="1.pdf", size=len(content))] if content else [],
    )
    return office.WholeSubmission(header=header, content=record + content)


async def submit_many(
    node: TestNode, *batches: Sequence[office.WholeSubmission]
) -> list[office.SubmissionAnswer]:
    requests = [office.SubmitManyRequest(submissions=batch) for batch in batches]
    async with node.office() as stub:
        return [each async for item in stub.SubmitMany(iter(requests)) for each in item.answers]


async def test_documents_of_a_batch_are_numbered_in_its_order_and_travel_with_their_numbers(
    pair: Pair,
) -> None:
    sender, recipient = pair
    first = await send(sender, "r-0", issued_date="2026-11-23")
    batch = [whole(f"r-{place}", b"x" * 70_000 * (place == 2)) for place in range(1, 60)]
    answers = await submit_many(sender, batch)
    given = [answer.kept.number for answer in answers]
    assert [first.number, *given] == [str(number) for number in range(1, 61)]
    await until(lambda: recipient.inbox() == 60)
    for place in (0, 1, 58):
        record = json.loads(await read_part(recipient, text(answers[place].kept.document_id), 0))
        assert record["number"] == given[place]
        assert record["document_code"] == f"H29,2026/11/23,{given[place]}/QĐ-UBND"
    entries = {entry.number: entry for entry in await numbers(sender, year=2026)}
    assert {entry.state for entry in entries.values()} == {office.NUMBER_STATE_USED}
    assert entries[2].document_id == answers[0].kept.document_id
    again = await submit_many(sender, batch)
    assert {answer.kept.repeated_request for answer in again} == {True}
    assert [answer.kept.number for answer in again] == given
    assert sender.count("SELECT count(*) FROM official_number") == 60


async def test_what_is_wrong_in_a_batch_takes_no_number_and_spoils_no_other(pair: Pair) -> None:
    sender, _ = pair
    cut = whole("r-3", b"content")
    cut.content = cut.content[:-1]
    unknown = whole("r-4")
    unknown.header.recipients[:] = ["X99"]
    elsewhere = whole("r-5")
    elsewhere.header.sender = "H29.5"
    plain = whole("r-9", number="77")
    plain.header.number_here = False
    batch = [
        whole("r-1"),
        whole("r-2", number="28"),
        cut,
        unknown,
        elsewhere,
        whole("r-6", issued_date="2026-19-39"),
        whole("r-7", colour="red"),
        whole("r-8", document_type="CV"),
        plain,
        whole("r-10"),
        whole("r-1"),
    ]
    answers = await submit_many(sender, batch)
    assert [(answer.kept.number, answer.refused.reason) for answer in answers] == [
        ("1", ""),
        ("", "REQUEST_INVALID"),
        ("", "REQUEST_INVALID"),
        ("", "AGENCY_UNKNOWN"),
        ("", "REQUEST_INVALID"),
        ("", "RECORD_INVALID"),
        ("", "RECORD_INVALID"),
        ("1", ""),
        ("", ""),
        ("2", ""),
        ("1", ""),  # the same request again
    ]
    assert sender.count("SELECT count(*) FROM official_number") == 3


async def test_number_that_was_given_up_is_refused_to_its_document_alone(pair: Pair) -> None:
    sender, _ = pair
    await submit_many(sender, [whole(f"r-{place}") for place in range(3)])
    sender.write(  # as if the node had ended between numbers and documents
        "UPDATE official_number SET state = 'taken', document_id = NULL",
        "UPDATE document SET request_id = NULL",
    )
    async with sender.office() as stub:
        await stub.VoidNumber(
            office.VoidNumberRequest(
                series=office.NumberSeries(year=2026),
                number=2,
                reason="In hỏng, bỏ số này",
                actor="Lan",
            )
        )
    answers = await submit_many(sender, [whole(f"r-{place}") for place in range(4)])
    assert [(answer.kept.number, answer.refused.reason) for answer in answers] == [
        ("1", ""),
        ("", DecisionConflictError.reason),
        ("3", ""),
        ("4", ""),
    ]


async def test_batches_at_once_share_one_sequence_with_paper_and_leave_no_gap(pair: Pair) -> None:
    sender, _ = pair
    series = office.NumberSeries(year=2026)

    async def paper() -> list[int]:
        async with sender.office() as stub:
            reserved = [
                await stub.ReserveNumbers(
                    office.ReserveNumbersRequest(
                        series=series, count=2, purpose="Quyết định giấy", actor="Lan"
                    )
                )
                for _ in range(10)
            ]
        return [number for each in reserved for number in each.numbers]

    batches = [[whole(f"r-{batch}-{place}") for place in range(25)] for batch in range(8)]
    *answers, reserved = await asyncio.gather(
        submit_many(sender, *batches[:4]), submit_many(sender, *batches[4:]), paper()
    )
    given = [int(answer.kept.number) for each in answers for answer in each]
    assert sorted([*given, *reserved]) == list(range(1, 221))


async def test_documents_that_are_accepted_get_the_numbers_of_the_year_in_order(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    recipient.settings = recipient.settings.model_copy(update={"numbering": ("G01",)})
    async with running(sender, recipient):
        documents = []
        for number in range(3):
            sent = await sender.send(b"a", to=["G01"], subject=f"Thử {number}")
            documents.append(text(sent.document_id))
            await until(lambda: recipient.inbox() == len(documents))
        refused = office.Reject(code="INCOMPLETE", reason="Thiếu phụ lục số hai")
        async with recipient.office() as stub:
            for document, decision in (
                (documents[2], {"accept": office.Accept()}),
                (documents[1], {"reject": refused}),
                (documents[0], {"accept": office.Accept()}),
                (documents[2], {"accept": office.Accept()}),
            ):
                await stub.Decide(office.DecideRequest(id=document, actor="Lan", **decision))
            listed = await stub.ListInbox(office.ListInboxRequest())
    given = {
        text(item.document.document_id): item.document.arrival_number for item in listed.documents
    }
    assert given == {documents[0]: 2, documents[1]: 0, documents[2]: 1}
