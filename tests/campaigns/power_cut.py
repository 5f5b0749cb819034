"""Cuts the power of a recorded process after each thing it said, and looks at what is left.

The process runs once. Its system calls are followed on a disk that loses what was not synced; at
each acknowledgement the disk is rebuilt and opened with the real code of the product.
"""

import random
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from edoccore.errors import EdocError
from edockit.blobs import BlobFolder
from edockit.database import Database
from tests.campaigns import writer
from tests.campaigns.lossy_disk import LossyDisk
from tests.campaigns.system_calls import read_calls, record

WRITER = Path(writer.__file__)
CHANCES = 2  # disks rebuilt at each cut on which some of what was not synced survived
_KEPT = re.compile(rb"kept (\d+)\n")


@dataclass(frozen=True, slots=True)
class Recording:
    """A run of the writer.

    Attributes:
        log: Its system calls.
        root: The folder it worked on.
        code: With which it ended.
        told: What it said last.
    """

    log: Path
    root: Path
    code: int
    told: str


def record_writer(folder: Path, *, count: int, bug: str = "none", fault: str = "") -> Recording:
    """Runs the writer on an empty folder.

    Args:
        folder: For its data and its record.
        count: Documents to keep.
        bug: Of ``writer.BUGS``.
        fault: Injected by strace, such as ``fsync:error=EIO:when=5``; counted for each thread.
    """
    root, log = folder / "data", folder / "calls"
    root.mkdir(mode=0o700, parents=True)
    options = ["-e", f"inject={fault}"] if fault else []
    command = [sys.executable, "-m", "tests.campaigns.writer", str(root), str(count), bug]
    done = record(command, log, *options)
    return Recording(log, root, done.returncode, done.stderr.strip())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a replay found.

    Attributes:
        cuts: How often the power was cut.
        kept: Documents acknowledged at the last cut.
        lost: The first things missing, in words.
    """

    cuts: int
    kept: int
    lost: tuple[str, ...]


def replay(recording: Recording, *, seed: int = 0, chances: int = CHANCES) -> Verdict:
    """Cuts the power after every acknowledgement, and at the end of the record."""
    cuts, kept, lost = 0, 0, list[str]()
    for disk, acknowledged in _cuts(recording):
        kept = len(acknowledged)
        for chance in (None, *(random.Random(f"{seed}-{cuts}-{n}") for n in range(chances))):
            cuts += 1
            with tempfile.TemporaryDirectory(prefix="edoc-cut-") as name:
                left = Path(name) / "data"
                disk.rebuild(left, chance)
                lost += missing(left, acknowledged)
    return Verdict(cuts, kept, tuple(lost))


def synced_again(recording: Recording) -> list[str]:
    """Files on which an fsync was asked for after one had failed on them."""
    failed: dict[int, str] = {}
    again = []
    for call in read_calls(recording.log):
        if call.name == "close":
            failed.pop(call.descriptor, None)
        elif call.name in {"fsync", "fdatasync"} and call.result is not None:
            if call.descriptor in failed:
                again.append(failed[call.descriptor])
            elif call.failed:
                failed[call.descriptor] = f"{call.name} of descriptor {call.descriptor}"
    return again


def _cuts(recording: Recording) -> Iterator[tuple[LossyDisk, list[int]]]:
    disk, acknowledged = LossyDisk(recording.root), list[int]()
    yield disk, acknowledged
    for call in read_calls(recording.log):
        said = call.name == "write" and call.descriptor == 1 and call.result is not None
        if said and (found := _KEPT.fullmatch(call.texts[0])) is not None:
            acknowledged.append(int(found[1]))
            yield disk, acknowledged
        disk.apply(call)
    yield disk, acknowledged


def missing(left: Path, acknowledged: list[int]) -> list[str]:
    """What of the acknowledged documents is not there whole, as the product itself reads it."""
    if not acknowledged:
        return []
    try:
        opened = Database.open(f"sqlite:///{left / 'node.db'}", metadata=writer.METADATA)
    except EdocError as error:
        return [f"the database does not open: {error.message}"]
    try:
        return _missing_in(opened, BlobFolder(left / "blobs", reserve_bytes=0), acknowledged)
    finally:
        opened.close()


def _missing_in(opened: Database, parts: BlobFolder, acknowledged: list[int]) -> list[str]:
    def found(connection: sa.Connection) -> tuple[str, dict[int, tuple[str, bytes]]]:
        state = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
        rows = connection.execute(sa.select(writer.KEPT)).all()
        return str(state), {row.id: (row.digest, bytes(row.body)) for row in rows}

    state, rows = opened.read(found)
    lost = [] if state == "ok" else [f"the database is damaged: {state}"]
    for number in acknowledged:
        if rows.get(number, ("", b""))[1] != writer.body_of(number):
            lost.append(f"document {number} is not in the database")
            continue
        try:
            with parts.open(rows[number][0]) as reader:
                content = b"".join(reader)
        except EdocError as error:
            lost.append(f"the part of document {number}: {error.message}")
        else:
            assert content == writer.part_of(number)
    return lost
