"""Encrypted documents on every way that one can go: changed, sent on, restored, taken back."""

import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from edoccore.errors import DocumentRevokedError, RequestInvalidError, StorageDamagedError
from edoccore.office_errors import EncryptionKeyError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.domain import forwarding
from tests.integration.exchange.land import Land, is_held, lively, made_land, received
from tests.integration.exchange.test_encryption import (
    LARGE,
    PATIENT_S,
    SMALL,
    content,
    delivered,
    is_part,
    on_disk,
    pair_with_keys,
)
from tests.integration.office.support import Refused, read_part, text
from tests.integration.office.test_revoking import files, outcome, revoke
from tests.integration.office.test_updating import in_force, replace, update
from tests.support.encryption import with_keys
from tests.support.nodes import Sent, TestNode, running, until

NEWER = b"%PDF-1.7 " + "văn bản thay thế".encode() * 30_000
OTHER = b"%PDF-1.7 " + "bản sửa đổi".encode() * 30_000


@pytest.fixture
def land(tmp_path: Path) -> Land:
    made = made_land(tmp_path)
    with_keys(made.nation, *made.nodes.values())
    return made


async def retry(node: TestNode, sent: Sent, **named: object) -> int:
    async with node.office() as stub:
        request = office.RetryRequest(id=text(sent.message_id), actor="Trực ban", **named)
        return int((await stub.Retry(request)).queued)


