"""Two offices behind one node: neither sees, finds or touches what is the other's."""

import asyncio
import os
import random
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from edoccore.errors import (
    DocumentUnknownError,
    IdAmbiguousError,
    RequestConflictError,
    RequestInvalidError,
)
from edoccore.office_errors import AccessDeniedError, TokenNotAcceptedError
from edockit.grpc_client import unix_channel
from edocnet.access.v1 import access_service_pb2 as access
from edocnet.access.v1 import access_service_pb2_grpc as access_services
from edocnet.admin.v1 import admin_service_pb2 as admin
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnet.office.v1 import office_service_pb2 as office
from edocnet.office.v1 import office_service_pb2_grpc as office_services
from edocnode.domain.access import Caller, Right, may_see
from edocnode.rpc.office_rights import CALLS
from edocnode.rpc.opaque_messages import HIDDEN_IN_ANSWERS
from tests.integration.office.support import Refused, text
from tests.support.accounts import AsOffice, account, administer, carrying, named, offices
from tests.support.nodes import TestNode, make_pair, running, until

Shared = tuple[TestNode, TestNode]
SERIES = office.NumberSeries(agency="H29.5", year=2026)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    """H29 with a socket for its offices, H29 and H29.5; and G01, which writes to them."""
    _, node, peer = make_pair(tmp_path)
    path = str(tmp_path / "offices" / "socket")
    update = {"office_socket": path, "numbering": ("H29.5",)}
    node.settings = node.settings.model_copy(update=update)
    async with running(node, peer):
        yield node, peer


async def received(node: TestNode, peer: TestNode, *recipients: str) -> list[bytes]:
    """Sends a document to each recipient; returns their ids when all are visible."""
    before = node.inbox()
    sent = [await peer.send(b"%PDF-1.7 x", to=[code], subject=f"Gửi {code}") for code in recipients]
    await until(lambda: node.inbox() == before + len(recipients))
    return [each.document_id for each in sent]


async def submitted(
    stub: Any, *, sender: str, request_id: str = "r-1", to: str = "G01"
) -> office.SubmitResponse:
    fields = b'{"subject":"Tr\xc3\xacnh"}'
    header = office.SubmitHeader(
        request_id=request_id, sender=sender, recipients=[to], record_size=len(fields)
    )

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=fields)

    answer: office.SubmitResponse = await stub.Submit(requests())
    return answer


def ids(documents: Any) -> set[bytes]:
    return {each.document.document_id for each in documents}


async def test_t42_each_office_sees_its_own_documents_and_none_of_the_other(shared: Shared) -> None:
    node, peer = shared
    [first, second] = await received(node, peer, "H29", "H29.5")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        other = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        both = AsOffice(stub, await account(node, "lanh-dao", subtree=True))
        assert ids((await one.ListInbox(office.ListInboxRequest())).documents) == {first}
        assert ids((await other.ListInbox(office.ListInboxRequest())).documents) == {second}
        assert ids((await both.ListInbox(office.ListInboxRequest())).documents) == {first, second}
        page = office.ListInboxRequest(agency="H29.5")
        assert not (await one.ListInbox(page)).documents
        assert (await one.GetDocument(office.GetDocumentRequest(id=text(first)))).received
        kept = await submitted(other, sender="H29.5")
        assert ids((await other.ListOutbox(office.ListOutboxRequest())).documents) == {
            kept.document_id
        }
        assert not (await one.ListOutbox(office.ListOutboxRequest())).documents


@pytest.mark.parametrize("call", ["GetDocument", "ListDeliveries", "GetPart", "Decide", "Retry"])
async def test_t42_what_an_office_may_not_see_is_not_found_just_as_what_is_not_there(
    shared: Shared, call: str
) -> None:
    node, peer = shared
    [theirs] = await received(node, peer, "H29.5")
    request = getattr(office, f"{call}Request")
    more: dict[str, Any] = {"actor": "An"} if call in ("Decide", "Retry") else {}
    more |= {"accept": office.Accept()} if call == "Decide" else {}
    seen = []
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        for wanted in (text(theirs), text(theirs)[:8], text(bytes(16)), "00000000"):
            answer = getattr(one, call)(request(id=wanted, **more))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await (answer.read() if call == "GetPart" else answer)
            error = caught.value
            seen.append((error.code(), (error.details() or "").replace(wanted, "ID")))
    assert len(set(seen)) == 1
    assert seen[0][0] is grpc.StatusCode.NOT_FOUND


