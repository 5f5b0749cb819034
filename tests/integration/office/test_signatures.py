"""Signatures of documents between running nodes: sent and shown first, checked beside it."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edoccore.errors import DocumentUnknownError, RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.settings import NodeSettings
from edocnode.storage.folder import DataFolder
from tests.integration.office.support import Refused, text
from tests.support import bombs
from tests.support.nodes import Sent, TestNode, make_pair, running, until, utc_now
from tests.support.signing_pki import DECISION, Authority, enlarged, sign_pdf

PAPER = office.LEGAL_STATUS_REPLACES_PAPER
REFERENCE = office.LEGAL_STATUS_REFERENCE_ONLY
UNKNOWN = office.LEGAL_STATUS_NOT_CHECKED


@pytest.fixture(scope="module")
def government() -> Authority:
    return Authority.make("CA chuyên dùng Chính phủ")


@pytest.fixture(scope="module")
def signed(government: Authority) -> bytes:
    """A decision with both signatures."""
    one = sign_pdf(DECISION.read_bytes(), government.person())
    return sign_pdf(one, government.office())


def trusting(node: TestNode, *authorities: Authority) -> TestNode:
    """Gives a node, which is stopped, its trust store."""
    folder = node.data / "trust"
    folder.mkdir(exist_ok=True)
    for authority in authorities:
        (folder / f"{authority.name}.pem").write_bytes(authority.root.pem())
    stores = [{"name": "Chính phủ", "folder": "trust"}]
    node.settings = NodeSettings.model_validate(
        {**node.settings.model_dump(), "trust_stores": stores}
    )
    return node


@pytest.fixture
async def pair(tmp_path: Path, government: Authority) -> AsyncIterator[tuple[TestNode, TestNode]]:
    _, sender, recipient = make_pair(tmp_path)
    for node in (sender, recipient):
        trusting(node, government)
    async with running(sender, recipient):
        yield sender, recipient


async def check_of(node: TestNode, sent: Sent, *, received: bool) -> office.SignatureCheck:
    """What a node knows of the signatures of a document."""
    async with node.office() as stub:
        found = await stub.GetDocument(office.GetDocumentRequest(id=text(sent.document_id)))
    return found.received[0].document.signatures if received else found.sent.document.signatures


async def checked(node: TestNode, sent: Sent, *, received: bool) -> office.SignatureCheck:
    """The same, once it was checked."""

    async def look() -> office.SignatureCheck | None:
        found = await check_of(node, sent, received=received)
        return found if found.HasField("check_time") else None

    verdict: office.SignatureCheck = await until(look, within_s=75)
    return verdict


async def test_both_sides_are_told_that_a_document_replaces_paper(
    pair: tuple[TestNode, TestNode], signed: bytes
) -> None:
    sender, recipient = pair
    sent = await sender.send(signed, to=["G01"])
    await sender.delivered(sent)
    for node, received in ((sender, False), (recipient, True)):
        check = await checked(node, sent, received=received)
        assert check.legal_status == PAPER
        assert [each.kind for each in check.parts[0].signatures] == ["personal", "organisation"]
        kinds = [row[0] for row in node.rows("SELECT kind FROM event")]
        assert kinds.count("signatures.checked") == 1
        total = await figures(node)
        signed_here = (total.received_checked, total.received_signed)
        assert (signed_here if received else (total.sent_checked, total.sent_signed)) == (1, 1)


async def figures(node: TestNode) -> office.Figures:
    """What a node counted today."""
    today = day_in_viet_nam(utc_now()).isoformat()
    async with node.office() as stub:
        request = office.GetStatisticsRequest(first_day=today, last_day=today)
        return (await stub.GetStatistics(request)).total


async def test_large_part_is_checked_where_it_lies(
    pair: tuple[TestNode, TestNode], government: Authority
) -> None:
    sender, recipient = pair
    large = enlarged(DECISION.read_bytes(), 1 << 20)
    sent = await sender.send(sign_pdf(large, government.person()), to=["G01"])
    await sender.delivered(sent)
    check = await checked(recipient, sent, received=True)
    assert check.legal_status == REFERENCE
    assert list(check.reasons) == ["NO_VALID_ORGANISATION_SIGNATURE"]


async def test_document_without_signed_parts_is_for_reference(
    pair: tuple[TestNode, TestNode],
) -> None:
    sender, recipient = pair
    async with sender.office() as stub:
        header = office.SubmitHeader(
            request_id="r", recipients=["G01"], record_size=15,
            parts=[office.PartDeclaration(name="a.docx", size=1)],
        )  # fmt: skip
        requests = [
            office.SubmitRequest(header=header),
            office.SubmitRequest(chunk=b'{"subject":"a"}x'),
        ]
        answer = await stub.Submit(iter(requests))
    sent = Sent(answer.document_id, (answer.deliveries[0].message_id,))
    await sender.delivered(sent)
    check = await check_of(recipient, sent, received=True)
    assert (check.legal_status, list(check.reasons)) == (REFERENCE, ["NO_SIGNED_PART"])
    assert recipient.count("SELECT count(*) FROM signature_check") == 0


async def test_node_without_trust_store_says_so_and_checks_later(
    tmp_path: Path, government: Authority, signed: bytes
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(signed, to=["G01"])
        await sender.delivered(sent)
        check = await checked(recipient, sent, received=True)
        assert (check.legal_status, list(check.reasons)) == (UNKNOWN, ["NO_TRUST_STORE"])
        await recipient.stop()
        await trusting(recipient, government).start()

        async def on_paper() -> bool:
            return (await check_of(recipient, sent, received=True)).legal_status == PAPER

        await until(on_paper, within_s=60)


async def test_sending_waits_for_no_check_however_long_it_takes(
    pair: tuple[TestNode, TestNode], signed: bytes
) -> None:
    sender, recipient = pair
    bomb = await sender.send(bombs.many_objects_pdf(8_000_000), to=["G01"])
    await sender.delivered(bomb)
    await until(lambda: _busy(2), within_s=60)
    urgent = [
        await sender.send(signed, to=["G01"], urgency=office.URGENCY_HOA_TOC) for _ in range(5)
    ]
    await sender.delivered(*urgent)
    assert _busy(2)  # all of that beside the check, which goes on
    assert (await check_of(recipient, urgent[0], received=True)).reasons == ["PENDING"]
    _kill()  # or the test would wait for its limit
    assert (await checked(recipient, urgent[0], received=True)).legal_status == PAPER


async def test_200_large_pdfs_that_wait_for_a_check_keep_no_most_urgent_document_waiting(
    pair: tuple[TestNode, TestNode], signed: bytes
) -> None:
    """The checks stand still: what arrives all the same did not wait for any."""
    sender, recipient = pair
    first = await sender.send(signed, to=["G01"])
    await checked(sender, first, received=False)
    await checked(recipient, first, received=True)
    stopped = _checkers()
    assert len(stopped) == 2
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        large = enlarged(DECISION.read_bytes(), 300_000)
        sent = [await sender.send(large + b"%% %d" % each, to=["G01"]) for each in range(200)]
        query = "SELECT count(*) FROM signature_check WHERE state = 'pending'"
        assert sender.count(query) == 200
        urgent = await _without_pdf(sender, office.URGENCY_HOA_TOC)
        await sender.delivered(urgent)
        assert sender.count(query) == 200
        await sender.delivered(*sent)  # they wait for none either
        assert (sender.count(query), recipient.count(query)) == (200, 200)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)


async def _without_pdf(node: TestNode, urgency: office.Urgency) -> Sent:
    """Hands in a document whose part holds no signature."""
    header = office.SubmitHeader(
        request_id="không-PDF".encode().hex(), recipients=["G01"], record_size=15, urgency=urgency,
        parts=[office.PartDeclaration(name="a.docx", size=1)],
    )  # fmt: skip
    async with node.office() as stub:
        requests = [
            office.SubmitRequest(header=header),
            office.SubmitRequest(chunk=b'{"subject":"a"}x'),
        ]
        answer = await stub.Submit(iter(requests))
    return Sent(answer.document_id, (answer.deliveries[0].message_id,))


async def test_killed_check_and_killed_node_forget_nothing(
    pair: tuple[TestNode, TestNode], signed: bytes
) -> None:
    sender, recipient = pair
    bomb = await sender.send(bombs.many_objects_pdf(8_000_000), to=["G01"])
    await sender.delivered(bomb)
    await until(_busy, within_s=60)
    sent = await sender.send(signed, to=["G01"])
    await sender.delivered(sent)
    await recipient.stop()
    query = "SELECT count(*) FROM signature_check WHERE state = 'pending'"
    assert recipient.count(query) == 2
    await recipient.start()
    await until(_busy, within_s=60)
    _kill()
    check = await checked(recipient, bomb, received=True)
    assert check.legal_status == UNKNOWN
    assert check.parts[0].state == "check_failed"
    assert (await checked(recipient, sent, received=True)).legal_status == PAPER


@pytest.mark.parametrize("how", ["large", "small"])
async def test_t31_document_with_a_damaged_part_is_checked_again_once_it_is_repaired(
    how: str, tmp_path: Path, government: Authority, signed: bytes
) -> None:
    """Nobody reads the part but the check: it tells of the damage, and looks again by itself."""
    _, sender, recipient = make_pair(tmp_path)
    trusting(recipient, government)
    content = signed
    if how == "large":
        large = enlarged(DECISION.read_bytes(), 1 << 20)
        content = sign_pdf(sign_pdf(large, government.person()), government.office())
    async with running(sender, recipient):
        sent = await sender.send(content, to=["G01"])
        await sender.delivered(sent)
        assert (await checked(recipient, sent, received=True)).legal_status == PAPER
    recipient.write(
        "UPDATE signature_check SET state = 'pending', verdict = NULL, checked_at = NULL"
    )
    for what, place in (("blobs", "ff" * 32), ("received", "99"), ("sent", "99")):  # no scrubber
        recipient.write(
            f"REPLACE INTO meta (name, value) VALUES ('scrubbed_up_to_{what}', '{place}')"
        )
    if how == "large":
        blobs = DataFolder(recipient.data).blobs
        [file] = [each for each in blobs.glob("??/*") if each.stat().st_size == len(content)]
        rotten = bytearray(file.read_bytes())
        rotten[-2000] ^= 1
        file.write_bytes(rotten)
    else:
        rotten_tail = "CAST(substr(inline, 1, length(inline) - 1) || '?' AS BLOB)"
        recipient.write(f"UPDATE incoming SET inline = {rotten_tail}")
    async with running(recipient):
        check = await checked(recipient, sent, received=True)
        assert (check.legal_status, list(check.reasons)) == (UNKNOWN, ["PART_NOT_HERE"])
        await until(lambda: "PART_DAMAGED" in recipient.alarms())
    recipient.write("UPDATE damaged_part SET next_at = 0")
    async with running(sender, recipient):

        async def on_paper() -> bool:
            found = await check_of(recipient, sent, received=True)
            return found.legal_status == PAPER

        await until(on_paper, within_s=60)
    assert "PART_DAMAGED" not in recipient.alarms()
    kinds = [row[0] for row in recipient.rows("SELECT kind FROM event")]
    assert kinds.count("signatures.checked") == 3


async def test_documents_are_checked_again_when_somebody_asks(
    pair: tuple[TestNode, TestNode],
) -> None:
    sender, recipient = pair
    other = Authority.make("CA mới")
    content = sign_pdf(sign_pdf(DECISION.read_bytes(), other.person()), other.office())
    sent = await sender.send(content, to=["G01"])
    await sender.delivered(sent)
    assert (await checked(recipient, sent, received=True)).legal_status == REFERENCE
    (recipient.data / "trust" / "new.pem").write_bytes(other.root.pem())

    async def on_paper() -> bool:
        return (await check_of(recipient, sent, received=True)).legal_status == PAPER

    async with recipient.office() as stub:
        one = office.CheckSignaturesRequest(id=text(sent.document_id))
        assert (await stub.CheckSignatures(one)).checks == 1
        await until(on_paper, within_s=60)
        assert (await stub.CheckSignatures(office.CheckSignaturesRequest(all=True))).checks == 1
        await until(on_paper, within_s=60)
        with Refused(RequestInvalidError):
            await stub.CheckSignatures(office.CheckSignaturesRequest())
        with Refused(DocumentUnknownError):
            await stub.CheckSignatures(office.CheckSignaturesRequest(id="00000000"))


def _checkers() -> list[int]:
    """The checking processes of both nodes, which run in this process."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"signatures.worker" in (entry / "cmdline").read_bytes():
                parent = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
                if int(parent) == os.getpid():
                    found.append(int(entry.name))
    return found


def _busy(checks: int = 1) -> bool:
    """Whether so many checks use the processor; starting a process takes less than this."""
    return sum(_ticks(pid) > 150 for pid in _checkers()) >= checks


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[11])
    return 0


def _kill() -> None:
    for pid in _checkers():
        os.kill(pid, signal.SIGKILL)
