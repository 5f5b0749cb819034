"""Repair: what the disk damaged or a restore lost is set aside and fetched again.

Whoever reads a part that is not what was stored tells ``suspect``. The file is looked at once more,
moved to the quarantine, and an alarm says so until the part is back: fetched from a node that has
had it, checked by its digest, put in its place. Nothing that failed its digest is ever served.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import structlog

from edoccore.errors import (
    EdocError,
    PartDigestError,
    PeerUnreachableError,
    StorageDamagedError,
    StorageFailedError,
)
from edoccore.signing.canonical import MAX_STATEMENT_BYTES
from edoccore.signing.statements import Part, uuid_text
from edockit.blobs import BlobFolder, StagingFile
from edockit.threads import opened_in_thread
from edocnode.domain.exchange import PeerLinks
from edocnode.domain.model import INLINE_PART_BYTES, DocumentId
from edocnode.domain.repair import (
    DamagedPart,
    Incomplete,
    IncompleteDocument,
    Large,
    PartSourceAt,
    RepairStore,
    SmallParts,
    damaged_parts_of,
    wait_after,
)
from edocnode.domain.setting_aside import Waiting
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

LOOK_AGAIN = timedelta(seconds=1)
AT_ONCE = 20  # damaged parts looked at in one turn; they are fetched one after another
DOCUMENTS_EVERY = timedelta(seconds=5)  # between two looks for documents without parts
AFTER_FAILURE = timedelta(minutes=1)
SYNC_BYTES = 4 * 1024 * 1024  # fetched again at most, after a break
READ_BYTES = 1024 * 1024
Broken = Large | Waiting  # what may be set aside: a part, or a document with its small parts

log = structlog.get_logger(__name__)


class Repairer:
    """Sets damaged parts aside and fetches them again."""

    def __init__(
        self,
        *,
        store: RepairStore,
        blobs: BlobFolder,
        links: PeerLinks,
        aside: SettingAside[Broken],
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Joins the parts; nothing happens before ``run``."""
        self._aside = aside
        self._store = store
        self._blobs = blobs
        self._links = links
        self._clock = clock
        self._jitter = jitter
        self._suspects: deque[str] = deque()
        self._suspected: deque[DocumentId] = deque()  # whose small parts are to be looked at
        self._last_row = {True: 0, False: 0}  # looked at last, of documents received and sent
        self._documents_at: datetime | None = None

    def suspect(self, digest: str) -> None:
        """Has a part looked at; may be called from any thread."""
        if digest not in self._suspects:
            self._suspects.append(digest)

    def suspect_document(self, document_id: DocumentId) -> None:
        """Has the small parts of a document looked at; may be called from any thread."""
        if document_id not in self._suspected:
            self._suspected.append(document_id)

    async def run(self) -> None:
        """Repairs until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("repair", partial(self._aside.look, self._work))
            await asyncio.sleep(LOOK_AGAIN.total_seconds())

    async def look_at(self, digest: str) -> bool:
        """Sets a part aside if it is damaged; returns whether it is sound."""
        size = await self._store.blob_size(digest)
        if size is None:
            return True
        judged = await asyncio.to_thread(self._blobs.which, digest)
        if await asyncio.to_thread(is_sound, self._blobs, digest, size):
            return True
        there = None
        if judged is not None:
            there = await asyncio.to_thread(self._blobs.set_aside, digest, judged)
        if there is None and await asyncio.to_thread(is_sound, self._blobs, digest, size):
            return True  # it was fetched, or came with another document, meanwhile
        what = "is missing" if there is None else "was damaged; the damaged file lies in quarantine"
        message = (
            f"Part {digest} {what}. It is not served, and is asked for again from a node that "
            f"has had it. Look at the disk."
        )
        if await self._store.note_damage(digest, size, message, self._clock()):
            log.error("part.damaged", sha256=digest, missing=there is None)
        return False

    async def judge(self, found: SmallParts) -> bool:
        """Notes which small parts of a document are damaged; returns whether none is."""
        damaged = damaged_parts_of(found)
        if damaged == []:
            return True
        document_id = uuid_text(found.document_id)
        message = _told(document_id, damaged, received=found.received)
        if await self._store.note_small_damage(found, message, self._clock()):
            log.error("part.damaged", document_id=document_id, received=found.received)
        return False

    async def _work(self) -> None:
        for digest in list(self._suspects):
            await self._aside.one(Large(digest), partial(self._look_at_suspect, digest))
        for document_id in list(self._suspected):
            judge = partial(self._judge_suspect, document_id)
            await self._aside.one(Waiting(0, document_id), judge)
        without = {item.sha256 for item in self._aside.left_out() if isinstance(item, Large)}
        for part in await self._store.damaged_parts(self._clock(), AT_ONCE, without=without):
            await self._aside.one(Large(part.sha256), partial(self._repair, part))
        if self._documents_at is None or self._documents_at <= self._clock():
            all_done = await self._complete_documents()
            self._documents_at = self._clock() + (DOCUMENTS_EVERY if all_done else AFTER_FAILURE)

    async def _look_at_suspect(self, digest: str) -> None:
        if await self.look_at(digest):  # it came back since it was suspected
            await self._store.repaired(digest)
        self._suspects.remove(digest)

    async def _judge_suspect(self, document_id: DocumentId) -> None:
        for found in await self._store.small_parts_of(document_id):
            if await self.judge(found):
                await self._store.found_sound(found)
        self._suspected.remove(document_id)
        self._documents_at = None  # what was found is asked for at once

    async def _repair(self, part: DamagedPart) -> None:
        """Fetches a part from the first source that has it."""
        if not await asyncio.to_thread(is_sound, self._blobs, part.sha256, part.size):
            sources = await self._store.part_sources(part.sha256)
            told = await self._from_any(part, sources)
            if told:
                wait = wait_after(part.attempts + 1, jitter=self._jitter())
                await self._store.not_repaired(part.sha256, told, self._clock() + wait)
                return
        await asyncio.to_thread(
            self._blobs.discard, _key(part.sha256)
        )  # it may have come otherwise
        again = await self._store.repaired(part.sha256)
        log.info("part.repaired", sha256=part.sha256, queued_again=again)

    async def _from_any(self, part: DamagedPart, sources: Sequence[PartSourceAt]) -> str:
        """Tries sources in order; returns why none could give the part back, or nothing.

        A fault of this program over one source keeps no other from giving it back.
        """
        told, fault = "no node that has had it is known", None
        for source in sources:
            try:
                await self._fetch(source, part.sha256, part.size)
            except StorageFailedError:
                raise
            except EdocError as error:
                told = f"{source.agency}: {error.message}"
                log.info("part.not_given", sha256=part.sha256, agency=source.agency, why=told)
            except Exception as error:  # noqa: BLE001 - told when no other has it
                fault = error
            else:
                return ""
        if fault is not None:
            raise fault
        return told

    async def _fetch(self, source: PartSourceAt, digest: str, size: int) -> None:
        """Fetches a large part to its place, going on after what is there of it.

        Raises:
            PartDigestError: The source sent other bytes; nothing is kept.
            EdocError: The source does not answer, or does not have it.
        """
        key = _key(digest)
        await asyncio.to_thread(self._blobs.reserve, size)
        offset = min(await asyncio.to_thread(self._blobs.staged_bytes, key), size)
        file = await opened_in_thread(
            lambda: self._blobs.open_staging(key, offset), StagingFile.close
        )
        try:
            await self._take(self._chunks(source, offset), file, size)
            await asyncio.to_thread(self._blobs.finish, file, digest, size_bytes=size)
            self._blobs.settled([digest])  # asked for because a document needs it
        except PartDigestError:
            await asyncio.to_thread(file.close)
            await asyncio.to_thread(self._blobs.discard, key)
            raise
        finally:
            await asyncio.to_thread(file.close)

    async def _take(self, chunks: AsyncIterator[bytes], file: StagingFile, size: int) -> None:
        unsynced = 0
        async for chunk in chunks:
            if file.size_bytes + len(chunk) > size:
                raise PartDigestError("The part has more bytes than its envelope states.")
            await asyncio.to_thread(file.append, chunk)
            unsynced += len(chunk)
            if unsynced >= SYNC_BYTES:
                await asyncio.to_thread(file.sync)
                unsynced = 0
        if file.size_bytes < size:
            await asyncio.to_thread(file.sync)
            raise PeerUnreachableError("The part ended before its last byte.")

    def _chunks(self, source: PartSourceAt, offset: int) -> AsyncIterator[bytes]:
        return self._links.link(source.agency).fetch(source.name, offset)

    async def _complete_documents(self) -> bool:
        """Gets the parts of a few documents back that are not all here.

        Returns:
            False when nobody could give one of them back.
        """
        done = []
        for received, last in self._last_row.items():
            found = await self._store.incomplete_documents(last, AT_ONCE, received=received)
            self._last_row[received] = found[-1].place if len(found) == AT_ONCE else 0
            done += [await self._aside.one(item, partial(self._complete, item)) for item in found]
        return all(done)

    async def _complete(self, item: Incomplete) -> bool:
        document = await self._store.incomplete_document(item)
        return document is None or await self._complete_from_any(document)

    async def _complete_from_any(self, document: IncompleteDocument) -> bool:
        """Gets the parts of a document back; as with parts, one source after another."""
        fault = None
        for source in document.sources:
            try:
                if document.parts is None:
                    await self._store.mend_envelope(document, await self._envelope(source))
                    log.info("envelope.mended", agency=source.agency)
                    return True  # the parts are looked at next
                inline = await self._parts_of(document, document.parts, source)
            except StorageFailedError:
                raise
            except EdocError as error:
                log.info("document.not_given", agency=source.agency, why=error.message)
                continue
            except Exception as error:  # noqa: BLE001 - told when no other has it
                fault = error
                continue
            again = await self._store.complete_document(document, inline)
            log.info("document.completed", agency=source.agency, queued_again=again)
            return True
        if fault is not None:
            raise fault
        return False

    async def _envelope(self, source: PartSourceAt) -> bytes:
        """The envelope as it was sealed.

        Raises:
            PartDigestError: The source gave back something else.
            EdocError: The source does not answer, or does not have it.
        """
        envelope = await self._small(source, MAX_STATEMENT_BYTES)
        if sha256(envelope).digest() != source.name.envelope_digest:
            raise PartDigestError(f"{source.agency} gave back another envelope.")
        return envelope

    async def _parts_of(
        self, document: IncompleteDocument, parts: Sequence[Part], source: PartSourceAt
    ) -> bytes:
        """Fetches all parts of a document; returns the small ones, joined.

        Raises:
            EdocError: The source cannot give one of them.
        """
        pieces, start = [], 0
        small = [part for part in parts if part.size <= INLINE_PART_BYTES]
        all_there = len(document.inline) == sum(part.size for part in small)  # some may be damaged
        for part in parts:
            if part.size > INLINE_PART_BYTES:
                if not await asyncio.to_thread(is_sound, self._blobs, part.sha256, part.size):
                    await self._fetch(_at(source, part), part.sha256, part.size)
                continue
            piece = document.inline[start : start + part.size]
            is_right = sha256(piece).hexdigest() == part.sha256
            start += part.size if is_right or all_there else 0
            pieces.append(piece if is_right else await self._small_part(_at(source, part), part))
        return b"".join(pieces)

    async def _small_part(self, source: PartSourceAt, part: Part) -> bytes:
        piece = await self._small(source, part.size)
        if sha256(piece).hexdigest() != part.sha256:
            raise PartDigestError(f"{source.agency} gave back other bytes of part {part.index}.")
        return piece

    async def _small(self, source: PartSourceAt, at_most: int) -> bytes:
        """What a source gives back; little more than ``at_most`` bytes of it are read."""
        piece = bytearray()
        async for chunk in self._chunks(source, 0):
            piece += chunk
            if len(piece) > at_most:
                break
        return bytes(piece)


def is_sound(blobs: BlobFolder, digest: str, size: int) -> bool:
    """Whether a part is there and has its size and digest; reads all of it.

    Raises:
        StorageFailedError: The disk failed.
    """
    if not blobs.holds(digest, size):
        return False
    try:
        with blobs.open(digest) as reader:
            while reader.read(READ_BYTES):
                pass
    except StorageDamagedError:
        return False
    return True


def _told(document_id: str, damaged: Sequence[Part] | None, *, received: bool) -> str:
    """What people read of small parts that are not what was sealed, or of what names them."""
    if damaged is not None:
        return (
            f"{len(damaged)} small part(s) of document {document_id} changed in the database. "
            f"Nothing of it is served; it is asked for again from a node that has had it. "
            f"Look at the disk."
        )
    if received:
        return (
            f"The envelope of document {document_id} changed in the database. It is asked for "
            f"again from its sender. Look at the disk. If this alarm stays, restore the last "
            f"backup; peers give back what is newer."
        )
    return (
        f"What the database says of the parts of document {document_id} changed. Look at the "
        f"disk, and restore the last backup; peers give back what is newer."
    )


def _key(digest: str) -> str:
    return f"repair-{digest}"


def _at(source: PartSourceAt, part: Part) -> PartSourceAt:
    return replace(source, name=replace(source.name, index=part.index))