async def test_an_id_is_ambiguous_only_among_documents_that_the_office_sees(
    shared: Shared,
) -> None:
    node, peer = shared
    documents = await received(node, peer, "H29", "H29.5")
    if text(documents[0])[:8] != text(documents[1])[:8]:  # a minute began in between
        documents = await received(node, peer, "H29", "H29.5")
    begins = text(documents[0])
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        both = AsOffice(stub, await account(node, "lanh-dao", subtree=True))
        found = await one.GetDocument(office.GetDocumentRequest(id=begins[:8]))
        assert ids(found.received) == {documents[0]}
        with Refused(IdAmbiguousError):
            await both.GetDocument(office.GetDocumentRequest(id=begins[:8]))


async def test_positions_and_cursors_tell_nothing_of_what_others_received(shared: Shared) -> None:
    node, peer = shared
    await received(node, peer, *["H29.5"] * 3, "H29", *["H29.5"] * 2, "H29", "H29")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        two = AsOffice(stub, await account(node, "van-phong.2", "H29"))
        page = await one.ListInbox(office.ListInboxRequest(limit=2))
        rest = await one.ListInbox(office.ListInboxRequest(limit=2, after=page.next))
        assert (len(page.documents), len(rest.documents), rest.next) == (2, 1, "")
        positions = [each.position for each in [*page.documents, *rest.documents]]
        assert min(positions) > 1 << 40, "an open position is small"
        same = await two.ListInbox(office.ListInboxRequest())
        assert not set(positions) & {each.position for each in same.documents}
        for made_up in ("4", page.next[:-1], page.next + "a", "ä"):
            with Refused(RequestInvalidError):
                await one.ListInbox(office.ListInboxRequest(after=made_up))
        for guess in (1, 8, positions[0] + 1):
            with Refused(RequestInvalidError):
                await one.AcknowledgeInbox(
                    office.AcknowledgeInboxRequest(consumer="qlvb", position=guess)
                )


async def test_an_office_moves_its_own_place_and_not_that_of_another(shared: Shared) -> None:
    node, peer = shared
    [first, _, third] = await received(node, peer, "H29", "H29.5", "H29")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        two = AsOffice(stub, await account(node, "mot-cua", "H29"))
        wanted = office.FetchInboxRequest(consumer="qlvb")
        fetched = (await one.FetchInbox(wanted)).documents
        assert [each.document.document_id for each in fetched] == [first, third]
        done = office.AcknowledgeInboxRequest(consumer="qlvb", position=fetched[0].position)
        assert (await one.AcknowledgeInbox(done)).position == fetched[0].position
        assert ids((await one.FetchInbox(wanted)).documents) == {third}
        assert ids((await two.FetchInbox(wanted)).documents) == {first, third}


async def test_pages_of_an_office_with_several_agencies_are_in_one_order(shared: Shared) -> None:
    node, peer = shared
    documents = await received(node, peer, "H29", "H29.5", "H29", "H29.5", "H29.5")
    async with offices(node) as stub:
        both = AsOffice(stub, await account(node, "hai-noi", "H29", "H29.5"))
        await administer(
            node,
            access.RestrictDocumentRequest(
                id=text(documents[1]), named=named("hai-noi"), actor="a"
            ),
        )
        seen, after = [], ""
        while True:
            page = await both.ListInbox(office.ListInboxRequest(limit=2, after=after))
            seen += [each.document.document_id for each in page.documents]
            if not (after := page.next):
                break
        assert seen == documents[::-1]
        taken = []
        while page := (await both.FetchInbox(office.FetchInboxRequest(consumer="c", limit=2))):
            if not page.documents:
                break
            taken += [each.document.document_id for each in page.documents]
            position = page.documents[-1].position
            await both.AcknowledgeInbox(
                office.AcknowledgeInboxRequest(consumer="c", position=position)
            )
        assert taken == documents


