"""What an office does with received documents: list, decide, fetch, watch."""

import asyncio
from pathlib import Path

import pytest

from edoccore.errors import DecisionConflictError, DocumentUnknownError, RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, submit, text
from tests.support.nodes import TestNode, until

Pair = tuple[TestNode, TestNode]
REASON = "Văn bản sai thể thức trình bày"


async def received(pair: Pair, count: int = 1, *, to: tuple[str, ...] = ("G01",)) -> list[str]:
    """Ids of documents that G01 received, oldest first."""
    sender, recipient = pair
    before = recipient.inbox()
    sent = []
    for number in range(count):
        answer = await submit(sender, b"a", to=to, request_id=f"r-{before}-{number}")
        sent.append(text(answer.document_id))
        await until(lambda: recipient.inbox() == before + len(sent) * len(to))
    return sent


async def accept(node: TestNode, document: str, actor: str = "Lan") -> office.DecideResponse:
    async with node.office() as stub:
        return await stub.Decide(
            office.DecideRequest(id=document, actor=actor, accept=office.Accept())
        )


async def reject(node: TestNode, document: str, reason: str = REASON) -> office.DecideResponse:
    rejection = office.Reject(code="INCOMPLETE", reason=reason)
    async with node.office() as stub:
        return await stub.Decide(office.DecideRequest(id=document, actor="Lan", reject=rejection))


async def test_sender_learns_of_a_rejection_and_its_reason(pair: Pair) -> None:
    sender, recipient = pair
    (document,) = await received(pair)
    answer = await reject(recipient, document)
    assert answer.document.state == office.DOCUMENT_STATE_REJECTED

    async def told() -> office.Delivery | None:
        async with sender.office() as stub:
            shown = await stub.GetDocument(office.GetDocumentRequest(id=document))
        (delivery,) = shown.sent.deliveries
        return delivery if delivery.recipient_state else None

    delivery = await until(told)
    assert delivery.recipient_state == office.DOCUMENT_STATE_REJECTED
    assert delivery.recipient_reason == REASON
    assert delivery.state == office.DELIVERY_STATE_DELIVERED
    assert recipient.count("SELECT count(*) FROM effect WHERE seal_id IS NOT NULL") == 1


async def test_status_is_no_document_of_inbox_or_outbox(pair: Pair) -> None:
    sender, recipient = pair
    (document,) = await received(pair)
    await accept(recipient, document)
    await until(lambda: sender.count("SELECT count(*) FROM status_got"))
    async with recipient.office() as stub:
        assert not (await stub.ListOutbox(office.ListOutboxRequest())).documents
    async with sender.office() as stub:
        assert not (await stub.ListInbox(office.ListInboxRequest())).documents


async def test_repeated_decision_changes_nothing_and_another_is_a_conflict(pair: Pair) -> None:
    recipient = pair[1]
    (document,) = await received(pair)
    assert not (await accept(recipient, document)).repeated_request
    assert (await accept(recipient, document, actor="Minh")).repeated_request
    with Refused(DecisionConflictError):
        await reject(recipient, document)
    assert recipient.count("SELECT count(*) FROM effect") == 1


async def test_of_two_decisions_at_once_one_is_taken(pair: Pair) -> None:
    recipient = pair[1]
    (document,) = await received(pair)
    calls = [accept(recipient, document), reject(recipient, document)] * 5
    answers = await asyncio.gather(*calls, return_exceptions=True)
    taken = [item for item in answers if isinstance(item, office.DecideResponse)]
    assert len(taken) == 5
    assert len({item.document.state for item in taken}) == 1
    assert recipient.count("SELECT count(*) FROM effect") == 1
    assert recipient.count("SELECT count(*) FROM document") == 1


async def decide(node: TestNode, document: str, **decision: object) -> office.DecideResponse:
    async with node.office() as stub:
        return await stub.Decide(office.DecideRequest(id=document, actor="Lan", **decision))


