"""The drop folder: software that only reads and writes files takes part in the exchange.

``out`` is read, ``in`` is written; what was sent goes to ``done``, what cannot be goes to
``failed`` with a reason beside it. A process of its own beside the node: it can be stopped, changed
and restarted without the node, whose memory and event loop it does not touch. The price is a
socket between the two.
"""

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import (
    DiskFullError,
    EdocError,
    ExitCode,
    NodeNotRunningError,
    StorageDamagedError,
)
from edockit.files import disk_errors, lock_folder
from edockit.grpc_client import unix_channel_sync
from edocnode.app.edxml_aside import REASON, FolderAside, utc_now
from edocnode.app.edxml_bridge import Bridge
from edocnode.app.edxml_exports import Copy, delivery_statuses, received_copies
from edocnode.app.edxml_files import free_place, move, replace_file, write_new
from edocnode.app.edxml_journal import Appearing, FolderJournal
from edocnode.edxml.findings import english, vietnamese
from edocnode.edxml.writing import write_status
from edocnode.rpc.consumer_client import Consumer, Waiting
from edocnode.rpc.office_client import OfficeClient

EVENT_SCHEMA = "edoc.edxml-event/v1"
SETTLE_S = 2.0  # a file in out is taken when it has not changed for so long
ROUND_S = 2.0  # between two looks at out; what arrives is seen at once
AT_ONCE = 50  # documents fetched together
_TAKEN = frozenset({".edxml", ".xml"})
_JOURNAL = ".edocnode.db"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]")

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The four folders of one agency, or of all that the node serves.

    Attributes:
        agency: Empty: all.
    """

    folder: Path
    agency: str

    def part(self, name: str) -> Path:
        """One of the four: out, in, done, failed."""
        return self.folder / name

    @property
    def consumer(self) -> str:
        """Name of its place in the inbox."""
        name = _NOT_IN_NAMES.sub("-", self.agency.lower())
        return f"edxml-{name}" if name else "edxml"


@dataclass(slots=True, kw_only=True)
class _Connected:
    """What is there while the node runs."""

    office: OfficeClient
    bridge: Bridge
    consumers: dict[str, Consumer]
    events: Consumer


@dataclass(slots=True)
class _Look:
    """How a file in ``out`` looked, and since when it has not changed."""

    size: int
    changed: int
    since: float


@dataclass(slots=True)
class FolderBridge:
    """Works on one drop folder.

    Attributes:
        agencies: Each has a folder of its own in it; empty: one for all.
        socket: Where the node answers; it may be stopped.
        tell: Told of everything that was done, as ``edoc.edxml-event/v1``.
    """

    folder: Path
    agencies: tuple[str, ...]
    socket: Callable[[], Path]
    bridge: Callable[[OfficeClient], Bridge]
    tell: Tell
    clock: Callable[[], datetime] = utc_now
    _aside: FolderAside = field(init=False)
    _looks: dict[Path, _Look] = field(default_factory=dict)
    _waits: bool = False  # something does since the round began
    _waits_for: str = ""  # why files wait, as it was told; empty: they do not

    def __post_init__(self) -> None:
        """Sets nothing aside yet."""
        self._aside = FolderAside(self._tell, self.clock)

    def run(self, *, once: bool) -> None:
        """Works until it is interrupted, or with ``once`` until nothing is left to do.

        Raises:
            FolderInUseError: Another process works on this folder.
            NodeNotRunningError: Only with ``once``.
        """
        boxes = self._boxes()
        with (
            lock_folder(self.folder),
            contextlib.closing(FolderJournal(self.folder / _JOURNAL)) as journal,
        ):
            if once:
                self._look(boxes)
                time.sleep(SETTLE_S)
                with self._connected(boxes, journal) as connected:
                    self._round(boxes, connected, journal, wait_s=0.5)
                return
            while True:
                self._work(boxes, journal)
                time.sleep(ROUND_S)

    def _work(self, boxes: Sequence[Box], journal: FolderJournal) -> None:
        """Works until the node stops."""
        try:
            with self._connected(boxes, journal) as connected:
                while True:
                    self._waits = False
                    self._round(boxes, connected, journal, wait_s=ROUND_S)
                    self._waits_for = self._waits_for if self._waits else ""
        except EdocError as error:
            if not _is_passing(error):
                raise
            self._wait(error)

    def _wait(self, error: EdocError) -> None:
        """Says once that files wait, and why."""
        if error.message != self._waits_for:
            self._tell("waiting", why=error.message)
        self._waits, self._waits_for = True, error.message

    def _round(
        self, boxes: Sequence[Box], connected: _Connected, journal: FolderJournal, *, wait_s: float
    ) -> None:
        for file in journal.unsettled():
            self._settle(file, connected, journal)
        self._sweep(boxes)
        for box in boxes:
            for path in self._ready(box):
                send = partial(self._send, box, path, connected)
                self._aside.take(str(path), send, path.with_name(f"{path.name}{REASON}"))
            self._receive(box, connected, journal)
            self._receive_again(box, connected, journal)
        for document_id in journal.aside(""):
            if self._hear_of(document_id, boxes, connected, journal):
                journal.take_back(document_id, "")
        self._hear(boxes, connected, journal, wait_s=wait_s)

    # Out ---------------------------------------------------------------------------------------

    def _look(self, boxes: Sequence[Box]) -> None:
        for box in boxes:
            list(self._ready(box))

    def _ready(self, box: Box) -> Iterator[Path]:
        """Files in ``out`` that nobody writes to any more, oldest first."""
        found = []
        with disk_errors(box.part("out")):
            entries = list(os.scandir(box.part("out")))
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") or path.suffix.lower() not in _TAKEN:
                continue
            with contextlib.suppress(FileNotFoundError):  # taken back meanwhile
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and self._is_still(path, status):
                    found.append((status.st_mtime_ns, path))
        self._looks = {path: look for path, look in self._looks.items() if path.exists()}
        yield from (path for _, path in sorted(found))

    def _is_still(self, path: Path, status: os.stat_result) -> bool:
        now = time.monotonic()
        look = self._looks.get(path)
        if look is None or (look.size, look.changed) != (status.st_size, status.st_mtime_ns):
            self._looks[path] = _Look(status.st_size, status.st_mtime_ns, now)
            return False
        return now - look.since >= SETTLE_S

    def _send(self, box: Box, path: Path, connected: _Connected) -> None:
        try:
            done = connected.bridge.hand_in(path, sender=box.agency, follow=False)
        except DiskFullError as error:  # others may be smaller
            self._wait(error)
            return
        except EdocError as error:
            if _is_passing(error):
                raise
            self._fail(box, path, error)
            return
        moved = free_place(box.part("done"), path.name)
        if path.exists():  # not taken back meanwhile
            move(path, moved)
        names = ("action", "document_code", "document_id", "message_id")
        self._tell("sent", file=str(moved), **{key: done[key] for key in names if key in done})

    def _fail(self, box: Box, path: Path, error: EdocError) -> None:
        """Sets a file aside; the reason is there before the file is."""
        if not path.exists():  # taken back meanwhile
            return
        moved = free_place(box.part("failed"), path.name)
        replace_file(moved.with_name(f"{moved.name}{REASON}"), _reason(error))
        move(path, moved)
        self._tell("failed", file=str(moved), reason=error.reason, why=error.message)

    # In ----------------------------------------------------------------------------------------

    def _receive(self, box: Box, connected: _Connected, journal: FolderJournal) -> None:
        consumer = connected.consumers[box.consumer]
        while waiting := consumer.waiting(AT_ONCE):
            for document in waiting:
                if box.agency not in ("", document.recipient):
                    consumer.acknowledge(document.position)
                elif not self._taken(box, document, connected, journal):
                    journal.set_aside(document.message_id, box.consumer)
                    consumer.acknowledge(document.position)

    def _receive_again(self, box: Box, connected: _Connected, journal: FolderJournal) -> None:
        """Writes what met a fault of this program, once its wait is over."""
        for message_id in journal.aside(box.consumer):
            # Its place in the inbox is behind.
            passed = Waiting(
                position=0, document_id="", message_id=message_id, recipient=box.agency
            )
            if self._taken(box, passed, connected, journal):
                journal.take_back(message_id, box.consumer)

    def _taken(
        self, box: Box, document: Waiting, connected: _Connected, journal: FolderJournal
    ) -> bool:
        """Writes a document; False: it met a fault of this program."""
        write = partial(self._write, box, document, connected, journal)
        reason = box.part("in") / f"{document.message_id}{REASON}"
        return self._aside.take(document.message_id, write, reason)

    def _write(
        self, box: Box, document: Waiting, connected: _Connected, journal: FolderJournal
    ) -> None:
        """Writes the versions of a document that have not appeared; the last one is the news."""
        message = document.message_id
        entry = connected.office.document(message)["received"][0]
        fresh = [copy for copy in received_copies(entry) if not journal.is_written(copy.message_id)]
        for copy in fresh[:-1]:
            self._write_copy(box, copy, (message, 0), connected, journal)
        for copy in fresh[-1:]:
            self._write_copy(box, copy, (message, document.position), connected, journal)
        if not fresh and document.position:
            connected.consumers[box.consumer].acknowledge(document.position)

    def _write_copy(
        self,
        box: Box,
        copy: Copy,
        place: tuple[str, int],
        connected: _Connected,
        journal: FolderJournal,
    ) -> None:
        (message, position), name = place, f"{copy.message_id}.edxml"
        hidden = self._hidden(box, name)
        named: list[str] = []
        try:
            write_new(
                hidden,
                lambda write: named.append(connected.bridge.exports.write_document(write, copy)),
            )
            for each in dict.fromkeys((message, copy.message_id)):
                journal.name(each, named[0])
        except EdocError as error:
            if _is_passing(error) or isinstance(error, StorageDamagedError):
                raise  # a damaged part is being fetched again; no document is left out
            name = f"{copy.message_id}{REASON}"
            hidden = self._hidden(box, name)
            text = _reason(error)
            write_new(hidden, lambda write: write(text))
        file = Appearing(
            hidden=hidden,
            path=box.part("in") / name,
            consumer=box.consumer if position else "",
            position=position,
            version=copy.message_id,
        )
        journal.appear(file)
        self._settle(file, connected, journal)
        self._tell(
            "received", file=str(file.path), message_id=copy.message_id, action=copy.kind.value
        )

    def _hear(
        self, boxes: Sequence[Box], connected: _Connected, journal: FolderJournal, *, wait_s: float
    ) -> None:
        """Tells what recipients did; ends as soon as something happened: there may be more."""
        for happened in connected.events.events(journal.heard(), wait_s):
            documents = dict.fromkeys(each.document_id for each in happened if each.message_id)
            for document_id in documents:
                if not self._hear_of(document_id, boxes, connected, journal):
                    journal.set_aside(document_id, "")
            if happened:
                journal.set_heard(happened[-1].position)
            return

    def _hear_of(
        self, document_id: str, boxes: Sequence[Box], connected: _Connected, journal: FolderJournal
    ) -> bool:
        """Tells what is new of a document; False: it met a fault of this program."""

        def hear() -> None:
            found = connected.office.document(document_id)
            self._tell_statuses(boxes, found["sent"], connected, journal)
            for received in found["received"]:
                self._tell_revocation(boxes, received, connected, journal)

        return self._aside.take(f"document {document_id}", hear)

    def _tell_statuses(
        self,
        boxes: Sequence[Box],
        sent: dict[str, Any] | None,
        connected: _Connected,
        journal: FolderJournal,
    ) -> None:
        box = _box_of(boxes, sent["sender"]) if sent else None
        if box is None or sent is None:
            return
        for delivery in connected.office.deliveries(sent["document_id"])["deliveries"]:
            told = journal.told(delivery["message_id"])
            for step, message in delivery_statuses(sent, delivery):
                if step > told:
                    self._write_status(box, delivery["message_id"], (step, message), journal)

    def _write_status(
        self, box: Box, message_id: str, status: tuple[int, Any], journal: FolderJournal
    ) -> None:
        step, message = status
        name = f"{message_id}-{step:03}-{message.code}.edxml"
        hidden = self._hidden(box, name)
        write_new(hidden, lambda write: write_status(write, message))
        file = Appearing(hidden=hidden, path=box.part("in") / name, message=message_id, step=step)
        journal.appear(file)
        journal.settle(file)
        self._tell("status", file=str(file.path), code=message.code, message_id=message_id)

    def _tell_revocation(
        self,
        boxes: Sequence[Box],
        received: dict[str, Any],
        connected: _Connected,
        journal: FolderJournal,
    ) -> None:
        """Tells local software that a document it was given was taken back, once."""
        message_id = received["message_id"]
        box, code = _box_of(boxes, received["recipient"]), journal.named(message_id)
        if not (box and code and received["taken_back"]) or journal.told(message_id) >= 0:
            return
        name = f"{message_id}-thu-hoi.edxml"
        hidden = self._hidden(box, name)
        write_new(
            hidden, lambda write: connected.bridge.exports.write_revocation(write, received, code)
        )
        file = Appearing(hidden=hidden, path=box.part("in") / name, message=message_id)
        journal.appear(file)
        journal.settle(file)
        self._tell("revoked", file=str(file.path), message_id=message_id)

    # Both --------------------------------------------------------------------------------------

    def _settle(self, file: Appearing, connected: _Connected, journal: FolderJournal) -> None:
        if file.consumer in connected.consumers:
            connected.consumers[file.consumer].acknowledge(file.position)
        journal.settle(file)

    def _hidden(self, box: Box, name: str) -> Path:
        hidden = box.part("in") / f".{name}.tmp"
        hidden.unlink(missing_ok=True)  # of a round that was killed before its row
        return hidden

    def _sweep(self, boxes: Sequence[Box]) -> None:
        """Removes what kills left half written; nothing else is hidden there now."""
        for box in boxes:
            for path in (*box.part("in").glob(".*.tmp"), *box.part("failed").glob(".*.tmp")):
                path.unlink(missing_ok=True)
            for reason in box.part("out").glob(f"*{REASON}"):
                file = reason.with_name(reason.name.removesuffix(REASON))
                if file.suffix.lower() in _TAKEN and not file.exists():  # it was taken back
                    reason.unlink(missing_ok=True)

    def _boxes(self) -> list[Box]:
        boxes = [Box(folder=self.folder / agency, agency=agency) for agency in self.agencies] or [
            Box(folder=self.folder, agency="")
        ]
        for box in boxes:
            for name in ("out", "in", "done", "failed"):
                box.part(name).mkdir(parents=True, exist_ok=True)
        return boxes

    @contextmanager
    def _connected(self, boxes: Sequence[Box], journal: FolderJournal) -> Iterator[_Connected]:
        with ExitStack() as stack:
            channel: grpc.Channel = stack.enter_context(unix_channel_sync(self.socket()))
            office = OfficeClient(channel)
            yield _Connected(
                office=office,
                bridge=replace(self.bridge(office), known=journal.messages_named),
                consumers={box.consumer: Consumer(channel, box.consumer) for box in boxes},
                events=Consumer(channel, "edxml"),
            )

    def _tell(self, event: str, **facts: object) -> None:
        self.tell({"schema": EVENT_SCHEMA, "event": event, **_shown(facts)})


def _box_of(boxes: Sequence[Box], agency: str) -> Box | None:
    return next((each for each in boxes if each.agency in ("", agency)), None)


def reason_text(error: EdocError) -> str:
    """Why a file was set aside, in both languages."""
    why = error.fields.get("vietnamese", "")
    remedy = error.fields.get("remedy_vietnamese", "")
    lines = [
        f"Lý do: {why or error.message}",
        f"Cách xử lý: {remedy or error.hint}" if remedy or error.hint else "",
        "",
        f"Reason: {error.reason}: {error.message}",
        f"Remedy: {error.hint}" if error.hint else "",
        "",
        f"{vietnamese('PUT_AGAIN')} / {english('PUT_AGAIN')}",
    ]
    return "\n".join(lines) + "\n"


def _reason(error: EdocError) -> bytes:
    return reason_text(error).encode("utf-8", "replace")


def _shown(facts: dict[str, object]) -> dict[str, object]:
    """Facts that can be printed, whatever bytes the name of a file has."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in facts.items()
    }


def _is_passing(error: EdocError) -> bool:
    """Whether the same may succeed later without anybody mending the file."""
    return (
        isinstance(error, NodeNotRunningError)
        or error.may_retry
        or error.exit_code is ExitCode.UNREACHABLE
    )
