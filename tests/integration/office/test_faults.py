"""One document that meets a fault of the program holds up no other, and no node ends for it."""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from edocnode.storage import statistics
from edocnode.workers import counting, revoking, updating
from tests.integration.office.support import text
from tests.integration.office.test_revoking import delivered, revoke
from tests.integration.office.test_updating import update
from tests.support.faults import Faulty, Later, all_well, told
from tests.support.nodes import TestNode, large, make_pair, running, until

LARGE = b"%PDF-1.7 " * 40_000
PENDING = "SELECT count(*) FROM {} WHERE state = 'pending'"
AGREED = "SELECT count(*) FROM {} WHERE state = 'agreed'"


@dataclass
class Scene:
    """A sender, and a recipient whose clock can be put forward."""

    sender: TestNode
    recipient: TestNode
    clock: Later

    @property
    def pair(self) -> tuple[TestNode, TestNode]:
        return self.sender, self.recipient


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Writes faults as programs do; structlog's own form prints every variable, for seconds."""
    formatter = structlog.dev.plain_traceback
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=formatter)])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    _, sender, recipient = make_pair(tmp_path)
    recipient.clock = clock = Later()
    async with running(sender, recipient):
        yield Scene(sender, recipient, clock)


async def test_revocation_that_this_program_cannot_answer_is_set_aside_and_others_are_answered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [(await delivered(scene.pair, b"%PDF"))[1] for _ in range(3)]
    faulty = Faulty(revoking.plan_answer, lambda found, *_, **__: text(found.document_id) == first)
    first = documents[0]
    monkeypatch.setattr(revoking, "plan_answer", faulty)
    for document in documents:
        await revoke(scene.sender, document)
    agreed, recipient = AGREED.format("revocation"), scene.recipient
    await until(lambda: recipient.count(agreed) == 2 and told(recipient))
    assert first in told(recipient)
    assert "KeyError: 'nobody foresaw this'" in told(recipient)
    assert faulty.calls == 1
    scene.clock.pass_by(minutes=1)
    await until(lambda: faulty.calls == 2)  # once for each time that its wait is over
    faulty.mended = True
    scene.clock.pass_by(minutes=2)
    await until(lambda: recipient.count(agreed) == 3)
    await all_well(recipient)


async def test_revocation_that_cannot_be_read_is_answered_once_it_can_be(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path, revocations="ask")
    clock = recipient.clock = Later()
    scene = Scene(sender, recipient, clock)
    async with running(*scene.pair):
        documents = [(await delivered(scene.pair, b"%PDF"))[1] for _ in range(3)]
        for document in documents:
            await revoke(sender, document)
        await until(lambda: recipient.count(PENDING.format("revocation")) == 3)
        await sender.stop()  # who could give the envelope back
        await recipient.stop()
        place, envelope = recipient.rows(
            "SELECT id, hex(envelope) FROM incoming"
            " WHERE id = (SELECT min(incoming_id) FROM revocation)"
        )[0]
        recipient.write(f"UPDATE incoming SET envelope = x'7b' WHERE id = {place}")
        recipient.settings = recipient.settings.model_copy(update={"revocations": "agree"})
        await recipient.start()
        await until(lambda: recipient.count(AGREED.format("revocation")) == 2 and told(recipient))
        assert recipient.count(PENDING.format("revocation")) == 1
        recipient.write(f"UPDATE incoming SET envelope = x'{envelope}' WHERE id = {place}")
        clock.pass_by(minutes=1)
        await until(lambda: recipient.count(AGREED.format("revocation")) == 3)
        await all_well(recipient)


async def test_update_that_this_program_cannot_answer_is_set_aside_and_others_are_answered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [(await delivered(scene.pair, b"%PDF"))[1] for _ in range(3)]
    first = documents[0]
    faulty = Faulty(
        updating.plan_update_answer, lambda found, *_, **__: text(found.document_id) == first
    )
    monkeypatch.setattr(updating, "plan_update_answer", faulty)
    for document in documents:
        await update(scene.sender, document, b"%PDF-1.7 newer")
    agreed, recipient = AGREED.format("version"), scene.recipient
    await until(lambda: recipient.count(agreed) == 2 and told(recipient))
    assert first in told(recipient)
    faulty.mended = True
    scene.clock.pass_by(minutes=1)
    await until(lambda: recipient.count(agreed) == 3)
    await all_well(recipient)


async def test_destroyed_document_that_cannot_be_read_keeps_no_other_files(scene: Scene) -> None:
    sender, recipient = scene.pair
    (damaged, first), (_, second) = [
        await delivered(scene.pair, LARGE + name) for name in (b"1", b"2")
    ]
    await recipient.stop()
    of = f"message_id = x'{damaged.message_id.hex()}'"
    ((envelope,),) = recipient.rows(f"SELECT hex(envelope) FROM incoming WHERE {of}")
    gone = "SELECT count(*) FROM destroyed WHERE files = 0"
    await recipient.start()
    for document in (first, second):
        await revoke(sender, document)
    await until(lambda: recipient.count(gone) == 2)
    await recipient.stop()
    recipient.write(  # as if the node had died before it removed their files
        "UPDATE destroyed SET files = 1", f"UPDATE incoming SET envelope = x'7b' WHERE {of}"
    )
    await recipient.start()
    await until(lambda: recipient.count(gone) == 1 and told(recipient))
    assert first in told(recipient)
    recipient.write(f"UPDATE incoming SET envelope = x'{envelope}' WHERE {of}")
    scene.clock.pass_by(minutes=1)
    await until(lambda: recipient.count(gone) == 2)
    await all_well(recipient)


async def test_documents_whose_files_must_wait_keep_no_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "AT_ONCE", 1)
    contents = [LARGE + name for name in (b"1", b"2", b"3")]
    documents = [(await delivered(scene.pair, content))[1] for content in contents]
    files = [large(scene.recipient, content) for content in contents]
    tomorrow = time.time() + 86_400
    for file in files[:2]:
        os.utime(file, (tomorrow, tomorrow))  # as if it had just been put there by somebody
    for document in documents:
        await revoke(scene.sender, document)
    await until(lambda: not files[2].exists(), within_s=60)
    assert files[0].exists()
    assert files[1].exists()
    for file in files[:2]:
        os.utime(file, (1, 1))
    await until(lambda: not any(file.exists() for file in files), within_s=60)


async def test_counting_that_meets_a_fault_rests_and_goes_on_when_it_has_passed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "EVERY", timedelta(seconds=0.3))
    faulty = Faulty(statistics.uncounted, lambda *_: True)
    monkeypatch.setattr(statistics, "uncounted", faulty)
    for node in scene.pair:
        await node.stop()
        await node.start()
    recipient = scene.recipient
    await until(lambda: told(recipient).startswith("Counting documents rests"))
    await delivered(scene.pair, b"%PDF")
    faulty.mended = True
    scene.clock.pass_by(minutes=1)
    await all_well(recipient)