async def test_a_watch_shows_what_happens_to_the_office_s_own_documents_alone(
    shared: Shared,
) -> None:
    node, peer = shared
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        call = one.Watch(office.WatchRequest())
        [_, mine] = await received(node, peer, "H29.5", "H29")
        answer = await call.read()
        assert [event.document_id for event in answer.events] == [mine]
        kept = await submitted(one, sender="H29")
        again = one.Watch(office.WatchRequest(after=kept.position))
        told = (await again.read()).events[0]
        assert (told.document_id, told.kind) == (
            kept.document_id,
            office.EVENT_KIND_DELIVERY_CHANGED,
        )
        history = await one.GetDocument(office.GetDocumentRequest(id=text(kept.document_id)))
        assert {event.document_id for event in history.history} == {kept.document_id}
        call.cancel()
        again.cancel()


async def test_a_document_between_two_offices_shows_each_its_own_side(shared: Shared) -> None:
    node, _ = shared
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        other = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        sent = await submitted(one, sender="H29", to="H29.5")
        await until(lambda: node.inbox() == 1)
        wanted = office.GetDocumentRequest(id=text(sent.document_id))
        mine, theirs = await one.GetDocument(wanted), await other.GetDocument(wanted)
        assert (len(mine.received), mine.HasField("sent")) == (0, True)
        assert (len(theirs.received), theirs.HasField("sent")) == (1, False)
        kinds = {event.kind for event in theirs.history}
        assert kinds == {office.EVENT_KIND_DOCUMENT_RECEIVED}


