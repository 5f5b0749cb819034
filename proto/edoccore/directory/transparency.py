"""The log of all directories that the registry ever published, so that none is shown to one alone.

An RFC 6962 tree. A leaf is 40 bytes: the version of a snapshot (8 bytes, highest first) and the
SHA-256 of its file. The registry appends one leaf for each version it publishes and signs size and
root as a checkpoint (C2SP tlog-checkpoint, a signed note). Witnesses, nodes of other agencies, see
that it only grows and cosign it. Every node keeps all leaves: they are smaller than the proofs
would be, whoever has them computes any proof by itself, and a registry that lost its log gets it
back from any of them.

What a log shows: a directory that only some were shown is in no checkpoint that enough witnesses
cosigned, or the checkpoint that has it continues no other one. Two checkpoints under one key of
which none continues the other prove it (``log_fork``). Nothing here stops the exchange.

Source: proto/README.md, section Log; RFC 6962, 2.1; https://c2sp.org/tlog-checkpoint@v1.0.0
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from edoccore.directory.layout import (
    COSIGN_AGAIN_AFTER,
    LOG_PATIENCE,
    WITNESS_PATIENCE,
    LogInfo,
    WitnessListing,
)
from edoccore.directory_errors import LogInvalidError, NoteInvalidError
from edoccore.signing.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash
from edoccore.signing.notes import (
    Kind,
    Note,
    VerifierKey,
    cosigned_at,
    is_signed_by,
    read_note,
    read_verifier_key,
)
from edoccore.signing.statements import DirectoryMark, Time, parse_time, time_text

LEAF_BYTES = 40
MAX_LEAVES = 1 << 21  # 84 MB; a nation publishes some 10,000 versions a year
MAX_LEAVES_SENT = 20_000  # in one answer, 800 kB
CLOCKS_DIFFER = timedelta(minutes=10)  # a cosignature from later than that is of a wrong clock
_CHECKPOINT_LINES = 4  # the last is empty: a text ends with a newline
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root that a log signed.

    Attributes:
        origin: Name of the log.
        note: With its signatures, which are not looked at yet.
    """

    origin: str
    size: int
    root: bytes
    note: Note

    @property
    def head(self) -> tuple[int, bytes]:
        """Size and root; two checkpoints of one size must agree in it."""
        return self.size, self.root


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """What a source has of the log; all empty: nothing but what the asker has.

    Attributes:
        checkpoint: The newest signed note.
        witnessed: The newest that enough witnesses cosigned, the same or an older one; or empty.
        leaves: From the size that was asked for on, perhaps not all.
        asks: The registry waits to be shown what its agencies hold.
    """

    checkpoint: bytes = b""
    witnessed: bytes = b""
    leaves: bytes = b""
    asks: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryLog:
    """A log in hand: its leaves lead to the root that it signed.

    Attributes:
        info: Whose signatures were looked at.
        leaves: ``LEAF_BYTES`` each.
        frontier: Over them; never appended to.
        checkpoint: The newest signed note.
        witnessed: As in ``LogAnswer``.
    """

    info: LogInfo
    leaves: bytes
    frontier: Frontier
    checkpoint: bytes
    witnessed: bytes

    @property
    def size(self) -> int:
        """Leaves."""
        return self.frontier.size

    @property
    def digest(self) -> bytes:
        """SHA-256 of the notes in hand: who has the same has nothing newer."""
        return sha256(self.checkpoint + self.witnessed).digest()

    def root_at(self, size: int) -> bytes:
        """The root over the first ``size`` leaves."""
        return self.frontier.root() if size == self.size else root_at(self.leaves, size)

    def place_of(self, mark: DirectoryMark) -> int | None:
        """The leaf of a version, from 0; None: it was never logged."""
        return place_of(self.leaves, mark)


def leaf_of(mark: DirectoryMark) -> bytes:
    """The leaf of a version."""
    return mark.version.to_bytes(8) + bytes.fromhex(mark.hash)


