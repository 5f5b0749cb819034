"""Parts that a disk damaged or a restore lost: who can give them back, and when to ask.

A part is known by its digest, so whoever has had it may give it back and nobody has to be believed:
the sender of a received document, or a recipient that acknowledged a sent one.

Source: proto/README.md, section Repair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from edoccore.signing.statements import Part
from edocnode.domain.model import MessageId

PART_DAMAGED = "PART_DAMAGED"  # alarm; its subject is the part's digest
FIRST_WAIT = timedelta(seconds=10)  # after a source could not give a part back
LONGEST_WAIT = timedelta(hours=1)
SOURCES = 20  # asked for one part before the next wait


@dataclass(frozen=True, slots=True, kw_only=True)
class PartName:
    """One part of one envelope, as two nodes name it to each other.

    Attributes:
        envelope_digest: SHA-256 of the envelope's exact bytes.
    """

    message_id: MessageId
    envelope_digest: bytes
    index: int


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
    """A sent document of which a restore left only the record, or less.

    Attributes:
        row: Of the document, local to this node.
        inline: The bytes that are here.
        sources: Recipients that acknowledged it; the names have index 0.
    """

    row: int
    parts: tuple[Part, ...]
    inline: bytes
    sources: tuple[PartSourceAt, ...]


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

    async def damaged_parts(self, now: datetime, limit: int) -> Sequence[DamagedPart]:
        """Damaged parts whose next attempt is due, the longest damaged first."""

    async def part_sources(self, sha256: str) -> Sequence[PartSourceAt]:
        """Who can give a part of the blob folder back; at most ``SOURCES``."""

    async def not_repaired(self, sha256: str, message: str, next_at: datetime) -> None:
        """Notes that nobody could give a part back."""

    async def repaired(self, sha256: str) -> int:
        """Ends a damage and its alarm; deliveries held for it are queued again: how many."""

    async def incomplete_documents(self, after: int, limit: int) -> Sequence[IncompleteDocument]:
        """Sent documents without all their parts, by row, after one."""

    async def complete_document(self, row: int, inline: bytes) -> int:
        """Notes that all parts are here; deliveries held for it are queued again: how many.

        Args:
            inline: All parts up to ``INLINE_PART_BYTES``, joined; the larger ones are in the blob
                folder.
        """

    async def unused(self, digests: Sequence[str]) -> set[str]:
        """Those parts of the blob folder that no document, offer or repair needs."""

    async def scrubbed_up_to(self) -> str:
        """Digest of the last part that the scrubber has read; empty at the beginning."""

    async def note_scrubbed(self, sha256: str) -> None:
        """Remembers how far the scrubber has come; empty: it begins anew."""