async def test_every_step_is_one_transaction_with_its_status_and_its_leaf(pair: Pair) -> None:
    sender, recipient = pair
    (document,) = await received(pair)
    await accept(recipient, document)
    await decide(recipient, document, assign=office.Assign(assignee="Phòng A"))
    await decide(recipient, document, process=office.Process())
    done = await decide(recipient, document, finish=office.Finish())
    assert [step.order for step in done.document.steps] == [1, 2, 3, 4]
    assert done.document.assignee == "Phòng A"
    for table in ("step", "effect", "document"):
        assert recipient.count(f"SELECT count(*) FROM {table}") == 4
    await until(lambda: sender.count("SELECT count(*) FROM status_got") == 4)
    async with sender.office() as stub:
        shown = await stub.GetDocument(office.GetDocumentRequest(id=document))
        listed = await stub.ListOutbox(office.ListOutboxRequest())
    (delivery,) = shown.sent.deliveries
    assert delivery.recipient_state == office.DOCUMENT_STATE_FINISHED
    assert [step.kind for step in delivery.timeline] == [
        office.STEP_KIND_ARRIVED,
        office.STEP_KIND_ACCEPTED,
        office.STEP_KIND_ASSIGNED,
        office.STEP_KIND_PROCESSING,
        office.STEP_KIND_FINISHED,
    ]
    (listed_delivery,) = listed.documents[0].deliveries
    assert not listed_delivery.timeline
    assert listed_delivery.assignee == "Phòng A"