def mark_in(leaf: bytes) -> DirectoryMark:
    """The version that a leaf names."""
    return DirectoryMark(version=int.from_bytes(leaf[:8]), hash=leaf[8:].hex())


def leaves_in(data: bytes) -> Iterator[bytes]:
    """The leaves of a log, one by one.

    Raises:
        LogInvalidError: The last one is not whole, or there are too many.
    """
    if len(data) % LEAF_BYTES or len(data) > MAX_LEAVES * LEAF_BYTES:
        raise LogInvalidError(f"{len(data)} bytes are no leaves of a log.")
    for start in range(0, len(data), LEAF_BYTES):
        yield data[start : start + LEAF_BYTES]


def place_of(leaves: bytes, mark: DirectoryMark) -> int | None:
    """The newest leaf of a version, from 0; None: there is none."""
    wanted, end = leaf_of(mark), len(leaves)
    while (at := leaves.rfind(wanted, 0, end)) >= 0:
        if at % LEAF_BYTES == 0:
            return at // LEAF_BYTES
        end = at + LEAF_BYTES - 1
    return None


def grown(frontier: Frontier, leaves: bytes) -> Frontier:
    """The frontier after some more leaves.

    Raises:
        LogInvalidError: They are no leaves.
    """
    after = Frontier(frontier.size, frontier.hashes)
    for leaf in leaves_in(leaves):
        after.append(leaf_hash(leaf))
    return after


def root_at(leaves: bytes, size: int) -> bytes:
    """The root over the first ``size`` leaves."""
    return grown(Frontier(), leaves[: size * LEAF_BYTES]).root()


def leaf_hashes(leaves: bytes) -> list[bytes]:
    """The hash of each leaf, for proofs."""
    return [leaf_hash(leaf) for leaf in leaves_in(leaves)]


def origin_of(network: str) -> str:
    """Name of a network's log."""
    return f"{network}/edoc-directory"


def witness_name(network: str, agency: str) -> str:
    """Name under which an agency's node cosigns."""
    return f"{network}/edoc-witness/{agency}"


def log_key(info: LogInfo) -> VerifierKey:
    """The key of a log's checkpoints.

    Raises:
        NoteInvalidError: The directory lists something else.
    """
    return read_verifier_key(info.key, Kind.NOTE)


def witness_key(listed: WitnessListing) -> VerifierKey:
    """The key of a witness; raises as ``log_key``."""
    return read_verifier_key(listed.key, Kind.COSIGNATURE)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The text that a log signs."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n"


def read_checkpoint(data: bytes) -> Checkpoint:
    """Reads a checkpoint; signatures are not checked.

    Raises:
        NoteInvalidError: It is none.
    """
    note = read_note(data)
    lines = note.text.split("\n")
    if len(lines) != _CHECKPOINT_LINES or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise NoteInvalidError("A checkpoint is a name, a size and a root.")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        root = b""
    found = Checkpoint(lines[0], int(lines[1]), root, note)
    if len(root) != HASH_BYTES or checkpoint_text(found.origin, found.size, root) != note.text:
        raise NoteInvalidError("A checkpoint has one form only.")
    return found


def signed_checkpoint(data: bytes, info: LogInfo) -> Checkpoint:
    """Reads a checkpoint that the log of a directory signed.

    Raises:
        NoteInvalidError: It did not.
    """
    found, key = read_checkpoint(data), log_key(info)
    if found.origin != key.name or not is_signed_by(found.note, key):
        raise NoteInvalidError(f"The checkpoint is not signed by the log {key.name}.")
    return found


def cosignatures(note: Note, info: LogInfo) -> dict[str, int]:
    """When each listed witness cosigned a note, by agency; who did not is left out.

    Raises:
        NoteInvalidError: A line in the name of a witness was forged.
    """
    found = {item.agency: cosigned_at(note, witness_key(item)) for item in info.witnesses}
    return {agency: time for agency, time in found.items() if time is not None}