async def test_an_office_sends_only_from_its_agencies_and_decides_only_with_the_right(
    shared: Shared,
) -> None:
    node, peer = shared
    [mine] = await received(node, peer, "H29")
    async with offices(node) as stub:
        sends = AsOffice(stub, await account(node, "gui", "H29.5", may=["read", "send"]))
        reads = AsOffice(stub, await account(node, "doc", "H29", may=["read"]))
        decides = AsOffice(stub, await account(node, "duyet", "H29", may=["read", "decide"]))
        for foreign in ("H29", "", "G01"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await submitted(sends, sender=foreign)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        decision = office.DecideRequest(id=text(mine), actor="Trần Bình", accept=office.Accept())
        with Refused(AccessDeniedError):
            await reads.Decide(decision)
        with Refused(AccessDeniedError):
            await submitted(reads, sender="H29")
        answer = await decides.Decide(decision)
        assert answer.document.state == office.DOCUMENT_STATE_ACCEPTED
    effects = [row[0] for row in node.rows("SELECT data FROM effect")]
    assert any("duyet: Trần Bình".encode() in data for data in effects)
    many = office.SubmitManyRequest(
        submissions=[
            office.WholeSubmission(
                header=office.SubmitHeader(
                    request_id=f"m-{sender}", sender=sender, recipients=["G01"], record_size=15
                ),
                content=b'{"subject":"x"}',
            )
            for sender in ("H29", "H29.5")
        ]
    )
    async with offices(node) as stub:
        metadata = await account(node, "gui.2", "H29.5")
        call = stub.SubmitMany(metadata=metadata)
        await call.write(many)
        answers = (await call.read()).answers
        assert [each.refused.reason for each in answers] == ["ACCESS_DENIED", ""]
        assert answers[1].kept.position > 1 << 40 or not answers[1].kept.position
        call.cancel()


async def test_the_same_request_id_of_two_offices_is_two_requests(shared: Shared) -> None:
    node, _ = shared
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        two = AsOffice(stub, await account(node, "mot-cua", "H29"))
        first = await submitted(one, sender="H29", request_id="r")
        second = await submitted(two, sender="H29", request_id="r")
        assert not first.repeated_request
        assert not second.repeated_request
        again = await submitted(two, sender="H29", request_id="r")
        assert (again.repeated_request, again.document_id) == (True, second.document_id)
        with Refused(RequestConflictError):
            await submitted(two, sender="H29", request_id="r", to="G01.22")


async def test_t42_absent_wrong_and_ended_tokens_are_told_alike(shared: Shared) -> None:
    node, _ = shared
    ended = await account(node, "cu", "H29")
    await administer(node, access.EndAccountRequest(name="cu", actor="quản trị"))
    renewed = await account(node, "moi", "H29")
    token = (await administer(node, access.RenewAccountRequest(name="moi", actor="a"))).token
    bad = [(), carrying("edoc-token-" + "A" * 43), carrying(""), carrying("x" * 4000)]
    told = set()
    async with offices(node) as stub:
        for metadata in (*bad, ended, renewed):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListInbox(office.ListInboxRequest(), metadata=metadata)
            told.add((caught.value.code(), caught.value.details()))
        assert len(told) == 1
        assert told.pop()[0] is grpc.StatusCode.UNAUTHENTICATED
        await stub.ListInbox(office.ListInboxRequest(), metadata=carrying(token))
    assert not node.count("SELECT count(*) FROM account WHERE hex(token_digest) LIKE ?", token)
    stored = b"".join(path.read_bytes() for path in node.data.glob("node.db*"))
    assert token.encode() not in stored


async def test_t42_a_flood_of_wrong_tokens_costs_little_and_keeps_no_office_waiting(
    shared: Shared,
) -> None:
    node, _ = shared
    good = await account(node, "van-phong", "H29")
    async with offices(node) as flooding, offices(node) as stub:

        async def guess() -> None:
            while True:
                with pytest.raises(grpc.aio.AioRpcError):
                    await flooding.ListInbox(office.ListInboxRequest(), metadata=carrying("x" * 54))

        guesses = [asyncio.create_task(guess()) for _ in range(300)]
        await asyncio.sleep(1.5)
        begun, used = time.monotonic(), time.process_time()
        for _ in range(20):
            await stub.ListInbox(office.ListInboxRequest(), metadata=good, timeout=60)
        took, used = time.monotonic() - begun, time.process_time() - used
        assert took < 20
        assert used < 2 or used < took / 2  # guesses are held back, whatever else runs here
        for task in guesses:
            task.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)


async def test_a_change_holds_at_once_also_for_calls_that_are_open(shared: Shared) -> None:
    node, peer = shared
    [first] = await received(node, peer, "H29")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        watch = one.Watch(office.WatchRequest())
        assert (await watch.read()).events[0].document_id == first
        await administer(
            node, access.ChangeAccountRequest(name="van-phong", agencies=["H29.5"], actor="a")
        )
        assert not (await one.ListInbox(office.ListInboxRequest())).documents
        [_, mine] = await received(node, peer, "H29", "H29.5")
        assert (await watch.read()).events[0].document_id == mine
        await administer(
            node, access.ChangeAccountRequest(name="van-phong", may=["send"], actor="a")
        )
        with Refused(AccessDeniedError):
            await one.ListInbox(office.ListInboxRequest())
        await administer(node, access.EndAccountRequest(name="van-phong", actor="a"))
        with Refused(TokenNotAcceptedError):
            await watch.read()
        with Refused(TokenNotAcceptedError):
            await submitted(one, sender="H29.5")


async def test_an_open_stream_of_submissions_ends_with_its_account(shared: Shared) -> None:
    node, _ = shared
    whole = office.WholeSubmission(
        header=office.SubmitHeader(
            request_id="a", sender="H29", recipients=["G01"], record_size=15
        ),
        content=b'{"subject":"x"}',
    )
    async with offices(node) as stub:
        call = stub.SubmitMany(metadata=await account(node, "van-phong", "H29"))
        await call.write(office.SubmitManyRequest(submissions=[whole]))
        assert (await call.read()).answers[0].HasField("kept")
        await administer(node, access.EndAccountRequest(name="van-phong", actor="a"))
        whole.header.request_id = "b"
        await call.write(office.SubmitManyRequest(submissions=[whole]))
        with Refused(TokenNotAcceptedError):
            await call.read()
    assert node.count("SELECT count(*) FROM document") == 1


