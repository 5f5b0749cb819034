"""Old codes of 13 characters are taken wherever a code is asked for."""

import pytest

from edoccore.errors import AgencyUnknownError
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, text
from tests.support.nodes import TestNode, until

Pair = tuple[TestNode, TestNode]
OLD_SENDER, OLD_RECIPIENT = "000.00.00.H29", "000.00.00.G01"


async def test_document_addressed_by_old_codes_is_found_by_old_and_new_ones(pair: Pair) -> None:
    sender, recipient = pair
    record = '{"subject":"Về việc thử"}'.encode()
    header = office.SubmitHeader(
        request_id="r-1", sender=OLD_SENDER, recipients=[OLD_RECIPIENT], record_size=len(record)
    )
    async with sender.office() as stub:
        sent = await stub.Submit(
            iter([office.SubmitRequest(header=header), office.SubmitRequest(chunk=record)])
        )
        await until(lambda: recipient.inbox() == 1)
        for code in ("H29", OLD_SENDER):
            listed = await stub.ListOutbox(office.ListOutboxRequest(agency=code))
            assert [item.document.sender for item in listed.documents] == ["H29"]
        assert not (await stub.ListOutbox(office.ListOutboxRequest(agency="H29.5"))).documents
        with Refused(AgencyUnknownError):
            await stub.ListOutbox(office.ListOutboxRequest(agency="000.00.00.Z99"))
    async with recipient.office() as stub:
        for code in ("G01", OLD_RECIPIENT):
            listed = await stub.ListInbox(office.ListInboxRequest(agency=code))
            assert [text(item.document.document_id) for item in listed.documents] == [
                text(sent.document_id)
            ]


LOOK_ALIKES = ["H290", "H29.", "H29.5.", "h29.5", "\u041d29.5", "H29.\uff15", " H29", "H2.9"]


@pytest.mark.parametrize("code", LOOK_ALIKES)
async def test_t02_an_office_can_name_no_code_that_only_looks_like_one(
    alone: TestNode, code: str
) -> None:
    record = b'{"subject":"a"}'
    for sender, recipient in ((code, "G01"), ("H29", code)):
        header = office.SubmitHeader(
            request_id="r-1", sender=sender, recipients=[recipient], record_size=len(record)
        )
        async with alone.office() as stub:
            with Refused(AgencyUnknownError):
                await stub.Submit(
                    iter([office.SubmitRequest(header=header), office.SubmitRequest(chunk=record)])
                )
    assert alone.count("SELECT count(*) FROM delivery") == 0


@pytest.mark.parametrize("code", ["G01", OLD_RECIPIENT])
async def test_delivery_is_named_by_its_recipient_in_either_spelling(
    alone: TestNode, code: str
) -> None:
    record = b'{"subject":"a"}'
    header = office.SubmitHeader(
        request_id="r-1", recipients=["G01", "G01.22"], record_size=len(record)
    )
    async with alone.office() as stub:
        sent = await stub.Submit(
            iter([office.SubmitRequest(header=header), office.SubmitRequest(chunk=record)])
        )
        retried = await stub.Retry(
            office.RetryRequest(id=text(sent.document_id), recipient=code, actor="Lan")
        )
    assert retried.queued == 0  # it waits already