def witnessed_since(note: Note, info: LogInfo, now: datetime) -> datetime | None:
    """Since when enough witnesses say that nothing newer was shown to them; None: not enough do.

    The moment of the one that said it first, of as many of the newest as must.
    """
    latest = (now + CLOCKS_DIFFER).timestamp()
    times = sorted(time for time in cosignatures(note, info).values() if time <= latest)
    if info.threshold < 1 or len(times) < info.threshold:
        return None
    return datetime.fromtimestamp(times[-info.threshold], UTC)


def begin(info: LogInfo, answer: LogAnswer) -> DirectoryLog:
    """A log of which nothing was in hand; the answer has all leaves.

    Raises:
        LogInvalidError, NoteInvalidError: As ``take``.
    """
    empty = DirectoryLog(info, b"", Frontier(), b"", b"")
    return take(empty, answer)


def take(held: DirectoryLog, answer: LogAnswer) -> DirectoryLog:
    """The log in hand, with what a source has besides.

    Args:
        held: In hand; its ``info`` says whose signatures count.
        answer: All leaves from ``held.size`` up to the checkpoint's size.

    Raises:
        LogInvalidError: The leaves do not lead to the root that was signed: the source lies, or
            the log does not continue the one in hand, which ``log_fork`` then shows.
        NoteInvalidError: A note is not signed as it must be.
    """
    checkpoint = signed_checkpoint(answer.checkpoint, held.info)
    frontier = grown(held.frontier, answer.leaves)
    if (frontier.size, frontier.root()) != checkpoint.head:
        raise LogInvalidError(
            f"The log's checkpoint of size {checkpoint.size} does not continue the {held.size} "
            "versions in hand."
        )
    leaves = held.leaves + answer.leaves
    found = DirectoryLog(held.info, leaves, frontier, answer.checkpoint, held.witnessed)
    return _with_witnessed(found, answer.witnessed)


def under(held: DirectoryLog, info: LogInfo) -> DirectoryLog:
    """The same leaves where the directory now lists another policy; notes of other keys fall."""
    if held.info == info:
        return held
    if held.info.key != info.key:
        return replace(held, info=info, checkpoint=b"", witnessed=b"")
    return replace(held, info=info)


def _with_witnessed(log: DirectoryLog, data: bytes) -> DirectoryLog:
    """Takes the witnessed note, which must be about a beginning of the same leaves."""
    if not data or data == log.witnessed:
        return log
    witnessed = signed_checkpoint(data, log.info)
    if witnessed.size > log.size or log.root_at(witnessed.size) != witnessed.root:
        raise LogInvalidError("What the witnesses cosigned is not a beginning of this log.")
    cosignatures(witnessed.note, log.info)
    return replace(log, witnessed=data)


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log is worth at a moment.

    Attributes:
        size: Versions in it.
        is_logged: Whether the directory in force is among them.
        is_covered: Whether it is among those that enough witnesses have cosigned.
        witnessed_size: How many those are; 0: none.
        witnessed_at: Since when enough witnesses say that nothing newer was shown to them; None:
            too few do.
    """

    size: int
    is_logged: bool
    is_covered: bool
    witnessed_size: int
    witnessed_at: datetime | None


def judge_log(log: DirectoryLog, mark: DirectoryMark, now: datetime) -> LogState:
    """Judges a log against the directory in force."""
    found = []
    for data in {log.witnessed, log.checkpoint} - {b""}:
        checkpoint = read_checkpoint(data)
        since = witnessed_since(checkpoint.note, log.info, now)
        if since is not None:
            found.append((checkpoint.size, since))
    size, at = max(found, default=(0, None))
    place = log.place_of(mark)
    is_logged = place is not None
    is_covered = place is not None and (log.info.threshold < 1 or place < size)
    return LogState(log.size, is_logged, is_covered, size, at)


class Waiting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Since when something is missing; kept over restarts. Times are those of statements.

    Attributes:
        unlogged_since: The directory in force is not in the log; empty: it is.
        uncovered_since: Too few have cosigned it; empty: enough have.
        place: The leaf that they had to cosign then. When they have, the time begins anew, so that
            a log that always grows is not taken for one that nobody watches.
    """

    unlogged_since: Time | Literal[""] = ""
    uncovered_since: Time | Literal[""] = ""
    place: int = 0