async def test_a_restricted_document_is_seen_by_whom_was_named_and_no_other(
    shared: Shared,
) -> None:
    node, peer = shared
    [secret, plain] = await received(node, peer, "H29", "H29")
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        beyond = AsOffice(stub, await account(node, "to-chuc", "H29.5"))
        leads = AsOffice(stub, await account(node, "lanh-dao", subtree=True))
        wanted = access.RestrictDocumentRequest(id=text(secret), named=named("to-chuc"), actor="a")
        assert not (await administer(node, wanted)).repeated_request
        assert (await administer(node, wanted)).repeated_request
        for who, sees in ((one, {plain}), (beyond, {secret}), (leads, {plain})):
            assert ids((await who.ListInbox(office.ListInboxRequest())).documents) == sees
        with Refused(DocumentUnknownError):
            await leads.GetDocument(office.GetDocumentRequest(id=text(secret)))
        shown = await beyond.GetDocument(office.GetDocumentRequest(id=text(secret)))
        assert shown.received[0].recipient == "H29"
        assert [event.document_id for event in shown.history] == [secret]
        opened = access.RestrictDocumentRequest(id=text(secret), actor="a")
        await administer(node, opened)
        assert ids((await one.ListInbox(office.ListInboxRequest())).documents) == {secret, plain}
        assert not (await beyond.ListInbox(office.ListInboxRequest())).documents
        with Refused(DocumentUnknownError):
            await administer(
                node, access.RestrictDocumentRequest(id=text(secret), named=named("ai"), actor="a")
            )


