"""Documents that are to be sent later, through real nodes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from edoccore.errors import RequestConflictError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Seal, parse_time
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.conftest import Pair
from tests.integration.office.support import Refused, text
from tests.support.nodes import TestNode, until

FIELDS = b'{"subject":"a"}'


async def submit_later(
    node: TestNode, moment: datetime, request_id: str = "r-1"
) -> office.SubmitResponse:
    header = office.SubmitHeader(request_id=request_id, recipients=["G01"], record_size=len(FIELDS))
    header.send_time.FromDatetime(moment)

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=FIELDS)

    async with node.office() as stub:
        return await stub.Submit(requests())


def in_seconds(seconds: float) -> datetime:
    """A moment in whole milliseconds, as it is kept."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def test_document_is_sealed_and_sent_within_a_second_of_its_time_and_not_before(
    pair: Pair,
) -> None:
    sender, recipient = pair
    moment = in_seconds(2)
    sent = await submit_later(sender, moment)
    message_id = sent.deliveries[0].message_id
    assert sent.deliveries[0].state == office.DELIVERY_STATE_QUEUED
    assert sender.state(message_id) == "scheduled"
    await until(lambda: sender.state(message_id) == "delivered")
    [(data, seal)] = sender.rows(
        "SELECT e.data, s.data FROM delivery_envelope e JOIN seal s ON s.id = e.seal_id "
        "WHERE message_id = ?",
        message_id,
    )
    sealed = parse_time(canonical.decode(seal, Seal).time)
    assert moment <= sealed < moment + timedelta(seconds=5)  # of a busy machine
    created = parse_time(canonical.decode(data, Envelope).created)
    assert created < moment
    assert parse_time(canonical.decode(data, Envelope).expires) == moment + timedelta(days=30)
    assert recipient.inbox() == 1


async def test_schedule_survives_a_restart_and_what_came_due_meanwhile_goes_at_once(
    pair: Pair,
) -> None:
    sender, _ = pair
    soon, later = in_seconds(0.5), in_seconds(3600)
    first = await submit_later(sender, soon)
    second = await submit_later(sender, later, "r-2")
    await sender.stop()
    await until(lambda: datetime.now(UTC) > soon)
    await sender.start()
    await until(lambda: sender.state(first.deliveries[0].message_id) == "delivered")
    assert sender.state(second.deliveries[0].message_id) == "scheduled"
    async with sender.office() as stub:
        shown = await stub.GetDocument(office.GetDocumentRequest(id=text(second.document_id)))
    [delivery] = shown.sent.deliveries
    assert (delivery.state, delivery.reason) == (office.DELIVERY_STATE_QUEUED, "SCHEDULED")
    assert delivery.next_attempt_time.ToDatetime(UTC) == later
    assert shown.sent.send_time.ToDatetime(UTC) == later


async def test_request_repeated_after_its_time_is_answered_as_the_first_was(
    pair: Pair,
) -> None:
    sender, _ = pair
    moment = in_seconds(0.3)
    first = await submit_later(sender, moment)
    await until(lambda: sender.state(first.deliveries[0].message_id) == "delivered")
    again = await submit_later(sender, moment)
    assert (again.repeated_request, again.document_id) == (True, first.document_id)
    with Refused(RequestConflictError):
        await submit_later(sender, moment - timedelta(milliseconds=1))


@pytest.mark.parametrize("seconds", [-1, 61 * 24 * 3600])
async def test_time_that_is_past_or_too_far_is_refused(alone: TestNode, seconds: float) -> None:
    with Refused(RequestInvalidError) as refused:
        await submit_later(alone, in_seconds(seconds))
    assert "sent at" in refused.error.message.lower()
    assert alone.count("SELECT count(*) FROM document") == 0
