"""One document that meets a fault of the program holds up no other, and no node ends for it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from edocnode.domain.setting_aside import SET_ASIDE
from edocnode.workers import revoking, updating
from tests.integration.office.support import text
from tests.integration.office.test_revoking import delivered, revoke
from tests.integration.office.test_updating import update
from tests.support.nodes import TestNode, make_pair, running, until, utc_now

LARGE = b"%PDF-1.7 " * 40_000
PENDING = "SELECT count(*) FROM {} WHERE state = 'pending'"
AGREED = "SELECT count(*) FROM {} WHERE state = 'agreed'"


@dataclass
class Later:
    """A clock that can be put forward."""

    by: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.by

    def pass_by(self, minutes: int) -> None:
        self.by += timedelta(minutes=minutes)


@dataclass
class Faulty:
    """A rule of the program that meets a fault over some documents, until it is mended."""

    rule: Callable[..., Any]
    meets: Callable[..., bool]
    calls: int = 0
    mended: bool = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        if not self.mended and self.meets(*args, **named):
            self.calls += 1
            raise KeyError("nobody foresaw this")
        return self.rule(*args, **named)


@dataclass
class Scene:
    """A sender, and a recipient whose clock can be put forward."""

    sender: TestNode
    recipient: TestNode
    clock: Later

    @property
    def pair(self) -> tuple[TestNode, TestNode]:
        return self.sender, self.recipient

    def told(self) -> str:
        """The alarm of the recipient, which is alive."""
        assert self.recipient.running is not None
        assert not self.recipient.running.done()
        return self.recipient.alarms().get(SET_ASIDE, "")

    async def all_well(self) -> None:
        """Waits until nothing is set aside any more."""
        await until(lambda: not self.told(), within_s=60)


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
    await until(lambda: recipient.count(agreed) == 2 and scene.told())
    told = scene.told()
    assert first in told
    assert "KeyError: 'nobody foresaw this'" in told
    assert faulty.calls == 1
    scene.clock.pass_by(minutes=1)
    await until(lambda: faulty.calls == 2)  # once for each time that its wait is over
    faulty.mended = True
    scene.clock.pass_by(minutes=2)
    await until(lambda: recipient.count(agreed) == 3)
    await scene.all_well()


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
        await until(lambda: recipient.count(AGREED.format("revocation")) == 2 and scene.told())
        assert recipient.count(PENDING.format("revocation")) == 1
        recipient.write(f"UPDATE incoming SET envelope = x'{envelope}' WHERE id = {place}")
        clock.pass_by(minutes=1)
        await until(lambda: recipient.count(AGREED.format("revocation")) == 3)
        await scene.all_well()


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
    await until(lambda: recipient.count(agreed) == 2 and scene.told())
    assert first in scene.told()
    faulty.mended = True
    scene.clock.pass_by(minutes=1)
    await until(lambda: recipient.count(agreed) == 3)
    await scene.all_well()


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
    await until(lambda: recipient.count(gone) == 1 and scene.told())
    assert first in scene.told()
    recipient.write(f"UPDATE incoming SET envelope = x'{envelope}' WHERE {of}")
    scene.clock.pass_by(minutes=1)
    await until(lambda: recipient.count(gone) == 2)
    await scene.all_well()
