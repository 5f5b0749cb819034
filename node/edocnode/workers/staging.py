"""Large documents on their way in: what is wanted of an offer, and what becomes of its parts.

Bytes go to a staging file per part (``incoming``) and count only once they are fsynced; the number
of fsynced bytes is kept in the database, so a transfer resumes after any break of either side. A
part whose digest is wrong is discarded and asked for again. Memory does not depend on sizes.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

import structlog

from edoccore.errors import (
    DocumentUnknownError,
    EdocError,
    PartDigestError,
    QuotaError,
    StorageDamagedError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, Result, uuid_text
from edockit.blobs import BlobFolder
from edocnode.domain.delivery import PartWanted
from edocnode.domain.model import INLINE_PART_BYTES, Arrival, MessageId, StagedPart
from edocnode.domain.ports import Inbox
from edocnode.domain.receiving import Offered, large_pieces, with_parts
from edocnode.workers.incoming import Incoming, staging_key
from edocnode.workers.parts import CHUNK_BYTES
from edocnode.workers.twins import Twins

PEERS_RESERVES = 1.25  # of the disk stay free, so that one filled by peers serves the own office
STAGE_LIFE = timedelta(days=7)  # an offer nobody goes on with is forgotten after it

Place = tuple[str, MessageId, int]  # sender, message, index of the part
_KEY = re.compile(r"(?P<agency>[^-]+)-(?P<message>[0-9a-f]{32})-(?P<index>[0-9]+)")

log = structlog.get_logger(__name__)


class Staging:
    """The parts of offers, until their document is kept."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        blobs: BlobFolder,
        quota_bytes: int,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts.

        Args:
            quota_bytes: What one agency may have unfinished at a time.
        """
        self._inbox = inbox
        self._blobs = blobs
        self._quota = quota_bytes
        self._clock = clock
        self._twins = Twins(blobs)
        # At most one handle on a staging file: two would write into each other's part.
        self._open: WeakValueDictionary[Place, Incoming] = WeakValueDictionary()
        self._turns: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()

    async def offer(self, agency: str, arrival: Arrival) -> Sequence[StagedPart]:
        """Remembers an offer, having reserved room for all of it.

        Raises:
            QuotaError: The agency has too much unfinished.
            DiskFullError: There is no room on the disk.
        """
        known = await self._inbox.staged(agency, arrival.message_id)
        if _are_parts_of(known, arrival):
            return known
        total = sum(part.size for part in arrival.parts)
        unfinished = await self._inbox.staged_bytes(agency)
        if unfinished + total > self._quota:
            raise QuotaError(
                f"{agency} has {unfinished} bytes unfinished here; {total} more are over its "
                f"{self._quota}.",
                agency=agency,
            )
        await asyncio.to_thread(self._blobs.reserve, total, reserves=PEERS_RESERVES)
        parts = [
            StagedPart(
                sender=agency,
                message_id=arrival.message_id,
                index=part.index,
                size=part.size,
                sha256=bytes.fromhex(part.sha256),
                offset=0,
                complete=False,
            )
            for part in arrival.parts
        ]
        now = self._clock()
        return await self._inbox.stage(agency, arrival.envelope, parts, now, now + STAGE_LIFE)

    async def store_large(self, arrival: Arrival, joined: bytes) -> list[str]:
        """Puts parts that came inline but lie outside the database on disk, before all else.

        Args:
            joined: All parts, verified.

        Returns:
            The digests put there, to be given to ``kept`` when the arrival is.

        Raises:
            DiskFullError: There is no room on the disk.
        """
        pieces = large_pieces(arrival, joined) if arrival.result is Result.RECEIVED else []
        key = (arrival.sender, arrival.message_id)
        if not pieces or key in await self._inbox.known([key]):
            return []
        for digest, piece in pieces:
            await asyncio.to_thread(self._blobs.put, piece, digest)
        return [digest for digest, _ in pieces]

    def kept(self, digests: Sequence[str]) -> None:
        """Notes that arrivals are kept whose parts ``store_large`` put on disk."""
        self._blobs.settled(digests)

    def wanted(self, parts: Sequence[StagedPart]) -> tuple[PartWanted, ...]:
        """What is still to come of an offer."""
        return tuple(
            PartWanted(index=part.index, offset=part.offset) for part in parts if not part.complete
        )

    async def receive(self, agency: str, message_id: MessageId, index: int) -> Incoming:
        """Opens a part for its bytes, at the offset that is on disk. A later call ends this one.

        Raises:
            DocumentUnknownError: No such offer of this agency.
        """
        place = (agency, message_id, index)
        async with self._turns.setdefault(place, asyncio.Lock()):
            await self._end_transfer(place)
            incoming = Incoming(await self._staged(place), self._inbox, self._blobs)
            self._open[place] = incoming
            await incoming.open()
        return incoming

    async def complete(self, agency: str, offer: Offered) -> Arrival:
        """The arrival of an offer whose parts are all here.

        Raises:
            RecordInvalidError: Check 11.
            PartDigestError: A part vanished from the disk; it is asked for again.
        """
        parts = await self._inbox.staged(agency, offer.arrival.message_id)
        if not _are_parts_of(parts, offer.arrival) or not all(part.complete for part in parts):
            raise PartDigestError(
                f"The parts here for message {uuid_text(offer.arrival.message_id)} are those of "
                f"another envelope; they are asked for again."
            )
        pieces = [await self._read(part) for part in parts]
        return with_parts(offer.arrival, offer.envelope, pieces)

    async def twins(
        self, agency: str, offers: Sequence[Offered]
    ) -> tuple[list[Arrival], list[Offered]]:
        """Completes offers whose parts this agency delivered a moment ago, with the others left."""
        return await self._twins.complete(agency, offers)

    async def finished(self, agency: str, arrival: Arrival) -> None:
        """Removes the staging files of an arrival that is kept."""
        self._twins.delivered(agency, arrival)
        for part in arrival.parts:
            await self._remove((agency, arrival.message_id, part.index))

    async def large_record(self, envelope: SealedStatement) -> bytes:
        """The record of a kept envelope from the blob folder.

        Empty when it is not there (a rejected one was never kept) or does not fit into a message.
        """
        record = canonical.decode(envelope.statement, Envelope).parts[0]
        if not INLINE_PART_BYTES < record.size <= CHUNK_BYTES:
            return b""
        try:
            return await asyncio.to_thread(self._whole_blob, record.sha256)
        except StorageDamagedError:
            return b""

    async def sweep(self) -> None:
        """Forgets offers whose lifetime ended, and removes files that no offer knows any more.

        Such files are left by a node that died after an offer was forgotten, before its files were.
        """
        self._twins.forget()
        for part in await self._inbox.expired_stages(self._clock()):
            await self._remove((part.sender, part.message_id, part.index))
        for place in await asyncio.to_thread(self._places_on_disk):
            agency, message_id, index = place
            known = await self._inbox.staged(agency, message_id)
            if all(part.index != index for part in known):
                await self._remove(place)

    async def _staged(self, place: Place) -> StagedPart:
        agency, message_id, index = place
        parts = await self._inbox.staged(agency, message_id)
        part = next((item for item in parts if item.index == index), None)
        if part is None:
            raise DocumentUnknownError(
                f"{agency} has offered no part {index} of message {uuid_text(message_id)}.",
                hint="Offer the envelope again.",
                agency=agency,
            )
        return part

    async def _end_transfer(self, place: Place) -> None:
        if (before := self._open.get(place)) is not None:
            await before.close()

    async def _remove(self, place: Place) -> None:
        await self._end_transfer(place)
        await asyncio.to_thread(self._blobs.discard, staging_key(*place))

    async def _read(self, part: StagedPart) -> bytes:
        try:
            return await asyncio.to_thread(self._read_now, part)
        except EdocError as error:
            await self._inbox.progress(replace(part, offset=0, complete=False))
            raise PartDigestError(
                f"Part {part.index} of message {uuid_text(part.message_id)} is damaged on the "
                f"recipient's disk; it is asked for again."
            ) from error

    def _places_on_disk(self) -> list[Place]:
        places = map(_place, (item.key for item in self._blobs.iter_staging()))
        return [place for place in places if place is not None]

    def _whole_blob(self, digest: str) -> bytes:
        with self._blobs.open(digest) as reader:
            return b"".join(reader)

    def _read_now(self, part: StagedPart) -> bytes:
        """The bytes of a part that is needed in memory; of others only that they are here."""
        digest = part.sha256.hex()
        if part.size > INLINE_PART_BYTES:
            if part.index == 0:
                return self._whole_blob(digest)
            if not self._blobs.holds(digest, part.size):
                raise PartDigestError
            return b""
        key = staging_key(part.sender, part.message_id, part.index)
        with self._blobs.open_staging(key, part.size) as file:
            if file.sha256() != digest:
                raise PartDigestError
            return file.path.read_bytes()


def _are_parts_of(staged: Sequence[StagedPart], arrival: Arrival) -> bool:
    """Whether what is staged is what this very envelope states."""
    return [(part.index, part.size, part.sha256.hex()) for part in staged] == [
        (part.index, part.size, part.sha256) for part in arrival.parts
    ]


def _place(key: str) -> Place | None:
    """The place that a staging file is for; None for a file of others."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    return found["agency"], MessageId(bytes.fromhex(found["message"])), int(found["index"])