def waiting_after(before: Waiting, state: LogState | None, now: datetime) -> Waiting:
    """What is missing now, and since when.

    Args:
        state: Of the log in hand; None: there is none, though the directory names one.
    """
    if state is None:
        return Waiting(unlogged_since=before.unlogged_since or time_text(now))
    if state.is_covered:
        return Waiting()
    unlogged = "" if state.is_logged else before.unlogged_since or time_text(now)
    if before.uncovered_since and state.witnessed_size <= before.place:
        return Waiting(
            unlogged_since=unlogged, uncovered_since=before.uncovered_since, place=before.place
        )
    place = state.size - 1 if state.is_logged else state.size
    return Waiting(unlogged_since=unlogged, uncovered_since=time_text(now), place=place)


def overdue(info: LogInfo, state: LogState | None, waiting: Waiting, now: datetime) -> str:
    """What has been missing for too long, for a person; empty: nothing.

    Args:
        info: As the directory in force lists it.
    """
    if _is_longer(waiting.unlogged_since, LOG_PATIENCE, now):
        return _NOT_LOGGED
    if info.threshold < 1 or state is None:
        return ""
    is_old = state.witnessed_at is not None and now - state.witnessed_at > WITNESS_PATIENCE
    if is_old or _is_longer(waiting.uncovered_since, WITNESS_PATIENCE, now):
        return (
            f"For more than {WITNESS_PATIENCE // timedelta(hours=1)} hours fewer than "
            f"{info.threshold} witnesses have cosigned the log as it was shown to this node."
        )
    return ""


def _is_longer(since: str, limit: timedelta, now: datetime) -> bool:
    return bool(since) and now - parse_time(since) > limit


_NOT_LOGGED = (
    f"For more than {LOG_PATIENCE // timedelta(minutes=1)} minutes the directory in force has not "
    "been in the log of published versions: it may have been made for this node alone."
)


def weakened(before: LogInfo, after: LogInfo | None) -> str:
    """In which way fewer watch over the log than before, for a person; empty: in none."""
    if after is None:
        return "The directory names no log any more."
    if after.threshold < before.threshold:
        return f"{after.threshold} witnesses are enough now, not {before.threshold}."
    kept = set(after.witnesses)
    gone = [item.agency for item in before.witnesses if item not in kept]
    return f"Witnesses that watch no more, or have another key: {', '.join(gone)}." if gone else ""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What a witness cosigned last; size 0: nothing yet.

    Attributes:
        time: Of that, seconds since 1970.
    """

    size: int
    root: bytes
    time: int


NOTHING_COSIGNED = Cosigned(0, EMPTY_ROOT, 0)


def require_continued(log: DirectoryLog, before: Cosigned) -> None:
    """Accepts a log that continues what a witness cosigned last.

    Raises:
        LogInvalidError: It is shorter, or another one: the witness must never cosign it.
    """
    if log.size < before.size:
        raise LogInvalidError(
            f"The log has {log.size} versions; this node has cosigned {before.size} already."
        )
    if log.root_at(before.size) != before.root:
        raise LogInvalidError(
            f"The log does not continue the {before.size} versions that this node cosigned."
        )


def cosigns_now(log: DirectoryLog, key: VerifierKey, before: Cosigned, now: datetime) -> bool:
    """Whether a witness has something to say: something new, or the same after some hours.

    Args:
        key: Of the witness.
    """
    checkpoint = read_checkpoint(log.checkpoint)
    said = cosigned_at(checkpoint.note, key)
    return (
        checkpoint.head != (before.size, before.root)
        or said is None
        or now.timestamp() - said >= COSIGN_AGAIN_AFTER.total_seconds()
    )
