"""One file, or document, that meets a fault of the program holds up no other in a drop folder."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from edocnode.app import edxml_bridge, edxml_folder
from edocnode.app.edxml_bridge import Bridge
from edocnode.app.edxml_exports import Exports
from edocnode.app.edxml_folder import FolderBridge
from edocnode.domain.codes import CodeList
from edocnode.edxml.document_types import types_of
from edocnode.rpc.office_client import OfficeClient
from edocnode.storage.code_lists import builtin_lists
from tests.integration.edxml.packages import sample
from tests.support.faults import Faulty, Later
from tests.support.nodes import TestNode, make_pair, running, until, utc_now


def package(mark: str) -> bytes:
    """A sample from H29 to G01."""
    text = sample("Văn bản mới.edxml").decode().replace("000.00.00.G22", "H29")
    text = text.replace("000.00.00.H41", "G01").replace("000.00.00.H14", "G01.22")
    return text.replace(",7816/VPCP-TTĐT", f",7816{mark}/VPCP-TTĐT").encode()


@dataclass
class Folder:
    """A drop folder of a node, whose process can be started anew."""

    node: TestNode
    path: Path
    clock: Later = field(default_factory=Later)
    events: list[dict[str, Any]] = field(default_factory=list)
    runner: FolderBridge | None = None

    def start(self) -> None:
        """A new process, which remembers what lies in the folder alone."""
        self.runner = FolderBridge(
            self.path,
            agencies=(),
            socket=self._socket,
            bridge=self._bridge,
            tell=self.events.append,
            clock=self.clock,
        )

    async def work(self) -> None:
        """Does what there is."""
        assert self.runner is not None
        await asyncio.to_thread(self.runner.run, once=True)

    def names(self, part: str) -> set[str]:
        return {path.name for path in (self.path / part).iterdir()}

    def set_aside(self) -> int:
        """How often it was told that something was."""
        return len([event for event in self.events if event["event"] == "set_aside"])

    def _socket(self) -> Path:
        assert self.node.where is not None
        return self.node.where.socket

    def _bridge(self, office: OfficeClient) -> Bridge:
        types = types_of(builtin_lists()[CodeList.TYPES])
        return Bridge(office=office, clock=utc_now, actor="Lan", types=types)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are taken soon; faults are written as programs do, without every variable."""
    monkeypatch.setattr(edxml_folder, "SETTLE_S", 0.05)
    formatter = structlog.dev.plain_traceback
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=formatter)])


@pytest.fixture
async def folders(tmp_path: Path) -> AsyncIterator[tuple[Folder, Folder]]:
    """Of H29 and of G01."""
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        ours, theirs = (
            Folder(node, tmp_path / f"folder {node.agency.code}") for node in (sender, recipient)
        )
        for each in (ours, theirs):
            each.path.mkdir()
            each.start()
            await each.work()
        yield ours, theirs


async def test_file_over_which_this_program_fails_stays_in_out_with_the_reason_beside_it(
    folders: tuple[Folder, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = folders
    faulty = Faulty(edxml_bridge.judge_file, lambda path, *_, **__: path.name == "a.edxml")
    monkeypatch.setattr(edxml_bridge, "judge_file", faulty)
    for name in ("a", "b"):
        (ours.path / "out" / f"{name}.edxml").write_bytes(package(name))
    await ours.work()
    assert ours.names("done") == {"b.edxml"}
    assert ours.names("out") == {"a.edxml", "a.edxml.reason.txt"}
    reason = (ours.path / "out" / "a.edxml.reason.txt").read_text()
    assert "Reason: This program met a fault over it: KeyError" in reason
    assert "Lý do: Chương trình gặp lỗi" in reason
    await ours.work()
    assert (faulty.calls, ours.set_aside()) == (1, 1)  # at most once a minute
    faulty.mended = True
    ours.clock.pass_by(minutes=1)
    await ours.work()
    assert (ours.names("done"), ours.names("out")) == ({"a.edxml", "b.edxml"}, set())


async def test_reason_goes_with_the_file_that_is_taken_back(
    folders: tuple[Folder, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = folders
    monkeypatch.setattr(edxml_bridge, "judge_file", Faulty(len, lambda *_, **__: True))
    (ours.path / "out" / "a.edxml").write_bytes(package("a"))
    (ours.path / "out" / ".b.edxml.tmp").write_bytes(b"of local software")
    await ours.work()
    (ours.path / "out" / "a.edxml").unlink()
    await ours.work()
    assert ours.names("out") == {".b.edxml.tmp"}


async def test_document_that_this_program_cannot_write_comes_later_also_after_a_restart(
    folders: tuple[Folder, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = folders
    sent = [await ours.node.send(b"%PDF", to=["G01"]) for _ in range(2)]
    await ours.node.delivered(*sent)
    names = [str(message_id) for (message_id,) in theirs.node.rows(
        "SELECT lower(hex(message_id)) FROM inbox ORDER BY position"
    )]  # fmt: skip
    first = names[0]
    faulty = Faulty(
        Exports.write_document, lambda _, __, copy: copy.message_id.replace("-", "") == first
    )
    monkeypatch.setattr(Exports, "write_document", faulty.method)
    await theirs.work()
    there = sorted(theirs.names("in"))
    assert [name.rpartition(".")[2] for name in there] in (["txt", "edxml"], ["edxml", "txt"])
    theirs.start()
    await theirs.work()
    assert faulty.calls == 2  # once for each process
    faulty.mended = True
    theirs.clock.pass_by(minutes=1)
    await theirs.work()
    assert {name.replace("-", "") for name in theirs.names("in")} == {
        f"{name}.edxml" for name in names
    }
    theirs.start()
    await theirs.work()
    assert len(theirs.names("in")) == 2


async def test_answer_that_this_program_cannot_tell_is_told_later_also_after_a_restart(
    folders: tuple[Folder, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = folders
    seen: list[str] = []

    def is_first(document: dict[str, Any], _: object) -> bool:
        seen.append(document["document_id"])
        return seen[-1] == seen[0]

    faulty = Faulty(edxml_folder.delivery_statuses, is_first)
    monkeypatch.setattr(edxml_folder, "delivery_statuses", faulty)
    for name in ("a", "b"):
        (ours.path / "out" / f"{name}.edxml").write_bytes(package(name))

    async def all_told(count: int) -> bool:
        await ours.work()
        return len(ours.names("in")) == count

    await until(lambda: all_told(2))
    assert ours.set_aside() == 1
    ours.start()
    await ours.work()
    assert (ours.set_aside(), len(ours.names("in"))) == (2, 2)  # once for each process
    faulty.mended = True
    ours.clock.pass_by(minutes=1)
    await until(lambda: all_told(4))