async def test_of_many_assignments_at_once_each_has_its_own_place(pair: Pair) -> None:
    recipient = pair[1]
    (document,) = await received(pair)
    await accept(recipient, document)
    calls = [
        decide(recipient, document, assign=office.Assign(assignee=f"Phòng {number % 2}"))
        for number in range(6)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(
        isinstance(item, office.DecideResponse) or "at this moment" in str(item) for item in answers
    )
    orders = [row[0] for row in recipient.rows("SELECT step_order FROM step ORDER BY id")]
    assert orders == list(range(1, len(orders) + 1))
    assert len(orders) >= 2


async def test_step_that_does_not_follow_changes_nothing(pair: Pair) -> None:
    recipient = pair[1]
    (document,) = await received(pair)
    with Refused(DecisionConflictError):
        await decide(recipient, document, finish=office.Finish())
    assert recipient.count("SELECT count(*) FROM step") == 0
    assert recipient.count("SELECT count(*) FROM document") == 0


async def test_rejection_needs_a_reason_that_helps(pair: Pair) -> None:
    (document,) = await received(pair)
    with Refused(RequestInvalidError):
        await reject(pair[1], document, "Sai")


async def test_sent_document_is_not_decided_on(pair: Pair) -> None:
    (document,) = await received(pair)
    with Refused(DocumentUnknownError):
        await accept(pair[0], document)


async def test_document_for_two_agencies_of_one_node_is_decided_for_each(pair: Pair) -> None:
    recipient = pair[1]
    (document,) = await received(pair, to=("G01", "G01.22"))
    with Refused(RequestInvalidError):
        await accept(recipient, document)
    async with recipient.office() as stub:
        page = await stub.ListInbox(office.ListInboxRequest(agency="G01.22"))
    (entry,) = page.documents
    await accept(recipient, text(entry.message_id))
    states = dict(recipient.rows("SELECT recipient, state FROM inbox"))
    assert states == {"G01": "received", "G01.22": "accepted"}


async def test_inbox_is_filtered_and_paged(pair: Pair) -> None:
    recipient = pair[1]
    documents = await received(pair, 5)
    await accept(recipient, documents[1])
    async with recipient.office() as stub:
        page = await stub.ListInbox(office.ListInboxRequest(limit=2))
        rest = await stub.ListInbox(office.ListInboxRequest(after=page.next))
        accepted = await stub.ListInbox(
            office.ListInboxRequest(state=office.DOCUMENT_STATE_ACCEPTED)
        )
        with Refused(RequestInvalidError):
            await stub.ListInbox(office.ListInboxRequest(after="next"))
    shown = [text(item.document.document_id) for item in [*page.documents, *rest.documents]]
    assert shown == documents[::-1]
    assert [text(item.document.document_id) for item in accepted.documents] == [documents[1]]


async def fetch(node: TestNode, consumer: str) -> list[office.InboxDocument]:
    async with node.office() as stub:
        return list((await stub.FetchInbox(office.FetchInboxRequest(consumer=consumer))).documents)


async def acknowledge(node: TestNode, consumer: str, position: int) -> int:
    async with node.office() as stub:
        request = office.AcknowledgeInboxRequest(consumer=consumer, position=position)
        return (await stub.AcknowledgeInbox(request)).position


async def test_consumers_each_get_every_document_until_they_acknowledge_it(pair: Pair) -> None:
    recipient = pair[1]
    await received(pair, 3)
    first = await fetch(recipient, "qlvb")
    places = [item.position for item in first]
    assert places == sorted(places)
    assert positions(await fetch(recipient, "qlvb")) == places
    assert await acknowledge(recipient, "qlvb", first[1].position) == first[1].position
    await recipient.stop()
    await recipient.start()
    assert positions(await fetch(recipient, "qlvb")) == places[2:]
    assert positions(await fetch(recipient, "archive")) == places


def positions(documents: list[office.InboxDocument]) -> list[int]:
    """Places of documents; what is known of their signatures may change meanwhile."""
    return [item.position for item in documents]


async def test_place_of_a_consumer_never_goes_back_nor_beyond_the_inbox(pair: Pair) -> None:
    recipient = pair[1]
    await received(pair, 2)
    last = (await fetch(recipient, "qlvb"))[-1].position
    assert await acknowledge(recipient, "qlvb", 1_000_000) == last
    assert await acknowledge(recipient, "qlvb", 1) == last
    await received(pair)
    assert len(await fetch(recipient, "qlvb")) == 1


@pytest.mark.parametrize("name", ["", "QLVB", "a" * 65, "a b"])
async def test_odd_name_of_a_consumer_is_refused(alone: TestNode, name: str) -> None:
    with Refused(RequestInvalidError):
        await fetch(alone, name)


async def test_watch_goes_on_where_it_was_left(pair: Pair) -> None:
    recipient = pair[1]
    await received(pair, 2)
    async with recipient.office() as stub:
        seen = await anext(aiter(stub.Watch(office.WatchRequest())))
    assert [event.kind for event in seen.events] == [office.EVENT_KIND_DOCUMENT_RECEIVED] * 2
    await recipient.stop()
    await recipient.start()
    (document,) = await received(pair)
    async with recipient.office() as stub:
        watch = stub.Watch(office.WatchRequest(after=seen.events[-1].position))
        later = await asyncio.wait_for(anext(aiter(watch)), 60)
    assert [text(event.document_id) for event in later.events] == [document]


async def test_watch_of_one_document_tells_of_no_other(pair: Pair) -> None:
    sender = pair[0]
    first, second = await received(pair, 2)
    assert first != second
    async with sender.office() as stub:
        request = office.WatchRequest(document_id=bytes.fromhex(second.replace("-", "")))
        answer = await asyncio.wait_for(anext(aiter(stub.Watch(request))), 60)
    assert {text(event.document_id) for event in answer.events} == {second}
    assert answer.events[0].state == "delivered"


async def test_steps_that_a_restore_lost_are_known_again_and_the_next_one_follows_on_them(
    pair: Pair, tmp_path: Path
) -> None:
    sender, recipient = pair
    (document,) = await received(pair)
    await recipient.stop()
    copy = recipient.backup(tmp_path / "copy")
    await recipient.start()
    await accept(recipient, document)
    await decide(recipient, document, assign=office.Assign(assignee="Phòng A"))
    await until(lambda: sender.count("SELECT count(*) FROM status_got") == 2)
    await recipient.stop()
    recipient.restore(copy)
    await recipient.start()

    async def known() -> office.InboxDocument | None:
        async with recipient.office() as stub:
            answer = await stub.GetDocument(office.GetDocumentRequest(id=document))
        (entry,) = answer.received
        return entry if len(entry.steps) == 2 else None

    entry = await until(known, within_s=60)
    assert (entry.state, entry.assignee) == (office.DOCUMENT_STATE_ASSIGNED, "Phòng A")
    done = await decide(recipient, document, finish=office.Finish())
    assert [step.order for step in done.document.steps] == [1, 2, 3]
    await until(lambda: sender.count("SELECT max(step_order) FROM status_got") == 3)
