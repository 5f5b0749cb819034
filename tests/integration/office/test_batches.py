"""Many documents handed in at once, over the real socket: each stands for itself."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from edoccore.errors import LimitExceededError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.model import Submission
from edocnode.storage import submitting
from tests.integration.office.conftest import Pair
from tests.integration.office.support import Refused, read_part, submit, text
from tests.support.nodes import TestNode, until

KIB = 1024


def whole(
    number: int,
    *,
    content: bytes = b"content",
    to: Sequence[str] = ("G01",),
    fields: bytes = b"",
    size: int | None = None,
    name: str = "1.pdf",
) -> office.WholeSubmission:
    record = fields or json.dumps({"subject": f"Thử {number}"}, ensure_ascii=False).encode()
    header = office.SubmitHeader(
        request_id=f"r-{number}",
        recipients=to,
        record_size=len(record),
        parts=[office.PartDeclaration(name=name, size=len(content) if size is None else size)],
    )
    return office.WholeSubmission(header=header, content=record + content)


async def submit_many(
    node: TestNode, *batches: Sequence[office.WholeSubmission]
) -> list[list[office.SubmissionAnswer]]:
    async def requests() -> AsyncIterator[office.SubmitManyRequest]:
        for batch in batches:
            yield office.SubmitManyRequest(submissions=batch)

    async with node.office() as stub:
        return [list(answer.answers) async for answer in stub.SubmitMany(requests())]


def reasons(answers: Sequence[office.SubmissionAnswer]) -> list[str]:
    return [answer.refused.reason for answer in answers]


async def test_many_documents_are_answered_in_order_and_arrive(pair: Pair) -> None:
    sender, recipient = pair
    batches = [[whole(100 * batch + item) for item in range(60)] for batch in range(9)]
    answers = await submit_many(sender, *batches)
    assert [[item.request_id for item in answer] for answer in answers] == [
        [item.header.request_id for item in batch] for batch in batches
    ]
    assert all(item.kept.document_id for answer in answers for item in answer)
    await until(lambda: recipient.inbox() == 540, within_s=60)
    last = answers[-1][-1].kept
    await until(lambda: sender.state(last.deliveries[0].message_id) == "delivered")
    assert await read_part(recipient, text(last.document_id), 1) == b"content"


async def test_what_is_wrong_with_one_document_spoils_no_other(alone: TestNode) -> None:
    await submit(alone, b"another", request_id="r-8")
    late = whole(9)
    late.header.send_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    never = whole(10)
    never.header.send_time.seconds = 1 << 60
    mixed = [
        whole(1),
        whole(2, to=["X99"]),
        whole(3, size=8),
        whole(4, fields=b"{no json"),
        whole(5, fields=b'{"subject":"a","colour":"red"}'),
        whole(6, name="../a.pdf"),
        office.WholeSubmission(),
        whole(8),
        late,
        never,
        whole(11, to=["G01"] * 501),
        whole(12, content=bytes(100 * KIB)),
    ]
    [answers] = await submit_many(alone, mixed)
    assert reasons(answers) == [
        "",
        "AGENCY_UNKNOWN",
        "REQUEST_INVALID",
        "RECORD_INVALID",
        "RECORD_INVALID",
        "PART_NAME_UNSAFE",
        "REQUEST_INVALID",
        "REQUEST_CONFLICT",
        "REQUEST_INVALID",
        "REQUEST_INVALID",
        "LIMIT_EXCEEDED",
        "",
    ]
    assert "X99" in answers[1].refused.message
    assert alone.count("SELECT count(*) FROM document") == 3
    kept = answers[11].kept
    assert await read_part(alone, text(kept.document_id), 1) == bytes(100 * KIB)


async def test_same_message_again_keeps_nothing_and_is_answered_the_same(alone: TestNode) -> None:
    batch = [whole(number) for number in range(50)]
    [first], [second, third] = (
        await submit_many(alone, batch),
        await submit_many(alone, batch, [*batch[:1], whole(0, content=b"other")]),
    )
    assert {item.kept.repeated_request for item in first} == {False}
    assert {item.kept.repeated_request for item in second} == {True}
    assert [item.kept.document_id for item in first] == [item.kept.document_id for item in second]
    assert reasons(third) == ["", "REQUEST_CONFLICT"]
    by_itself = await submit(alone, b"content", request_id="r-7", fields={"subject": "Thử 7"})
    assert (by_itself.repeated_request, by_itself.document_id) == (True, first[7].kept.document_id)
    assert alone.count("SELECT count(*) FROM document") == 50


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [whole(number) for number in range(501)],
        [whole(number, to=["G01"] * 500) for number in range(11)],
    ],
)
async def test_message_over_its_limits_ends_the_stream_and_keeps_nothing(
    alone: TestNode, batch: Sequence[office.WholeSubmission]
) -> None:
    with Refused(LimitExceededError):
        await submit_many(alone, batch)
    assert alone.count("SELECT count(*) FROM document") == 0


async def test_caller_that_leaves_in_the_middle_loses_nothing_that_was_answered(
    alone: TestNode,
) -> None:
    async with alone.office() as stub:
        call = stub.SubmitMany()
        await call.write(office.SubmitManyRequest(submissions=[whole(1), whole(2)]))
        answer = await call.read()
        assert answer is not grpc.aio.EOF
        call.cancel()
    assert [bool(item.kept.document_id) for item in answer.answers] == [True, True]
    assert alone.count("SELECT count(*) FROM document") == 2
    [[again, new]] = await submit_many(alone, [whole(2), whole(3)])
    assert (again.kept.repeated_request, new.kept.repeated_request) == (True, False)


@pytest.mark.parametrize("many", [False, True], ids=["Submit", "SubmitMany"])
async def test_what_is_kept_while_its_caller_leaves_is_sent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """Also to who asks again later, and is told that it was handed in."""
    sender, recipient = pair
    begun, go_on = threading.Event(), threading.Event()
    keep = submitting._keep_new

    def slow(submissions: Sequence[Submission], connection: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return keep(submissions, connection)

    monkeypatch.setattr(submitting, "_keep_new", slow)
    one = whole(1)

    async def requests() -> AsyncIterator[Any]:
        if many:
            yield office.SubmitManyRequest(submissions=[one])
            return
        yield office.SubmitRequest(header=one.header)
        yield office.SubmitRequest(chunk=one.content)

    try:
        async with sender.office() as stub:
            call = stub.SubmitMany(requests()) if many else stub.Submit(requests())
            if many:
                reading = asyncio.ensure_future(call.read())
            await until(begun.is_set)
            call.cancel()
            for _ in range(3):  # behind which the node has heard of it
                await stub.ListOutbox(office.ListOutboxRequest())
            if many:
                reading.cancel()
    finally:
        go_on.set()
    await until(lambda: recipient.inbox() == 1)
    [[again]] = await submit_many(sender, [one])
    assert again.kept.repeated_request
