"""One part of an offer on its way in: written as it comes, on disk every few MiB, whole at its end.

Bytes are written while those before them are being fsynced, so that neither waits for the other.
They count once they are fsynced and the database says so. Memory holds what is handed in, no more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from edoccore.errors import EdocError, PartDigestError, StorageDamagedError, StorageFailedError
from edoccore.signing.statements import uuid_text
from edockit.blobs import BlobFolder, StagingFile
from edockit.threads import opened_in_thread
from edocnode.domain.model import INLINE_PART_BYTES, MessageId, StagedPart
from edocnode.domain.ports import Inbox

STEP_BYTES = 4 * 1024 * 1024  # written since the last fsync began, before the next one does


class Incoming:
    """One part being received; see ``domain.exchange.IncomingPart``."""

    def __init__(self, part: StagedPart, inbox: Inbox, blobs: BlobFolder) -> None:
        """Takes the part and where it goes."""
        self._part = part
        self._inbox = inbox
        self._blobs = blobs
        self._file: StagingFile | None = None
        self._written = part.offset  # on disk or not
        self._turn = asyncio.Lock()  # whoever ends a transfer waits for the write under way
        self._syncing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()  # more is on disk, or nothing will be any more

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

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Takes the next bytes; ``offset`` says when they are on disk.

        Raises:
            PartDigestError: More bytes came than the part has; nothing of it is kept.
            DiskFullError: No room; this transfer takes nothing more.
            StorageFailedError: The disk failed, now or with earlier bytes.
        """
        async with self._turn:
            self._raise_failure()
            file = self._writable()
            size = sum(map(len, chunks))
            if self._written + size > self._part.size:
                await self._discard()
                raise self._damaged("has more bytes than its envelope states")
            try:
                await asyncio.to_thread(_append, file, chunks)
            except EdocError:
                await self._end(file)  # what follows would not be in its place
                raise
            self._written += size
            await self._sync_behind(file)

    async def progress(self, after: int) -> int:
        """Waits until more than ``after`` bytes are on disk; returns how many are.

        Raises:
            StorageFailedError: The disk failed.
        """
        while self._part.offset <= after:
            self._moved.clear()
            await self._moved.wait()
            self._raise_failure()
        return self._part.offset

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
            if self._file is not None:
                await self._end(self._file)
            self._raise_failure()

    async def _finish(self) -> None:
        async with self._turn:
            file = self._writable()
            await self._synced()
            if self._written < self._part.size:
                await self._sync(file)
                raise self._damaged("ended before its last byte")
            self._file = None
            try:
                await asyncio.to_thread(self._settle, file)
            except PartDigestError:
                await self._discard()
                raise
            self._part = replace(self._part, offset=self._part.size)
            await self._note(complete=True)
            if self._part.size > INLINE_PART_BYTES:
                self._blobs.settled([self._part.sha256.hex()])  # its offer needs it

    async def _open_at(self, offset: int) -> StagingFile:
        file = await opened_in_thread(
            lambda: self._blobs.open_staging(self._key(), offset), StagingFile.close
        )
        self._written = offset
        return file

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
        with file:  # a small part waits in staging until it goes into the database
            file.sync()
        if file.sha256() != digest:
            raise self._damaged("has another digest than its envelope states")

    async def _sync_behind(self, file: StagingFile) -> None:
        """Lets a step be fsynced while more is written, but no more than a step more."""
        if self._unsynced() >= 2 * STEP_BYTES:
            await self._synced()
        if self._unsynced() >= STEP_BYTES and (self._syncing is None or self._syncing.done()):
            self._raise_failure()
            self._syncing = asyncio.create_task(self._sync_steps(file))
            self._syncing.add_done_callback(lambda _: self._moved.set())

    async def _sync_steps(self, file: StagingFile) -> None:
        while self._unsynced() >= STEP_BYTES:
            await self._sync(file)

    async def _synced(self) -> None:
        """Waits for the fsync under way, which goes on when whoever waits leaves."""
        task = self._syncing
        if task is not None:
            await asyncio.wait({task})
            self._syncing = None
            task.result()

    def _raise_failure(self) -> None:
        """Raises once what ended the fsync beside the writing."""
        task = self._syncing
        if task is not None and task.done():
            self._syncing = None
            task.result()

    async def _end(self, file: StagingFile) -> None:
        """Keeps what was written so far and takes nothing more."""
        try:
            await self._synced()
            if self._file is not None:
                await self._sync(file)
        finally:
            self._file = None
            await asyncio.to_thread(file.close)

    async def _sync(self, file: StagingFile) -> None:
        try:
            offset = await asyncio.to_thread(file.sync)
        except StorageFailedError:
            self._file = None  # asking again would lie: these bytes never count
            await asyncio.to_thread(file.close)
            raise
        self._part = replace(self._part, offset=offset)
        await self._note(complete=False)
        self._moved.set()

    async def _note(self, *, complete: bool) -> None:
        self._part = replace(self._part, complete=complete)
        await self._inbox.progress(self._part)

    async def _discard(self, *, complete: bool = False) -> None:
        await self._synced()
        file, self._file = self._file, None
        if file is not None:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(self._blobs.discard, self._key())
        self._part = replace(self._part, offset=self._part.size if complete else 0)
        await self._note(complete=complete)

    def _unsynced(self) -> int:
        return self._written - self._part.offset

    def _key(self) -> str:
        return staging_key(self._part.sender, self._part.message_id, self._part.index)

    def _writable(self) -> StagingFile:
        if self._file is None:
            raise PartDigestError("The part was taken over by a newer transfer.")
        return self._file

    def _damaged(self, what: str) -> PartDigestError:
        return PartDigestError(
            f"Part {self._part.index} of message {uuid_text(self._part.message_id)} {what}.",
            message_id=uuid_text(self._part.message_id),
        )


def staging_key(agency: str, message_id: MessageId, index: int) -> str:
    """The name under which a part grows in the folder of parts."""
    return f"{agency}-{message_id.hex()}-{index}"


def _append(file: StagingFile, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        file.append(chunk)
