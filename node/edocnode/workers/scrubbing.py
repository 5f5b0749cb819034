"""The scrubber: reads every stored part now and then, slowly, so that damage is found in time.

Disks lose bits of files that nobody opens; whoever could give a part back may have removed it by
the time that somebody does. First it looks whether all files are there, which is quick; then it
reads them one after another at a bounded rate, remembers its place over restarts, and begins anew
a day after the last beginning at the earliest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from edoccore.errors import StorageDamagedError
from edockit.blobs import BlobFolder
from edocnode.domain.repair import RepairStore
from edocnode.workers.room import when_there_is_room

ROUND = timedelta(days=1)  # between two beginnings, at least
AT_ONCE = 200  # digests read from the database together
PIECE_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


class Scrubber:
    """Finds parts that are missing or are not what was stored."""

    def __init__(
        self,
        *,
        store: RepairStore,
        blobs: BlobFolder,
        look_at: Callable[[str], Awaitable[bool]],
        bytes_per_second: int,
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            look_at: Looks at one part again and sets it aside if it is damaged; whether it is not.
            bytes_per_second: Read from the disk, on average.
        """
        self._store = store
        self._blobs = blobs
        self._look_at = look_at
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
        after = await self._store.scrubbed_up_to()
        while page := await self._store.blobs_after(after, AT_ONCE):
            for digest, _ in page:
                if not await self._is_sound(digest):
                    await self._found(digest)
            after = page[-1][0]
            await self._note(after)
        await self._note("")

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
        sound = await when_there_is_room("scrub", lambda: self._look_at(digest))
        log.info("scrub.looked_again", sha256=digest, sound=sound)

    async def _note(self, digest: str) -> None:
        await when_there_is_room("scrub", lambda: self._store.note_scrubbed(digest))
