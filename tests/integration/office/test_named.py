"""Accounts that are named on a document: what each may do with it, over the offices' socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import DocumentUnknownError, RequestInvalidError
from edoccore.office_errors import AccessDeniedError
from edocnet.access.v1 import access_service_pb2 as access
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, text
from tests.support.accounts import AsOffice, account, administer, named, offices
from tests.support.nodes import TestNode, make_pair, running, until

Shared = tuple[TestNode, TestNode]
REASON = "Sai số và ký hiệu"
DAYS = {"first_day": "2026-01-01", "last_day": "2026-12-31"}


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    """H29 with a socket for its offices, H29 and H29.5; and G01, which writes to them."""
    _, node, peer = make_pair(tmp_path)
    path = str(tmp_path / "offices" / "socket")
    node.settings = node.settings.model_copy(update={"office_socket": path})
    async with running(node, peer):
        yield node, peer


async def received(node: TestNode, peer: TestNode, recipient: str = "H29") -> bytes:
    before = node.inbox()
    sent = await peer.send(b"%PDF-1.7 x", to=[recipient], subject="Hồ sơ nhân sự")
    await until(lambda: node.inbox() == before + 1)
    return sent.document_id


async def restrict(node: TestNode, document: bytes, who: list[access.NamedAccount]) -> Any:
    wanted = access.RestrictDocumentRequest(id=text(document), named=who, actor="quản trị")
    return await administer(node, wanted)


def decide(document: bytes, **step: Any) -> office.DecideRequest:
    return office.DecideRequest(id=text(document), actor="An", **step)


def all_steps(document: bytes) -> dict[str, office.DecideRequest]:
    return {
        "accept": decide(document, accept=office.Accept()),
        "reject": decide(document, reject=office.Reject(code="WRONG_RECIPIENT", reason=REASON)),
        "assign": decide(document, assign=office.Assign(assignee="to-chuc")),
        "process": decide(document, process=office.Process()),
        "finish": decide(document, finish=office.Finish()),
        "agree": decide(document, agree=office.Agree()),
    }


async def handed_in(stub: Any, *, sender: str, earlier: bytes | None = None) -> bytes:
    reason = ""
    if earlier:
        reason = (
            f',"reason":"Sửa số liệu ở phụ lục","replaces":[{{"document_id":"{text(earlier)}"}}]'
        )
    fields = f'{{"subject":"Trình"{reason}}}'
    header = office.SubmitHeader(
        request_id="r-2" if earlier else "r-1",
        sender=sender,
        recipients=[] if earlier else ["G01"],
        record_size=len(fields.encode()),
        earlier=text(earlier) if earlier else "",
        operation=office.OPERATION_REPLACE if earlier else office.OPERATION_UNSPECIFIED,
    )

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=fields.encode())

    answer: bytes = (await stub.Submit(requests())).document_id
    return answer


async def denied(call: Any) -> None:
    with Refused(AccessDeniedError):
        await call


async def test_named_account_reads_and_does_nothing_else_unless_it_is_said(shared: Shared) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        await restrict(node, document, named("to-chuc"))
        shown = await one.GetDocument(office.GetDocumentRequest(id=text(document)))
        assert shown.received[0].document.document_id == document
        part = one.GetPart(office.GetPartRequest(id=text(document), index=1))
        assert b"".join([piece.chunk async for piece in part]) == b"%PDF-1.7 x"
        for request in all_steps(document).values():
            await denied(one.Decide(request))
        await denied(one.CheckSignatures(office.CheckSignaturesRequest(id=text(document))))
        state = (await one.GetDocument(office.GetDocumentRequest(id=text(document)))).received[0]
        assert state.state == office.DOCUMENT_STATE_RECEIVED


@pytest.mark.parametrize("right", ["process", "decide"])
async def test_each_right_on_a_document_allows_its_steps_and_no_more(
    right: str, shared: Shared
) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        clerk = AsOffice(stub, await account(node, "van-thu", "H29"))
        steps = all_steps(document)
        await restrict(node, document, [*named("van-thu", may="all"), *named("to-chuc", may=right)])
        if right == "process":
            for step in ("accept", "reject", "assign", "agree"):
                await denied(one.Decide(steps[step]))
            await clerk.Decide(steps["accept"])
        else:
            await one.Decide(steps["accept"])
            await one.Decide(steps["assign"])
        await one.Decide(steps["process"])
        done = await one.Decide(steps["finish"])
        assert done.document.state == office.DOCUMENT_STATE_FINISHED


async def test_document_that_is_assigned_to_a_named_account_may_be_processed_by_it(
    shared: Shared,
) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        other = AsOffice(stub, await account(node, "ke-toan", "H29.5"))
        clerk = AsOffice(stub, await account(node, "van-thu", "H29"))
        steps = all_steps(document)
        who = [*named("van-thu", may="decide"), *named("to-chuc"), *named("ke-toan")]
        await restrict(node, document, who)
        await clerk.Decide(steps["accept"])
        await denied(one.Decide(steps["process"]))
        await clerk.Decide(steps["assign"])
        await denied(other.Decide(steps["process"]))
        await denied(one.Decide(steps["reject"]))
        await one.Decide(steps["process"])
        await one.Decide(steps["finish"])


async def test_right_on_a_document_gives_nothing_that_the_account_has_not_itself(
    shared: Shared,
) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        reads = AsOffice(stub, await account(node, "to-chuc", "H29.5", may=["read"]))
        deals = AsOffice(stub, await account(node, "chuyen-vien", "H29.5", may=["read", "process"]))
        await restrict(node, document, named("to-chuc", "chuyen-vien", may="all"))
        steps = all_steps(document)
        for step in steps.values():
            await denied(reads.Decide(step))
        await denied(deals.Decide(steps["accept"]))


async def test_account_that_deals_with_documents_neither_accepts_nor_assigns(
    shared: Shared,
) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        deals = AsOffice(stub, await account(node, "chuyen-vien", "H29", may=["read", "process"]))
        clerk = AsOffice(stub, await account(node, "van-thu", "H29"))
        steps = all_steps(document)
        await denied(deals.Decide(steps["accept"]))
        await clerk.Decide(steps["accept"])
        await denied(deals.Decide(steps["assign"]))
        await deals.Decide(steps["process"])
        await deals.Decide(steps["finish"])


async def test_what_was_sent_is_taken_back_changed_and_queued_only_with_the_right_to_send(
    shared: Shared,
) -> None:
    node, _ = shared
    async with offices(node) as stub:
        owner = AsOffice(stub, await account(node, "van-thu", "H29"))
        beyond = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        inside = AsOffice(stub, await account(node, "lanh-dao", subtree=True))
        document = await handed_in(owner, sender="H29")
        take_back = office.RevokeRequest(id=text(document), actor="An", reason=REASON)
        again = office.RetryRequest(id=text(document), actor="An")
        for may in ("", "read", "process", "decide"):
            await restrict(node, document, named("to-chuc", "lanh-dao", may=may))
            await beyond.GetDocument(office.GetDocumentRequest(id=text(document)))
            for who in (beyond, inside):
                await denied(who.Revoke(take_back))
                await denied(who.Retry(again))
                await denied(handed_in(who, sender="H29", earlier=document))
            with Refused(DocumentUnknownError):
                await owner.Revoke(take_back)
        await restrict(node, document, named("to-chuc", "lanh-dao", may="send"))
        await denied(handed_in(beyond, sender="H29", earlier=document))  # for H29 it does not act
        later = await handed_in(inside, sender="H29", earlier=document)
        await beyond.Revoke(take_back)
        shown = await beyond.GetDocument(office.GetDocumentRequest(id=text(document)))
        assert shown.sent.taken_back.actor == "to-chuc: An"
        await owner.GetDocument(office.GetDocumentRequest(id=text(later)))


async def test_queueing_all_again_leaves_out_what_may_only_be_read(shared: Shared) -> None:
    node, peer = shared
    await peer.stop()
    async with offices(node) as stub:
        owner = AsOffice(stub, await account(node, "van-thu", "H29"))
        beyond = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        document = await handed_in(owner, sender="H29")
        node.write("UPDATE delivery SET state = 'held', reason = 'PARCEL_INVALID'")
        wanted = office.RetryRequest(all_of="G01", actor="An")
        await restrict(node, document, named("to-chuc"))
        assert (await beyond.Retry(wanted)).queued == 0
        await restrict(node, document, named("to-chuc", may="send"))
        assert (await beyond.Retry(wanted)).queued == 1
    await peer.start()


async def test_rights_on_a_document_are_shown_written_down_and_sealed(shared: Shared) -> None:
    node, peer = shared
    document = await received(node, peer)
    await account(node, "to-chuc", "H29.5")
    made = await restrict(node, document, named("to-chuc", may="process"))
    assert [(each.account, list(each.may)) for each in made.named] == [
        ("to-chuc", ["process", "read"])
    ]
    assert (await restrict(node, document, named("to-chuc", may="process,read"))).repeated_request
    assert not (await restrict(node, document, named("to-chuc"))).repeated_request
    shown = await administer(node, access.ListAccountsRequest(name="to-chuc"))
    assert [(each.document_id, list(each.may)) for each in shown.named] == [(document, ["read"])]
    assert shown.named_count == 1
    history = await administer(node, access.ListHistoryRequest(id=text(document)))
    told = [(each.action, each.actor, each.detail) for each in history.entries]
    assert told[:2] == [
        ("restricted", "quản trị", "to-chuc (read)"),
        ("restricted", "quản trị", "to-chuc (process, read)"),
    ]
    await restrict(node, document, [])
    effects = b"".join(row[0] for row in node.rows("SELECT data FROM effect"))
    assert b"to-chuc (process, read)" in effects
    for wrong in ("statistics", "read,all-of-it"):
        with Refused(RequestInvalidError):
            await restrict(node, document, named("to-chuc", may=wrong))


async def test_denial_on_a_named_document_is_written_down(shared: Shared) -> None:
    node, peer = shared
    document = await received(node, peer)
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        await restrict(node, document, named("to-chuc"))
        await denied(one.Decide(all_steps(document)["accept"]))

    async def is_told() -> bool:
        wanted = access.ListHistoryRequest(id=text(document), account="to-chuc")
        history = await administer(node, wanted)
        return [each.action for each in history.entries] == ["denied"]

    await until(is_told)


# --- Statistics and checks of signatures


async def test_account_counts_its_own_agencies_alone_and_only_with_the_right(
    shared: Shared,
) -> None:
    node, peer = shared
    for recipient in ("H29", "H29.5", "H29.5"):
        await received(node, peer, recipient)

    def asked(agency: str) -> office.GetStatisticsRequest:
        return office.GetStatisticsRequest(agency=agency, **DAYS)

    async with offices(node) as stub:
        whole = AsOffice(stub, await account(node, "lanh-dao", subtree=True))
        province = AsOffice(stub, await account(node, "van-thu", "H29"))
        part = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        reads = AsOffice(stub, await account(node, "doc", "H29.5", may=["read", "decide", "send"]))
        assert (await whole.GetStatistics(asked("H29"))).total.received == 3
        assert (await part.GetStatistics(asked("H29.5"))).total.received == 2
        own = await province.GetStatistics(asked("H29"))  # H29.5 continues its code, not its sight
        assert own.total.received == 1
        await denied(part.GetStatistics(asked("H29")))
        await denied(part.GetStatistics(asked("")))
        await denied(reads.GetStatistics(asked("H29.5")))
        month = {"first_day": "2026-11-01", "last_day": "2026-11-30", "nation": True}
        await denied(whole.GetStatistics(office.GetStatisticsRequest(agency="H29", **month)))
    assert node.count("SELECT count(*) FROM daily WHERE agency = 'H29.5' AND received > 0") == 1


async def test_account_has_signatures_of_its_own_documents_checked_again(shared: Shared) -> None:
    node, peer = shared
    mine, theirs = await received(node, peer, "H29.5"), await received(node, peer, "H29")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        reads = AsOffice(stub, await account(node, "doc", "H29.5", may=["read", "send"]))
        wanted = office.CheckSignaturesRequest(id=text(mine))
        assert (await one.CheckSignatures(wanted)).checks == 1
        await denied(reads.CheckSignatures(wanted))
        await denied(one.CheckSignatures(office.CheckSignaturesRequest(all=True)))
        with Refused(DocumentUnknownError):
            await one.CheckSignatures(office.CheckSignaturesRequest(id=text(theirs)))
