"""Encrypted parts between running nodes: who reads them, who does not, and what checks them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from edoccore.errors import RequestInvalidError, StorageDamagedError
from edoccore.office_errors import (
    DocumentQuarantinedError,
    EncryptionKeyError,
    PartNotDecryptedError,
)
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.settings import NodeSettings
from tests.integration.office.support import Refused, text
from tests.support.clamd import MARKER, clamd
from tests.support.encryption import lose_keys, with_keys
from tests.support.nodes import Sent, TestNode, make_pair, running, until
from tests.support.signing_pki import DECISION, Authority, enlarged, sign_pdf

PATIENT_S = 60
SMALL = b"%PDF-1.7 " + "chỉ người nhận được đọc".encode()
LARGE = SMALL * 30_000


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="enc-") as folder:
        yield Path(folder)


def pair_with_keys(tmp_path: Path) -> tuple[TestNode, TestNode]:
    nation, sender, recipient = make_pair(tmp_path)
    with_keys(nation, sender, recipient)
    return sender, recipient


async def content(node: TestNode, sent: Sent, index: int) -> tuple[bytes, bytes]:
    """The content of a part, and the digest that came last."""
    pieces, digest = [], b""
    async with node.office() as stub:
        request = offices.GetPartRequest(id=text(sent.document_id), index=index)
        async for answer in stub.GetPart(request):
            pieces.append(answer.chunk)
            digest = answer.sha256
    return b"".join(pieces), digest


async def delivered(sender: TestNode, *contents: bytes) -> Sent:
    sent = await sender.send(*contents, to=["G01"], encrypt=True)
    await until(lambda: sender.state(sent.message_id) == "delivered", within_s=PATIENT_S)
    return sent


def on_disk(node: TestNode) -> bytes:
    files = [*node.data.glob("node.db*"), *(node.data / "blobs").rglob("*")]
    return b"".join(file.read_bytes() for file in files if file.is_file())


async def test_only_both_nodes_read_it_and_only_its_bytes_are_encrypted(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await delivered(sender, SMALL, LARGE)
        plain = await sender.send(SMALL, to=["G01"])
        for node in (sender, recipient):
            for index, wanted in ((1, SMALL), (2, LARGE)):
                got, digest = await content(node, sent, index)
                assert got == wanted
                assert len(digest) == 32
            assert LARGE[:1000] not in on_disk(node)
        assert await content(sender, plain, 1) == (SMALL, b"")


async def test_nothing_is_kept_when_a_recipient_has_no_key(tmp_path: Path) -> None:
    nation, sender, recipient = make_pair(tmp_path)
    async with running(sender):
        with Refused(EncryptionKeyError) as refused:
            await sender.send(SMALL, to=["G01"], encrypt=True)
        assert refused.error.fields["agency"] == "H29"
    with_keys(nation, sender)
    async with running(sender):
        with Refused(EncryptionKeyError) as refused:
            await sender.send(SMALL, to=["G01"], encrypt=True)
        assert refused.error.fields["agency"] == "G01"
        assert sender.count("SELECT count(*) FROM document") == 0
    assert recipient.running is None


async def test_what_cannot_be_encrypted_is_not_sent(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        with Refused(RequestInvalidError):  # no file
            await sender.send(to=["G01"], encrypt=True)
        async with sender.office() as stub:
            fields = b'{"subject":"x"}'
            header = offices.SubmitHeader(
                request_id="r-1",
                recipients=["G01"],
                record_size=len(fields),
                parts=[
                    offices.PartDeclaration(
                        name="a.pdf", size=1, media_type="application/vnd.edoc.encrypted"
                    )
                ],
            )
            with Refused(RequestInvalidError):  # it would be taken for an encrypted one
                await stub.Submit(
                    iter(
                        [
                            offices.SubmitRequest(header=header),
                            offices.SubmitRequest(chunk=fields + b"x"),
                        ]
                    )
                )
            header.parts[0].media_type = ""
            header.encrypt = True
            whole = offices.WholeSubmission(header=header, content=fields + b"x")
            answers = stub.SubmitMany(iter([offices.SubmitManyRequest(submissions=[whole])]))
            answer = await anext(aiter(answers))
            assert answer.answers[0].refused.reason == RequestInvalidError.reason
        assert sender.count("SELECT count(*) FROM document") == 0


async def test_lost_key_gives_an_error_and_never_bytes(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await delivered(sender, SMALL, LARGE)
    lose_keys(recipient)
    async with running(recipient):
        for index in (1, 2):
            with Refused(PartNotDecryptedError):
                await content(recipient, sent, index)


async def test_damage_on_the_disk_is_told_as_damage_and_mended(tmp_path: Path) -> None:
    """Not as a wrong key: a part that a disk lost is asked for again from its sender."""
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await delivered(sender, LARGE)
        [file] = [item for item in (recipient.data / "blobs").rglob("*") if is_part(item)]
        damaged = bytearray(file.read_bytes())
        damaged[-70_000] ^= 1
        file.chmod(0o600)
        file.write_bytes(damaged)
        with Refused(StorageDamagedError):
            await content(recipient, sent, 1)

        async def mended() -> bool:
            try:
                return (await content(recipient, sent, 1))[0] == LARGE
            except grpc.aio.AioRpcError:
                return False

        await until(mended, within_s=PATIENT_S)


def is_part(path: Path) -> bool:
    return path.is_file() and len(path.name) == 62


async def test_scanner_looks_at_the_content(tmp_path: Path, place: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with clamd(place) as scanner:
        values = recipient.settings.model_dump() | {"scanner": scanner.address}
        recipient.settings = NodeSettings.model_validate(values)
        async with running(sender, recipient):
            clean = await delivered(sender, SMALL, LARGE)
            small = await delivered(sender, MARKER * 2)
            large = await delivered(sender, os.urandom(1 << 20) + MARKER + os.urandom(1 << 20))
            await came_to(recipient, clean, "clean")
            await came_to(recipient, small, "infected")
            await came_to(recipient, large, "infected")
            with Refused(DocumentQuarantinedError):  # nobody sees it
                await content(recipient, large, 1)


async def test_what_cannot_be_decrypted_is_held_by_the_scanner(tmp_path: Path, place: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    lose_keys(recipient)
    async with clamd(place) as scanner:
        values = recipient.settings.model_dump() | {"scanner": scanner.address}
        recipient.settings = NodeSettings.model_validate(values)
        async with running(sender):
            sent = await sender.send(SMALL, to=["G01"], encrypt=True)
            async with running(recipient):
                await came_to(recipient, sent, "held")


async def came_to(node: TestNode, sent: Sent, state: str) -> None:
    def found() -> bool:
        return dict(node.rows("SELECT message_id, state FROM scan")).get(sent.message_id) == state

    await until(found, within_s=PATIENT_S)


async def test_signatures_are_checked_in_the_content_or_not_called_checked(tmp_path: Path) -> None:
    authority = Authority.make("CA chuyên dùng Chính phủ")
    pages = DECISION.read_bytes()
    signed, large = (
        sign_pdf(sign_pdf(pdf, authority.person()), authority.office())
        for pdf in (pages, enlarged(pages, 200_000))
    )
    sender, recipient = pair_with_keys(tmp_path)
    for node in (sender, recipient):
        folder = node.data / "trust"
        folder.mkdir()
        (folder / "ca.pem").write_bytes(authority.root.pem())
        stores = [{"name": "Chính phủ", "folder": "trust"}]
        values = node.settings.model_dump() | {"trust_stores": stores}
        node.settings = NodeSettings.model_validate(values)
    async with running(sender, recipient):
        sent = await delivered(sender, signed, large)
        for node in (sender, recipient):
            found = await checked(node, sent)
            assert found.legal_status == offices.LEGAL_STATUS_REPLACES_PAPER, found
    lose_keys(recipient)
    async with running(sender, recipient):
        later = await delivered(sender, signed)
        found = await checked(recipient, later)
        assert found.legal_status == offices.LEGAL_STATUS_NOT_CHECKED
        assert [part.reason for part in found.parts] == ["PART_NOT_DECRYPTED"]


async def checked(node: TestNode, sent: Sent) -> offices.SignatureCheck:
    async def look() -> offices.SignatureCheck | None:
        async with node.office() as stub:
            found = await stub.GetDocument(offices.GetDocumentRequest(id=text(sent.document_id)))
        shown = found.received[0].document if found.received else found.sent.document
        return shown.signatures if shown.signatures.HasField("check_time") else None

    verdict: offices.SignatureCheck = await until(look, within_s=90)
    return verdict