async def test_the_socket_for_offices_is_the_group_s_and_offers_office_v1_alone(
    shared: Shared,
) -> None:
    node, _ = shared
    assert node.where is not None
    path = node.where.office
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert path.stat().st_gid == os.getgid()
    assert stat.S_IMODE(node.where.socket.stat().st_mode) == 0o600
    metadata = await account(node, "van-phong", subtree=True)
    async with unix_channel(path) as channel:
        for call in (
            admin_services.AdminServiceStub(channel).GetStatus(
                admin.GetStatusRequest(), metadata=metadata
            ),
            access_services.AccessServiceStub(channel).ListAccounts(
                access.ListAccountsRequest(), metadata=metadata
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_each_call_of_office_v1_has_a_rule_that_says_who_may_make_it() -> None:
    service = office.DESCRIPTOR.services_by_name["OfficeService"]
    assert set(CALLS) == set(service.methods_by_name)


def test_each_call_that_names_an_agency_to_act_for_says_where() -> None:
    """Of what it reads the account sees its own anyway; what it acts on is found by its id."""
    service = office.DESCRIPTOR.services_by_name["OfficeService"]
    for name, rule in CALLS.items():
        fields = service.methods_by_name[name].input_type.fields_by_name
        if "series" in fields:
            assert rule.agency_field == "series.agency", name
        acts = rule.right is not Right.READ and "agency" in fields
        assert not acts or rule.agency_field == "agency", name


async def test_an_office_numbers_for_its_own_agencies_and_sees_no_other_s_numbers(
    shared: Shared,
) -> None:
    node, _ = shared
    async with offices(node) as stub:
        one = AsOffice(stub, await account(node, "van-phong", "H29"))
        other = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        wanted = office.ReserveNumbersRequest(series=SERIES, count=2, purpose="giấy", actor="An")
        assert list((await other.ReserveNumbers(wanted)).numbers) == [1, 2]
        listed = await other.ListNumbers(office.ListNumbersRequest(series=SERIES, limit=1))
        assert (listed.numbers[0].number, listed.numbers[0].actor) == (2, "so-noi-vu: An")
        assert listed.next > 1 << 40
        rest = office.ListNumbersRequest(series=SERIES, limit=1, after=listed.next)
        assert (await other.ListNumbers(rest)).numbers[0].number == 1
        void = office.VoidNumberRequest(
            series=SERIES, number=1, reason="Không dùng đến", actor="An"
        )
        for call in (
            one.ReserveNumbers(wanted),
            one.ListNumbers(office.ListNumbersRequest(series=SERIES)),
            one.VoidNumber(void),
            other.ListNumbers(office.ListNumbersRequest()),
        ):
            with Refused(AccessDeniedError):
                await call
        await other.VoidNumber(void)


async def test_a_call_without_a_rule_is_refused(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, _ = shared
    metadata = await account(node, "van-phong", subtree=True)
    monkeypatch.delitem(CALLS, "ListInbox")  # type: ignore[arg-type]
    async with offices(node) as stub:
        with Refused(AccessDeniedError):
            await stub.ListInbox(office.ListInboxRequest(), metadata=metadata)


def test_numbers_in_answers_are_places_that_are_hidden_or_known_to_tell_nothing() -> None:
    """A call that is added later and shows another number is seen here first."""
    known = {"index", "size", "attempts", "count", "left", "queued", "order", "seconds", "nanos"}
    known |= {
        "number",
        "numbers",
        "year",
        "taken_back",
        "arrival_number",
        "more_recipients",
        "copies",
        "checks",
        "more",
    }  # of own documents
    service = office.DESCRIPTOR.services_by_name["OfficeService"]
    seen: set[str] = set()
    waiting = [service.methods_by_name[name].output_type for name in CALLS]
    while waiting:
        kind = waiting.pop()
        if kind.full_name in seen or kind.name == "GetStatisticsResponse":  # sums of its agencies
            continue
        seen.add(kind.full_name)
        for field in kind.fields:
            if field.message_type is not None:
                waiting.append(field.message_type)
            elif field.cpp_type in (1, 2, 3, 4):
                assert field.name in known | HIDDEN_IN_ANSWERS, f"{kind.name}.{field.name}"
    assert isinstance(office_services.OfficeServiceServicer, type)


async def test_t42_what_any_call_returns_is_what_the_rule_allows(shared: Shared) -> None:
    """Random documents, accounts and restrictions: each call of the table is made by each account.

    Every id in every answer must be of a document that the pure rule lets the account see; lists
    must have all of those. A call that is added to the table must be added here.
    """
    node, peer = shared
    chance = random.Random(29)
    codes = ["H29", "H29.5"]
    documents = [(each, code) for code in codes for each in await received(node, peer, code, code)]
    async with offices(node) as stub:
        names = [f"phong-{number}" for number in range(5)]
        agencies = [["H29"], ["H29.5"], codes, ["H29"], ["H29.5"]]
        accounts = {
            name: AsOffice(stub, await account(node, name, *seen))
            for name, seen in zip(names, agencies, strict=True)
        }
        sent = []
        for code, name in (("H29", "phong-0"), ("H29.5", "phong-1"), ("H29", "phong-2")):
            kept = await submitted(accounts[name], sender=code, request_id=f"s-{name}")
            sent.append((kept.document_id, code))
        audiences: dict[bytes, frozenset[str]] = {}
        for document, _ in [*documents, *sent]:
            chosen = chance.sample(names, chance.choice((0, 0, 1, 2)))
            audiences[document] = frozenset(chosen)
            if chosen:
                await administer(
                    node,
                    access.RestrictDocumentRequest(
                        id=text(document), named=named(*chosen), actor="a"
                    ),
                )
        await until(lambda: not node.count("SELECT count(*) FROM effect WHERE seal_id IS NULL"))
        for (name, office_of), seen in zip(accounts.items(), agencies, strict=True):
            caller = Caller(name=name, codes=frozenset(seen))

            def allowed(pairs: list[tuple[bytes, str]], caller: Caller = caller) -> set[bytes]:
                return {
                    document
                    for document, code in pairs
                    if may_see(caller, agency=code, audience=audiences[document])
                }

            everything = allowed([*documents, *sent])
            inbox = await office_of.ListInbox(office.ListInboxRequest())
            outbox = await office_of.ListOutbox(office.ListOutboxRequest())
            assert ids(inbox.documents) == allowed(documents)
            assert ids(outbox.documents) == allowed(sent)
            for call in CALLS:
                told: set[bytes] = set()  # what names no document is asked once
                for document, _ in [*documents, *sent]:
                    for answer in await _answers(office_of, call, document, told):
                        assert _documents_in(answer, node) <= everything, call


async def _answers(caller: AsOffice, call: str, document: bytes, told: set[bytes]) -> list[Message]:
    """What a call answers when it is asked about a document; nothing when it refuses.

    Args:
        told: What this call was asked already; grows. It is not asked again.
    """
    wanted = text(document)
    asked: dict[str, Any] = {
        "ListInbox": office.ListInboxRequest(),
        "ListOutbox": office.ListOutboxRequest(),
        "ListDeliveries": office.ListDeliveriesRequest(id=wanted),
        "GetDocument": office.GetDocumentRequest(id=wanted[:8]),
        "GetPart": office.GetPartRequest(id=wanted, index=0),
        "Decide": office.DecideRequest(id=wanted, actor="An", accept=office.Accept()),
        "Retry": office.RetryRequest(id=wanted, actor="An"),
        "ListLate": office.ListLateRequest(),
        "Revoke": office.RevokeRequest(id=wanted, actor="An", reason="Sai số và ký hiệu"),
        "ListNumbers": office.ListNumbersRequest(series=SERIES),
        "ReserveNumbers": office.ReserveNumbersRequest(series=SERIES, count=1, actor="An"),
        "VoidNumber": office.VoidNumberRequest(series=SERIES, number=1, actor="An"),
        "GetRegister": office.GetRegisterRequest(
            incoming=bool(document[-1] & 1), first_day="2020-01-01", last_day="2099-01-01"
        ),
        "FetchInbox": office.FetchInboxRequest(consumer="c"),
        "AcknowledgeInbox": office.AcknowledgeInboxRequest(consumer="c"),
        "Watch": office.WatchRequest(document_id=document),
        "CheckSignatures": office.CheckSignaturesRequest(id=wanted),
        "GetStatistics": office.GetStatisticsRequest(
            first_day="2020-01-01", last_day="2020-01-31", agency="H29.5"
        ),
    }
    if call in ("Submit", "SubmitMany"):  # answer what was handed in: see the tests above
        return []
    if (question := asked[call].SerializeToString(deterministic=True)) in told:
        return []
    told.add(question)
    try:
        if call == "Watch":
            return [await asyncio.wait_for(_first(caller.Watch(asked[call])), 0.3)]
        if call in ("GetPart", "GetRegister"):
            return [answer async for answer in getattr(caller, call)(asked[call])]
        return [await getattr(caller, call)(asked[call])]
    except (grpc.aio.AioRpcError, TimeoutError):
        return []


async def _first(call: Any) -> Message:
    try:
        answer: Message = await call.read()
        return answer
    finally:
        call.cancel()


def _documents_in(answer: Message, node: TestNode) -> set[bytes]:
    """The documents that ids in an answer are of; an id that is of none stays."""
    of_message = {
        bytes(message): bytes(document)
        for table in ("incoming", "delivery")
        for message, document in node.rows(f"SELECT message_id, document_id FROM {table}")
    }
    return {of_message.get(each, each) for each in _ids_in(answer)}


def _ids_in(message: Message) -> set[bytes]:
    """Every id of 16 bytes in an answer."""
    found: set[bytes] = set()
    for field, value in message.ListFields():
        many = value if field.is_repeated else [value]
        if field.message_type is not None:
            found |= {each for inner in many for each in _ids_in(inner)}
        elif field.type == field.TYPE_BYTES:
            found |= {each for each in many if len(each) == 16}
    return found
