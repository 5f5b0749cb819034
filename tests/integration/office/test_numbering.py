"""A node that numbers documents for its agency, over its office service."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edoccore.errors import DecisionConflictError, RequestInvalidError
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


@pytest.mark.parametrize("fields", [{"number": "28"}, {"issued_date": "2026-19-39"}])
async def test_contradiction_takes_no_number(pair: Pair, fields: dict[str, str]) -> None:
    sender, _ = pair
    with Refused(RequestInvalidError):
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


async def test_document_among_many_is_not_numbered_here(pair: Pair) -> None:
    sender, _ = pair
    header = office.SubmitHeader(
        request_id="r-1", recipients=["G01"], record_size=15, number_here=True
    )
    whole = office.WholeSubmission(header=header, content=b'{"subject":"a"}')
    async with sender.office() as stub:
        (answer,) = [
            item
            async for item in stub.SubmitMany(iter([office.SubmitManyRequest(submissions=[whole])]))
        ]
    assert answer.answers[0].refused.reason == RequestInvalidError.reason


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
