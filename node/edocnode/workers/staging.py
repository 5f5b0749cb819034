"""Large documents on their way in: what is wanted of an offer, the bytes as they come.

Bytes go to a staging file per part and count only once they are fsynced; the number of fsynced
bytes is kept in the database, so a transfer resumes after any break of either side. A part whose
digest is wrong is discarded and asked for again. Memory is constant: one chunk at a time.
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
    StorageFailedError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, Result, uuid_text
from edockit.blobs import BlobFolder, StagingFile
from edocnode.domain.delivery import PartWanted
from edocnode.domain.model import INLINE_PART_BYTES, Arrival, MessageId, StagedPart
from edocnode.domain.ports import Inbox
from edocnode.domain.receiving import Offered, large_pieces, with_parts
from edocnode.workers.parts import CHUNK_BYTES

STEP_BYTES = 4 * 1024 * 1024  # sent again at most, after a break
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

    async def store_large(self, arrival: Arrival, joined: bytes) -> None:
        """Puts parts that came inline but lie outside the database on disk, before all else.

        Args:
            joined: All parts, verified.

        Raises:
            DiskFullError: There is no room on the disk.
        """
        pieces = large_pieces(arrival, joined) if arrival.result is Result.RECEIVED else []
        key = (arrival.sender, arrival.message_id)
        if not pieces or key in await self._inbox.known([key]):
            return
        for digest, piece in pieces:
            await asyncio.to_thread(self._blobs.put, piece, digest)

    def wanted(self, parts: Sequence[StagedPart]) -> tuple[PartWanted, ...]:
        """What is still to come of an offer."""
        return tuple(
            PartWanted(index=part.index, offset=part.offset) for part in parts if not part.complete
        )

    async def receive(self, agency: str, message_id: MessageId, index: int) -> "Incoming":
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

    async def finished(self, agency: str, arrival: Arrival) -> None:
        """Removes the staging files of an arrival that is kept."""
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
        await asyncio.to_thread(self._blobs.discard, _key(*place))

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
        key = _key(part.sender, part.message_id, part.index)
        with self._blobs.open_staging(key, part.size) as file:
            if file.sha256() != digest:
                raise PartDigestError
            return file.path.read_bytes()


class Incoming:
    """One part being received."""

    def __init__(self, part: StagedPart, inbox: Inbox, blobs: BlobFolder) -> None:
        """Takes the part and where it goes."""
        self._part = part
        self._inbox = inbox
        self._blobs = blobs
        self._file: StagingFile | None = None
        self._unsynced = 0
        self._turn = asyncio.Lock()  # whoever ends a transfer waits for the write under way

    @property
    def offset(self) -> int:
        """Bytes on disk."""
        return self._part.offset

    @property
    def complete(self) -> bool:
        """Whether all bytes are here and have the right digest."""
        return self._part.complete

    async def open(self) -> None:
        """Opens the staging file at the offset that is on disk; anew if the file lost bytes."""
        if self._part.complete:
            return
        try:
            self._file = await self._open_at(self._part.offset)
        except StorageDamagedError:
            here = await asyncio.to_thread(self._is_settled)
            await self._discard(complete=here)
            if not here:
                self._file = await self._open_at(0)

    async def write(self, chunk: bytes) -> bool:
        """Takes the next bytes.

        Returns:
            True when they, and all before them, are now on disk.

        Raises:
            PartDigestError: More bytes came than the part has; nothing of it is kept.
        """
        async with self._turn:
            file = self._writable()
            if self._part.offset + self._unsynced + len(chunk) > self._part.size:
                await self._discard()
                raise self._damaged("has more bytes than its envelope states")
            await asyncio.to_thread(file.append, chunk)
            self._unsynced += len(chunk)
            if self._unsynced < STEP_BYTES:
                return False
            await self._sync(file)
            return True

    async def finish(self) -> None:
        """Ends the part: all bytes on disk, digest verified, moved to its place.

        Raises:
            PartDigestError: Bytes are missing (the transfer broke off: they may follow), or the
                digest is wrong (the part is discarded and asked for again).
        """
        await asyncio.shield(self._finish())  # a caller that leaves does not stop it half way

    async def close(self) -> None:
        """Keeps what came so far; called at every end."""
        async with self._turn:
            file, self._file = self._file, None
            if file is None:
                return
            try:
                await self._sync(file)
            finally:
                await asyncio.to_thread(file.close)

    async def _finish(self) -> None:
        async with self._turn:
            file = self._writable()
            await self._sync(file)
            if self._part.offset < self._part.size:
                raise self._damaged("ended before its last byte")
            self._file = None
            try:
                await asyncio.to_thread(self._settle, file)
            except PartDigestError:
                await self._discard()
                raise
            await self._note(complete=True)

    async def _open_at(self, offset: int) -> StagingFile:
        return await asyncio.to_thread(self._blobs.open_staging, self._key(), offset)

    def _is_settled(self) -> bool:
        """Whether the part had its place already when this node died before noting it."""
        part = self._part
        large = part.size > INLINE_PART_BYTES and part.offset == part.size
        return large and self._blobs.holds(part.sha256.hex(), part.size)

    def _settle(self, file: StagingFile) -> None:
        digest = self._part.sha256.hex()
        if self._part.size > INLINE_PART_BYTES:
            self._blobs.finish(file, digest, size_bytes=self._part.size)
            return
        file.close()  # a small part waits in staging until it goes into the database
        if file.sha256() != digest:
            raise self._damaged("has another digest than its envelope states")

    async def _sync(self, file: StagingFile) -> None:
        try:
            offset = await asyncio.to_thread(file.sync)
        except StorageFailedError:
            self._file = None  # asking again would lie: these bytes never count
            await asyncio.to_thread(file.close)
            raise
        self._unsynced = 0
        self._part = replace(self._part, offset=offset)
        await self._note(complete=False)

    async def _note(self, *, complete: bool) -> None:
        self._part = replace(self._part, complete=complete)
        await self._inbox.progress(self._part)

    async def _discard(self, *, complete: bool = False) -> None:
        file, self._file = self._file, None
        if file is not None:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(self._blobs.discard, self._key())
        self._unsynced = 0
        self._part = replace(self._part, offset=self._part.size if complete else 0)
        await self._note(complete=complete)

    def _key(self) -> str:
        return _key(self._part.sender, self._part.message_id, self._part.index)

    def _writable(self) -> StagingFile:
        if self._file is None:
            raise PartDigestError("The part was taken over by a newer transfer.")
        return self._file

    def _damaged(self, what: str) -> PartDigestError:
        return PartDigestError(
            f"Part {self._part.index} of message {uuid_text(self._part.message_id)} {what}.",
            message_id=uuid_text(self._part.message_id),
        )


def _are_parts_of(staged: Sequence[StagedPart], arrival: Arrival) -> bool:
    """Whether what is staged is what this very envelope states."""
    return [(part.index, part.size, part.sha256.hex()) for part in staged] == [
        (part.index, part.size, part.sha256) for part in arrival.parts
    ]


def _key(agency: str, message_id: MessageId, index: int) -> str:
    return f"{agency}-{message_id.hex()}-{index}"


def _place(key: str) -> Place | None:
    """The place that a staging file is for; None for a file of others."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    return found["agency"], MessageId(bytes.fromhex(found["message"])), int(found["index"])
