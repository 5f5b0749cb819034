"""Takes the content of a submission in, with memory that does not depend on its size.

Small parts are collected; each larger one is written to the blob folder while it comes and hashed
on the way, so that it is on disk under its digest before the document is kept. What a broken
submission leaves behind is removed, at the latest at the next start.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from edoccore.errors import RequestInvalidError
from edoccore.signing.digests import digest_of
from edoccore.signing.statements import uuid_text
from edockit.blobs import BlobFolder, StagingFile
from edockit.threads import opened_in_thread
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.encryption import EncryptionOrder, KeptBytes, most_bytes, with_encrypted
from edocnode.domain.model import DocumentId, MessageId, Submission
from edocnode.domain.office import Admitted, build_record, build_submission, is_inline
from edocnode.domain.official_numbers import GivenNumber

Numbering = Callable[[Admitted, bytes], Awaitable[GivenNumber | None]]

STAGING_PREFIX = "submit-"


@dataclass(frozen=True, slots=True)
class TakenPart:
    """A part whose bytes are all here; ``inline`` is empty when they are in the blob folder.

    Attributes:
        digest: Of its content.
        kept: What is kept of it instead, when it was encrypted.
    """

    digest: bytes
    inline: bytes
    kept: KeptBytes | None = None


@dataclass(frozen=True, slots=True)
class NewIds:
    """What a submission and its files are named.

    Attributes:
        message_ids: One for each recipient, in order.
        staged_as: Names the growing files: fresh, also when the document has its id already.
    """

    document_id: DocumentId
    message_ids: Sequence[MessageId]
    staged_as: DocumentId


class Content:
    """The joined bytes of a submission, given out in the pieces that were declared."""

    def __init__(self, requests: AsyncIterator[messages.SubmitRequest]) -> None:
        """Takes what follows the header."""
        self._requests = requests
        self._rest = memoryview(b"")

    async def pieces(self, size: int) -> AsyncIterator[memoryview]:
        """The next ``size`` bytes, as they come.

        Raises:
            RequestInvalidError: They end too early.
        """
        while size:
            if not self._rest:
                self._rest = memoryview(await self._next(size))
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    async def joined(self, size: int) -> bytes:
        """The next ``size`` bytes in one; for small sizes.

        Raises:
            RequestInvalidError: They end too early.
        """
        return b"".join([bytes(piece) async for piece in self.pieces(size)])

    async def end(self) -> None:
        """Checks that nothing follows.

        Raises:
            RequestInvalidError: More came than was declared.
        """
        if self._rest or await anext(self._requests, None) is not None:
            raise RequestInvalidError(
                "More bytes came than the header declares.",
                hint="A file may have grown while it was read; send it again.",
            )

    async def _next(self, missing: int) -> bytes:
        async for request in self._requests:
            if request.WhichOneof("kind") != "chunk":
                raise RequestInvalidError("A submission has one header, then only chunks.")
            if request.chunk:
                return request.chunk
        raise RequestInvalidError(
            f"{missing} bytes of what the header declares did not come.",
            hint="A file may have been cut while it was read; send it again.",
        )


async def take_in(
    admitted: Admitted,
    requests: AsyncIterator[messages.SubmitRequest],
    blobs: BlobFolder,
    *,
    network: str,
    ids: NewIds,
    numbering: Numbering,
    encryption: EncryptionOrder | None,
) -> Submission:
    """Takes all content in and builds the submission.

    Args:
        numbering: Gives the document its official number, when all else of it is here: one that is
            cut off before then takes none.
        encryption: With what the parts are encrypted before anything of them is kept; None: they
            are not.

    Raises:
        EncryptionKeyError: A recipient's key is none.
        RequestInvalidError: Not as many bytes came as the header declares.
        RecordInvalidError, NotCanonicalError, LimitExceededError: See ``build_record``.
        DiskFullError: The parts do not fit.
    """
    header = admitted.header
    content = Content(requests)
    await _reserve(blobs, [part.size for part in admitted.parts], encryption)
    fields = await content.joined(header.record_size)
    record = build_record(admitted, fields, network=network, document_id=ids.document_id)
    parts = [
        await _take(content, part.size, blobs, _key(ids.staged_as, index), (encryption, index))
        for index, part in enumerate(admitted.parts, start=1)
    ]
    await content.end()
    number = await numbering(admitted, fields)
    if number is not None:
        record = build_record(
            admitted, fields, network=network, document_id=ids.document_id, number=number
        )
    taken = [await _keep_record(record.data, blobs, ids.staged_as), *parts]
    submission = build_submission(
        admitted,
        record,
        [part.digest for part in parts],
        fields_digest=digest_of(fields),
        document_id=ids.document_id,
        message_ids=ids.message_ids,
        inline=b"".join(part.inline for part in taken),
        number=number,
    )
    kept = [part.kept for part in parts if part.kept is not None]
    return submission if encryption is None else with_encrypted(submission, kept)


def discard_leftovers(blobs: BlobFolder) -> int:
    """Removes what broken submissions left in staging; returns how many files."""
    keys = [item.key for item in blobs.iter_staging() if item.key.startswith(STAGING_PREFIX)]
    for key in keys:
        blobs.discard(key)
    return len(keys)


async def _keep_record(data: bytes, blobs: BlobFolder, document_id: DocumentId) -> TakenPart:
    digest = digest_of(data)
    if is_inline(len(data)):
        return TakenPart(digest, data)
    async with _growing(blobs, _key(document_id, 0)) as staging:
        await asyncio.to_thread(staging.append, data)
        await asyncio.to_thread(blobs.finish, staging, digest.hex(), size_bytes=len(data))
    return TakenPart(digest, b"")


async def _reserve(
    blobs: BlobFolder, sizes: Sequence[int], encryption: EncryptionOrder | None
) -> None:
    kept = sizes if encryption is None else [most_bytes(size) for size in sizes]
    large = [size for size in kept if not is_inline(size)]
    if large:
        await asyncio.to_thread(blobs.reserve, sum(large))


async def _take(
    content: Content,
    size: int,
    blobs: BlobFolder,
    key: str,
    encrypted: tuple[EncryptionOrder | None, int],
) -> TakenPart:
    order, index = encrypted
    if order is None:
        return await _take_part(content, size, blobs, key)
    encryptor, kept_size = await asyncio.to_thread(order.begin, index)
    if is_inline(kept_size(size)):
        data = encryptor.update(await content.joined(size)) + encryptor.finish()
        return TakenPart(encryptor.sha256, data, KeptBytes(len(data), digest_of(data)))
    async with _growing(blobs, key) as staging:

        def add(piece: bytes | memoryview) -> None:
            staging.append(encryptor.update(piece))

        async for piece in content.pieces(size):
            await asyncio.to_thread(add, piece)
        await asyncio.to_thread(staging.append, encryptor.finish())
        stored = await asyncio.to_thread(_finish, blobs, staging, kept_size(size))
    return TakenPart(encryptor.sha256, b"", KeptBytes(kept_size(size), stored.digest))


async def _take_part(content: Content, size: int, blobs: BlobFolder, key: str) -> TakenPart:
    if is_inline(size):
        inline = await content.joined(size)
        return TakenPart(digest_of(inline), inline)
    async with _growing(blobs, key) as staging:
        async for piece in content.pieces(size):
            await asyncio.to_thread(staging.append, piece)
        return await asyncio.to_thread(_finish, blobs, staging, size)


@contextlib.asynccontextmanager
async def _growing(blobs: BlobFolder, key: str) -> AsyncIterator[StagingFile]:
    """A growing file, removed unless the block ends well; also when its opening is broken off."""

    def remove(staging: StagingFile) -> None:
        staging.close()
        blobs.discard(key)

    staging = await opened_in_thread(lambda: blobs.open_staging(key), remove)
    try:
        yield staging
    except BaseException:
        remove(staging)
        raise


def _finish(blobs: BlobFolder, staging: StagingFile, size: int) -> TakenPart:
    digest = staging.sha256()
    blobs.finish(staging, digest, size_bytes=size)
    return TakenPart(bytes.fromhex(digest), b"")


def _key(document_id: DocumentId, index: int) -> str:
    return f"{STAGING_PREFIX}{uuid_text(document_id)}-{index}"
