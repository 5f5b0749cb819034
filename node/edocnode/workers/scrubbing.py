"""The scrubber: reads every stored part now and then, slowly, so that damage is found in time.

Disks lose bits of files that nobody opens; whoever could give a part back may have removed it by
the time that somebody does. First it looks whether all files are there, which is quick; then it
reads them one after another at a bounded rate, and the small parts in the database after them. It
remembers its place over restarts, and begins anew a day after the last beginning at the earliest.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from edoccore.errors import StorageDamagedError, StorageFailedError
from edoccore.signing.statements import uuid_text
from edockit.blobs import BlobFolder
from edocnode.domain.repair import RepairStore, SmallParts, Suspects
from edocnode.workers.room import when_there_is_room

ROUND = timedelta(days=1)  # between two beginnings, at least
AT_ONCE = 200  # digests read from the database together
PIECE_BYTES = 256 * 1024
ROWS_AT_ONCE = 20  # documents whose small parts are read together
ROW_BYTES = 16 * 1024  # a document counts as so much at least: it is read at a place of its own
NOTE_EVERY = timedelta(seconds=30)  # between two notes of how far the rows were read
BLOBS, RECEIVED, SENT = "blobs", "received", "sent"  # what is read, in this order

log = structlog.get_logger(__name__)


class Scrubber:
    """Finds parts that are missing or are not what was stored."""

    def __init__(
        self,
        *,
        store: RepairStore,
        blobs: BlobFolder,
        look_at: Callable[[str], Awaitable[bool]],
        judge: Callable[[SmallParts], Awaitable[bool]],
        suspects: Suspects,
        bytes_per_second: int,
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            look_at: Looks at one part again and sets it aside if it is damaged; whether it is not.
            judge: Notes which small parts are damaged; whether none is.
            suspects: Looks at what meets a fault of this program here, which goes on.
            bytes_per_second: Read from the disk, on average.
        """
        self._store = store
        self._blobs = blobs
        self._look_at = look_at
        self._judge = judge
        self._suspects = suspects
        self._rate = bytes_per_second

    async def run(self) -> None:
        """Reads until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        await self.look_for_missing()
        while True:
            began = asyncio.get_running_loop().time()
            await self.read_all()
            rest = began + ROUND.total_seconds() - asyncio.get_running_loop().time()
            await asyncio.sleep(max(rest, 0))

    async def look_for_missing(self) -> None:
        """Looks whether every used part is there with its size; reads none."""
        after = ""
        while page := await self._store.blobs_after(after, AT_ONCE):
            for digest, size in page:
                if not await asyncio.to_thread(self._blobs.holds, digest, size):
                    await self._found(digest)
            after = page[-1][0]

    async def read_all(self) -> None:
        """Reads every used part, from where an earlier run ended."""
        after = await self._store.scrubbed_up_to(BLOBS)
        while page := await self._store.blobs_after(after, AT_ONCE):
            for digest, _ in page:
                if not await self._is_sound(digest):
                    await self._found(digest)
            after = page[-1][0]
            await self._note(BLOBS, after)
        for what in (RECEIVED, SENT):
            await self._read_rows(what)
        for what in (BLOBS, RECEIVED, SENT):
            await self._note(what, "")

    async def _read_rows(self, what: str) -> None:
        """Reads the small parts of all documents of a kind."""
        after = int(await self._store.scrubbed_up_to(what) or 0)
        noted = asyncio.get_running_loop().time()
        while page := await self._store.small_parts(after, ROWS_AT_ONCE, received=what == RECEIVED):
            for found in page:
                await self._judge_small(found)
            read = sum(max(len(found.inline), ROW_BYTES) for found in page)
            await asyncio.sleep(read / self._rate)
            after = page[-1].row
            if (now := asyncio.get_running_loop().time()) >= noted + NOTE_EVERY.total_seconds():
                await self._note(what, str(after))
                noted = now

    async def _judge_small(self, found: SmallParts) -> None:
        document_id = uuid_text(found.document_id)
        try:
            if not await when_there_is_room("scrub", functools.partial(self._judge, found)):
                log.info("scrub.small_parts_damaged", document_id=document_id)
        except StorageFailedError:
            raise
        except Exception:
            log.exception("scrub.fault", document_id=document_id)
            self._suspects.suspect_document(found.document_id)

    async def _is_sound(self, digest: str) -> bool:
        """Reads one part at the bounded rate."""
        try:
            reader = await asyncio.to_thread(self._blobs.open, digest)
            try:
                while piece := await asyncio.to_thread(reader.read, PIECE_BYTES):  # noqa: ASYNC110 - paces
                    await asyncio.sleep(len(piece) / self._rate)
            finally:
                await asyncio.to_thread(reader.close)
        except StorageDamagedError:
            return False
        return True

    async def _found(self, digest: str) -> None:
        try:
            sound = await when_there_is_room("scrub", lambda: self._look_at(digest))
            log.info("scrub.looked_again", sha256=digest, sound=sound)
        except StorageFailedError:
            raise
        except Exception:
            log.exception("scrub.fault", sha256=digest)
            self._suspects.suspect(digest)

    async def _note(self, what: str, place: str) -> None:
        await when_there_is_room("scrub", lambda: self._store.note_scrubbed(what, place))