async def test_changes_are_encrypted_once_any_version_was(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(SMALL, to=["G01"])
        await sender.delivered(sent)
        document = text(sent.document_id)
        await update(sender, document, OTHER, encrypt=True, subject="Bản hai")
        entry = await in_force(recipient, document, "Bản hai")
        for node in (sender, recipient):
            assert await read_part(node, document, 1) == OTHER
            assert OTHER[:1000] not in on_disk(node)
        assert await read_part(recipient, text(entry.versions[0].message_id), 1) == SMALL
        for change in (update, replace):
            with Refused(RequestInvalidError):
                await change(sender, document, NEWER)
        later = await replace(sender, document, NEWER, encrypt=True, subject="Văn bản mới")
        await until(lambda: recipient.inbox() == 2, within_s=PATIENT_S)
        assert await read_part(recipient, later, 1) == NEWER
        with Refused(RequestInvalidError):
            await update(sender, later, SMALL)
        await update(sender, later, OTHER, encrypt=True, subject="Bản ba")
        await in_force(recipient, later, "Bản ba")
        assert await read_part(recipient, later, 1) == OTHER


async def test_what_is_taken_back_is_destroyed_at_its_recipient(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await delivered(sender, SMALL, LARGE)
        document = text(sent.document_id)
        await update(sender, document, OTHER, encrypt=True, subject="Bản hai")
        await in_force(recipient, document, "Bản hai")
        assert len(files(recipient)) == 2
        await revoke(sender, document)
        await outcome(sender, document, office.REVOCATION_STATE_AGREED)
        await until(lambda: not files(recipient), within_s=PATIENT_S)
        with Refused(DocumentRevokedError):
            await content(recipient, sent, 1)


async def test_restored_node_reads_what_it_had_and_what_it_is_given_back(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        first = await delivered(sender, SMALL)
    copies = [node.backup(tmp_path / f"copy-{node.agency.code}") for node in (sender, recipient)]
    async with running(sender, recipient):
        second = await delivered(sender, SMALL, OTHER)
    incomplete = "SELECT count(*) FROM document WHERE complete = 0"
    for node, other, copy in zip((sender, recipient), (recipient, sender), copies, strict=True):
        node.restore(copy)
        table = "document" if node is sender else "inbox"
        async with running(other, node):
            await until(
                lambda node=node, table=table: (
                    node.count(f"SELECT count(*) FROM {table}") == 2 and not node.count(incomplete)
                ),
                within_s=PATIENT_S,
            )
            for sent in (first, second):
                assert (await content(node, sent, 1))[0] == SMALL
            assert (await content(node, second, 2))[0] == OTHER


async def test_damage_at_the_sender_is_mended_from_the_recipient(tmp_path: Path) -> None:
    sender, recipient = pair_with_keys(tmp_path)
    async with running(sender, recipient):
        sent = await delivered(sender, LARGE)
        [file] = [item for item in (sender.data / "blobs").rglob("*") if is_part(item)]
        whole = file.read_bytes()
        file.chmod(0o600)
        file.write_bytes(whole[:-70_000] + os.urandom(70_000))
        with Refused(StorageDamagedError):
            await content(sender, sent, 1)
        await until(lambda: file.exists() and file.read_bytes() == whole, within_s=PATIENT_S)
        assert (await content(sender, sent, 1))[0] == LARGE


async def test_successor_gets_nothing_that_it_cannot_read_and_the_sender_sends_it_again(
    land: Land,
) -> None:
    sender = land["G01"]
    async with lively(land, "G01", "H29"):
        sent = await sender.send(SMALL, LARGE, to=["H26"], encrypt=True)
        clear = await sender.send(SMALL, to=["H26"])
        await land.ends("H29", known_to=("G01", "H29"))
        await land.starts_knowing("H26")
        try:
            delivery = await is_held(sender, sent)
        finally:
            await land["H26"].stop()
        assert delivery.reason == EncryptionKeyError.reason
        assert "H29" in delivery.message
        assert "--encrypt" in delivery.message
        assert "--encrypt" in delivery.advice
        with Refused(EncryptionKeyError):
            await retry(sender, sent)
        async with sender.office() as stub:
            every = await stub.Retry(office.RetryRequest(all_of="H26", actor="Trực ban"))
        assert (every.queued, every.left) == (0, 1)
        await sender.delivered(clear, within_s=PATIENT_S)
        assert (await content(sender, sent, 2))[0] == LARGE  # what is to be sent again
        again = await sender.send(SMALL, LARGE, to=["H26"], encrypt=True)
        await sender.delivered(again, within_s=PATIENT_S)
        assert (await content(land["H29"], again, 2))[0] == LARGE
        assert received(land["H29"]) == [("G01", "H26")] * 2
        await revoke(sender, text(sent.document_id))
        assert sender.state(sent.message_id) == "void"


async def test_silent_node_of_an_ended_agency_may_have_what_its_successor_cannot_read(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ASK_FOR", timedelta(seconds=1))
    sender = land["G01"]
    async with lively(land, "G01", "H29"):
        sent = await sender.send(SMALL, to=["H26"], encrypt=True)
        await until(lambda: sender.count("SELECT count(*) FROM peer WHERE down_since > 0"))
        await land.ends("H29", known_to=("G01", "H29"))
        delivery = await is_held(sender, sent)
        assert delivery.reason == EncryptionKeyError.reason
        assert "may have the document" in delivery.message


async def test_successor_that_was_a_recipient_too_reads_what_was_for_both(land: Land) -> None:
    sender = land["G01"]
    async with lively(land, "G01", "H29"):
        sent = await sender.send(LARGE, to=["H26", "H29"], encrypt=True)
        await land.ends("H29", known_to=("G01", "H29"))
        await land.starts_knowing("H26")
        try:
            await sender.delivered(sent, within_s=PATIENT_S)
        finally:
            await land["H26"].stop()
        for message_id in sent.message_ids:
            assert await read_part(land["H29"], str(UUID(bytes=message_id)), 1) == LARGE


async def test_nobody_chooses_a_successor_that_cannot_read(land: Land) -> None:
    sender = land["G01"]
    async with lively(land, "G01", "H29", "H30"):
        sent = await sender.send(SMALL, to=["H26"], encrypt=True)
        await land.ends("H29", "H30", known_to=("G01", "H29", "H30"))
        await land.starts_knowing("H26")
        try:
            await is_held(sender, sent)
        finally:
            await land["H26"].stop()
        with Refused(EncryptionKeyError) as refused:
            await retry(sender, sent, instead="H30")
        assert "--to H30 --encrypt" in refused.error.hint
        assert sender.state(sent.message_id) == "held"
