"""The bytes of parts that are stored here: from the row of a document or from the blob folder."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from edoccore.errors import PartDigestError, StorageDamagedError
from edoccore.signing.statements import Part, uuid_text
from edockit.blob_reader import BlobReader
from edockit.blobs import BlobFolder
from edockit.threads import opened_in_thread
from edocnode.domain.model import INLINE_PART_BYTES, QueuedDelivery
from edocnode.domain.repair import StoredPart

CHUNK_BYTES = 960 * 1024  # a message is at most 1 MiB


class PartShelf:
    """Finds the bytes of a delivery's parts."""

    def __init__(self, blobs: BlobFolder, on_damage: Callable[[str], None]) -> None:
        """Takes the folder of the large ones.

        Args:
            on_damage: Told the digest of a part that is not what was stored; from any thread.
        """
        self._blobs = blobs
        self._on_damage = on_damage

    async def joined(self, delivery: QueuedDelivery) -> bytes:
        """All parts, joined in order; for documents that ride with their envelope.

        Raises:
            StorageDamagedError: A part is missing or not what was stored.
        """
        if len(delivery.inline) == delivery.content_bytes:
            return delivery.inline
        return await asyncio.to_thread(self._joined, delivery)

    def source(self, delivery: QueuedDelivery, index: int) -> "ShelfSource":
        """One part as a source of chunks.

        Raises:
            StorageDamagedError: The recipient asked for a part that the document does not have.
        """
        if index >= len(delivery.parts):
            raise StorageDamagedError(
                f"Message {uuid_text(delivery.message_id)} has no part {index} to send."
            )
        part = delivery.parts[index]
        inline = self._inline(delivery, part) if part.size <= INLINE_PART_BYTES else None
        return ShelfSource(part, inline, self._blobs, self._on_damage)

    def stored(self, part: StoredPart) -> "ShelfSource":
        """A stored part as a source of chunks."""
        return ShelfSource(part.part, part.inline, self._blobs, self._on_damage)

    def _joined(self, delivery: QueuedDelivery) -> bytes:
        return b"".join(self._whole(delivery, part) for part in delivery.parts)

    def _whole(self, delivery: QueuedDelivery, part: Part) -> bytes:
        if part.size <= INLINE_PART_BYTES:
            return self._inline(delivery, part)
        try:
            with self._blobs.open(part.sha256) as reader:
                return b"".join(reader)
        except StorageDamagedError:
            self._on_damage(part.sha256)
            raise

    def _inline(self, delivery: QueuedDelivery, wanted: Part) -> bytes:
        offset = sum(
            part.size for part in delivery.parts[: wanted.index] if part.size <= INLINE_PART_BYTES
        )
        return delivery.inline[offset : offset + wanted.size]


class ShelfSource:
    """The bytes of one part; see ``PartSource``."""

    def __init__(
        self,
        part: Part,
        inline: bytes | None,
        blobs: BlobFolder,
        on_damage: Callable[[str], None],
    ) -> None:
        """Takes the part and where it lies; ``on_damage`` as in ``PartShelf``."""
        self._part = part
        self._on_damage = on_damage
        self._inline = inline
        self._blobs = blobs
        self.sent = 0

    async def chunks(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Chunks of at most 960 KiB from ``offset`` to the end.

        Raises:
            PartDigestError: The other side names an offset behind the end; this disk is sound.
            StorageDamagedError: The part is missing or not what was stored.
        """
        if offset > self._part.size:
            raise PartDigestError(
                f"Part {self._part.index} is wanted from byte {offset}, but has only "
                f"{self._part.size}."
            )
        if self._inline is not None:
            for start in range(offset, len(self._inline), CHUNK_BYTES):
                yield self._inline[start : start + CHUNK_BYTES]
            return
        try:
            file = await self._opened(offset)
            async with contextlib.aclosing(_read_ahead(file)) as ahead:
                async for chunk in ahead:
                    yield chunk
        except StorageDamagedError:
            self._on_damage(self._part.sha256)
            raise

    async def _opened(self, offset: int) -> BlobReader:
        """The file, open; whoever is cancelled meanwhile leaves none open."""
        return await opened_in_thread(
            lambda: self._blobs.open(self._part.sha256, offset), BlobReader.close
        )


def _read(reading: asyncio.Future[bytes], file: BlobReader) -> None:
    """Ends a file after the last read of it, whose chunk nobody may want any more."""
    if not reading.cancelled():
        reading.exception()
    file.close()


async def _read_ahead(file: BlobReader) -> AsyncGenerator[bytes, None]:
    """Chunks of a file, each read while the one before it is used; closes the file."""
    reading = asyncio.create_task(asyncio.to_thread(file.read, CHUNK_BYTES))
    try:
        while chunk := await asyncio.shield(reading):
            reading = asyncio.create_task(asyncio.to_thread(file.read, CHUNK_BYTES))
            yield chunk
    finally:
        if reading.done():
            _read(reading, file)
        else:
            reading.add_done_callback(lambda read: _read(read, file))
