"""What an office is told of late documents: over the socket, and by the command."""

import asyncio
import json
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edoccore.signing.statements import time_text
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2 as admin
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.late import REVOCATION_PENDING, UPDATE_PENDING
from tests.integration.office.support import submit, text
from tests.integration.office.test_revoking import decide, delivered, revoke
from tests.integration.office.test_updating import in_force, update
from tests.support.nodes import TestNode, make_pair, running, until


@dataclass
class Clock:
    """The real clock, set forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def command(node: TestNode, *words: str) -> str:
    program = str(Path(sys.executable).with_name("edocnode"))
    run = await asyncio.create_subprocess_exec(
        program,
        "--data",
        str(node.data),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await run.communicate()
    assert run.returncode == 0, error.decode()
    return out.decode()


async def late(node: TestNode, **wanted: Any) -> office.ListLateResponse:
    async with node.office() as stub:
        return await stub.ListLate(office.ListLateRequest(**wanted))


async def test_late_documents_are_listed_on_both_sides_until_the_clerk_acts(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        fields = {"subject": "Về việc báo cáo", "number": "28", "due_date": "2020-01-03"}
        sent = await submit(sender, b"one", fields=fields)
        await until(recipient.inbox)
        await until(lambda: sender.state(sent.deliveries[0].message_id) == "delivered")
        assert not (await late(sender)).documents
        assert [item.kind for item in (await late(recipient)).documents] == [
            office.LATE_KIND_OVERDUE
        ]
        clock.ahead = timedelta(days=9)
        (unanswered,) = (await late(sender)).documents
        assert unanswered.kind == office.LATE_KIND_UNANSWERED
        assert unanswered.deadline == office.DEADLINE_ACCEPT
        assert (unanswered.peer, unanswered.subject) == ("G01", "Về việc báo cáo")
        kinds = {item.kind for item in (await late(recipient)).documents}
        assert kinds == {office.LATE_KIND_UNDECIDED, office.LATE_KIND_OVERDUE}
        only = await late(recipient, kinds=[office.LATE_KIND_UNDECIDED], agency="G01.22")
        assert not only.documents
        async with unix_channel(recipient.where.socket) as channel:
            status = await admin_services.AdminServiceStub(channel).GetStatus(
                admin.GetStatusRequest()
            )
        assert (status.late.undecided, status.late.overdue) == (1, 1)
        async with recipient.office() as stub:
            request = office.DecideRequest(
                id=text(sent.document_id), actor="Lan", accept=office.Accept()
            )
            await stub.Decide(request)
        await until(lambda: sender.count("SELECT count(*) FROM delivery WHERE answered = 1"))
        assert not (await late(sender)).documents
        assert [item.kind for item in (await late(recipient)).documents] == [
            office.LATE_KIND_OVERDUE
        ]


async def test_command_says_what_is_late_by_how_much_and_what_to_do(tmp_path: Path) -> None:
    _, sender, _ = make_pair(tmp_path)
    clock = Clock(-timedelta(hours=6))
    sender.clock = clock
    async with running(sender):
        assert await command(sender, "late") == "Nothing is late.\n"
        assert "late      nothing" in await command(sender, "status")
        fields = {"subject": "Về việc\u202e báo cáo", "number": "28", "notation": "QĐ-UBND"}
        await submit(sender, b"one", fields=fields)
        await until(lambda: sender.count("SELECT count(*) FROM delivery_envelope"))
        clock.ahead = timedelta(0)
        told = await command(sender, "late", "--outbox")
        assert re.search(r"28/QĐ-UBND to G01 \(H29\)  Về việc báo cáo$", told, re.MULTILINE)
        assert re.search(r"was to be delivered by .*, late by (1 h 59 min|2 h)", told)
        assert "See whether its node answers: edocnode ping G01" in told
        assert "late      1 undelivered; see: edocnode late" in await command(sender, "status")
        found = json.loads(await command(sender, "late", "--json"))
        assert found["schema"] == "edoc.late/v1"
        assert found["counts"]["undelivered"] == 1
        assert found["documents"][0]["deadline"] == "deliver"
        assert await command(sender, "late", "--inbox") == "Nothing is late.\n"


async def test_update_that_a_clerk_must_answer_is_late_on_both_sides_until_he_does(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    recipient.settings = recipient.settings.model_copy(update={"updates": "ask"})
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        pair = (sender, recipient)
        _, document = await delivered(pair, b"first")
        await decide(recipient, document, accept=office.Accept())
        await until_nothing_is_late(sender, clock, timedelta(days=9))
        clock.ahead = timedelta(0)
        await update(sender, document, b"second", subject="Bản hai")
        await until(lambda: recipient.count("SELECT count(*) FROM version") == 1)
        assert not (await late(recipient)).documents
        clock.ahead = timedelta(days=9)
        (here,) = (await late(recipient)).documents
        assert (here.kind, here.state) == (office.LATE_KIND_UNDECIDED, UPDATE_PENDING)
        assert "edocnode agree" in here.advice
        (there,) = (await late(sender)).documents
        assert (there.kind, there.subject) == (office.LATE_KIND_UNANSWERED, "Bản hai")
        assert (await late(recipient)).counts == (await late(recipient, limit=1)).counts
        await decide(recipient, text(here.message_id), agree=office.Agree())
        assert not (await late(recipient)).documents
        await until_nothing_is_late(sender, clock, timedelta(days=9))


async def test_revocation_that_a_clerk_must_answer_is_late_until_he_does(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path, revocations="ask")
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        _, document = await delivered((sender, recipient), b"first")
        await decide(recipient, document, accept=office.Accept())
        await revoke(sender, document)
        await until(lambda: recipient.count("SELECT count(*) FROM revocation") == 1)
        assert not (await late(recipient)).documents
        clock.ahead = timedelta(days=9)
        (found,) = (await late(recipient)).documents
        assert (found.kind, found.state) == (office.LATE_KIND_UNDECIDED, REVOCATION_PENDING)
        assert "takes it back" in found.advice
        await decide(recipient, document, agree=office.Agree())
        assert not (await late(recipient)).documents


async def test_document_that_was_destroyed_when_its_time_was_over_waits_for_nobody(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        await delivered((sender, recipient), b"first")
        clock.ahead = timedelta(days=9)
        assert (await late(recipient)).documents
        rows = recipient.rows("SELECT incoming_id, received_at FROM inbox")
        recipient.write(f"INSERT INTO destroyed VALUES ({rows[0][0]}, {rows[0][1]}, 0)")
        assert not (await late(recipient)).documents


async def test_document_that_comes_back_by_an_update_has_its_time_from_then_on(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        _, document = await delivered((sender, recipient), b"first")
        why = office.Reject(code="INCOMPLETE", reason="Thiếu phụ lục số 2 kèm theo")
        await decide(recipient, document, reject=why)
        month = 30 * 86_400_000
        recipient.write(f"UPDATE inbox SET received_at = received_at - {month}")
        await update(sender, document, b"second", subject="Bản hai")
        await in_force(recipient, document, "Bản hai")
        found = await late(recipient)
        assert not found.documents
        assert not any(each.count for each in found.counts)
        clock.ahead = timedelta(days=9)
        (again,) = (await late(recipient)).documents
        assert again.kind == office.LATE_KIND_UNDECIDED


async def until_nothing_is_late(node: TestNode, clock: Clock, ahead: timedelta) -> None:
    async def look() -> bool:
        clock.ahead = ahead
        return not (await late(node)).documents

    await until(look)


async def test_time_that_the_sender_names_is_told_by_the_command_on_both_sides(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    clock = Clock()
    sender.clock = recipient.clock = clock
    async with running(sender, recipient):
        by = datetime.now(UTC) + timedelta(minutes=5)
        fields = {"subject": "Họp khẩn", "deliver_by": time_text(by)}
        await submit(sender, b"one", fields=fields, urgency=office.URGENCY_HOA_TOC)
        await until(recipient.inbox)
        for node in (sender, recipient):
            assert not (await late(node)).documents
        clock.ahead = timedelta(minutes=6)  # before the limits of its urgency end
        for node in (sender, recipient):
            (item,) = (await late(node)).documents
            assert item.deadline == office.DEADLINE_DELIVER
            assert item.due_time.ToDatetime(UTC) == by.replace(
                microsecond=by.microsecond // 1000 * 1000
            )
        assert "to be delivered by" in await command(recipient, "late")
