"""Parts that a disk damaged or a restore lost: who can give them back, and when to ask.

A part is known by its digest, so whoever has had it may give it back and nobody has to be believed:
the sender of a received document, or a recipient that acknowledged a sent one.

Source: proto/README.md, section Repair.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from edoccore.signing.digests import digest_of
from edoccore.signing.statements import Part
from edocnode.domain.model import INLINE_PART_BYTES, DocumentId, MessageId
from edocnode.domain.setting_aside import Waiting

PART_DAMAGED = "PART_DAMAGED"  # alarm; its subject is the part's digest, or the document's id
FIRST_WAIT = timedelta(seconds=10)  # after a source could not give a part back
LONGEST_WAIT = timedelta(hours=1)
SOURCES = 20  # asked for one part before the next wait


@dataclass(frozen=True, slots=True, kw_only=True)
class PartName:
    """One part of one envelope, as two nodes name it to each other.

    Attributes:
        envelope_digest: SHA-256 of the envelope's exact bytes.
        index: Of the part; None: the envelope itself.
    """

    message_id: MessageId
    envelope_digest: bytes
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSourceAt:
    """Whose node has had a part, and under which name."""

    agency: str
    name: PartName


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part that is stored here; ``inline`` is None when it lies in the blob folder."""

    part: Part
    inline: bytes | None


@dataclass(frozen=True, slots=True)
class Large:
    """A part of the blob folder, as something that may be set aside."""

    sha256: str

    def __str__(self) -> str:
        """As an alarm names it."""
        return f"part {self.sha256}"


@dataclass(frozen=True, slots=True)
class Incomplete(Waiting):
    """Where a document is that lacks parts: an arrival, or a document that was sent from here."""

    received: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedPart:
    """A part of the blob folder that is not what was stored, or is not there.

    Attributes:
        attempts: How often nobody could give it back.
    """

    sha256: str
    size: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteDocument:
    """A document whose parts are not all here.

    A sent one, of which a restore left only the record; or one whose small parts the disk damaged.

    Attributes:
        received: From another node; otherwise sent from here.
        row: Local to this node: of the arrival, or of the document.
        document_id: As people know it.
        parts: As they were sealed; None: the envelope is damaged too, and comes first.
        inline: The bytes that are here.
        sources: Who has had it: its sender, or recipients that acknowledged it; the names have
            index 0, or none when the envelope is wanted.
    """

    received: bool
    row: int
    document_id: DocumentId
    parts: tuple[Part, ...] | None
    inline: bytes
    sources: tuple[PartSourceAt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallParts:
    """The parts of a document that lie in the database, as they are read back.

    Attributes:
        received, row, document_id: As in ``IncompleteDocument``.
        parts: All parts as they were sealed; None when that cannot be read any more.
        inline: The bytes of the small ones, joined.
    """

    received: bool
    row: int
    document_id: DocumentId
    parts: tuple[Part, ...] | None
    inline: bytes


def damaged_parts_of(found: SmallParts) -> list[Part] | None:
    """Those small parts that are not what was sealed; None when nobody can tell."""
    if found.parts is None:
        return None
    damaged, start = [], 0
    for part in found.parts:
        if part.size <= INLINE_PART_BYTES:
            if digest_of(found.inline[start : start + part.size]).hex() != part.sha256:
                damaged.append(part)
            start += part.size
    return damaged


class Suspects(Protocol):
    """Whoever must hear that something read back is not what was stored; from any thread."""

    def suspect(self, digest: str) -> None:
        """Has a part of the blob folder looked at."""

    def suspect_document(self, document_id: DocumentId) -> None:
        """Has the small parts of a document looked at."""


def wait_after(attempts: int, *, jitter: float) -> timedelta:
    """How long to wait after nobody could give a part back.

    Args:
        attempts: 1 after the first time.
        jitter: Random number in [0, 1).
    """
    return min(FIRST_WAIT * (1 << min(attempts - 1, 20)), LONGEST_WAIT) * (0.75 + jitter / 2)


class RepairStore(Protocol):
    """What repair needs of storage; each method is one atomic transaction."""

    async def stored_part(self, agency: str, name: PartName) -> StoredPart | None:
        """A part that this agency may have back; None when it is not here or not for it.

        Args:
            agency: That asks: the one that sealed the envelope, or the one it was sent to and that
                acknowledged it.
        """

    async def blob_size(self, sha256: str) -> int | None:
        """Size of a part of the blob folder that a document uses; None when none does."""

    async def blobs_after(self, sha256: str, limit: int) -> Sequence[tuple[str, int]]:
        """Digest and size of used parts of the blob folder, in order of digest, after one."""

    async def note_damage(self, sha256: str, size: int, message: str, at: datetime) -> bool:
        """Notes that a part must be fetched, with an alarm. Returns False when it was noted."""

    async def damaged_parts(
        self, now: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[DamagedPart]:
        """Damaged parts whose next attempt is due, the longest damaged first.

        Args:
            without: Digests that are left out; beside the ``limit``.
        """

    async def part_sources(self, sha256: str) -> Sequence[PartSourceAt]:
        """Who can give a part of the blob folder back; at most ``SOURCES``."""

    async def not_repaired(self, sha256: str, message: str, next_at: datetime) -> None:
        """Notes that nobody could give a part back."""

    async def repaired(self, sha256: str) -> int:
        """Ends a damage and its alarm; deliveries held for it are queued again: how many.

        Documents whose check of signatures found the part missing are checked again.
        """

    async def incomplete_documents(
        self, after: int, limit: int, *, received: bool
    ) -> Sequence[Incomplete]:
        """Documents without all their parts, by row, after one."""

    async def incomplete_document(self, item: Incomplete) -> IncompleteDocument | None:
        """One of them, with those who can give it back; None when it has all its parts by now."""

    async def complete_document(self, document: IncompleteDocument, inline: bytes) -> int:
        """Notes that all parts are here; deliveries held for it are queued again: how many.

        If the check of its signatures found one missing, it is checked again.

        Args:
            inline: All parts up to ``INLINE_PART_BYTES``, joined; the larger ones are in the blob
                folder.
        """

    async def small_parts(self, after: int, limit: int, *, received: bool) -> Sequence[SmallParts]:
        """Small parts of documents that should be whole, by row, after one."""

    async def small_parts_of(self, document_id: DocumentId) -> Sequence[SmallParts]:
        """Small parts of a document, received or sent, that should be whole."""

    async def note_small_damage(self, found: SmallParts, message: str, at: datetime) -> bool:
        """Notes that small parts must be fetched, with an alarm. Returns False when it was noted.

        The document is incomplete from then on, unless it was sent and what was kept of its parts
        cannot be read.
        """

    async def mend_envelope(self, document: IncompleteDocument, envelope: bytes) -> None:
        """Puts a received envelope back in its place; the parts are looked at afterwards.

        Args:
            envelope: Has the digest that was noted when it arrived.
        """

    async def found_sound(self, found: SmallParts) -> None:
        """Has signatures checked again if a check found one of these parts missing."""

    async def unused(self, digests: Sequence[str]) -> set[str]:
        """Those parts of the blob folder that no document, offer or repair needs."""

    async def scrubbed_up_to(self, what: str) -> str:
        """How far the scrubber has come with ``what``; empty at the beginning."""

    async def note_scrubbed(self, what: str, place: str) -> None:
        """Remembers how far the scrubber has come; empty: it begins anew."""
