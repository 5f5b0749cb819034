"""The cleaner: removes part files that nothing needs any more.

Such files are left by offers that expired or lost a conflict, and by submissions that broke off. A
file goes only when no document, unfinished offer or repair names its digest, it is a week old, and
it was found so for a day: after a restore the database may learn of it again from peers. What a
document needs is never removed, so delivered parts stay.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from edockit.blobs import BlobFolder
from edocnode.domain.repair import RepairStore
from edocnode.workers.room import when_there_is_room

EVERY = timedelta(hours=1)
MIN_AGE = timedelta(days=7)  # since the last write; a slow submission may take a while
UNUSED_FOR = timedelta(days=1)  # while this program ran
AT_ONCE = 200

log = structlog.get_logger(__name__)


class Cleaner:
    """Removes unused part files."""

    def __init__(
        self, *, store: RepairStore, blobs: BlobFolder, clock: Callable[[], datetime]
    ) -> None:
        """Joins the parts; nothing happens before ``run``."""
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._unused_since: dict[str, datetime] = {}
        self._begun = False

    async def run(self) -> None:
        """Cleans until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        if not self._begun:  # once: later, others may be about to remove something
            await asyncio.to_thread(self._blobs.put_back_removals)
            self._begun = True
        while True:
            await when_there_is_room("clean", self.look)
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Removes what has been unused for long enough."""
        old = await asyncio.to_thread(self._old_files)
        seen: dict[str, datetime] = {}
        removed = 0
        for start in range(0, len(old), AT_ONCE):
            for digest in await self._store.unused(old[start : start + AT_ONCE]):
                since = self._unused_since.get(digest, self._clock())
                if self._clock() - since < UNUSED_FOR:
                    seen[digest] = since
                else:
                    removed += await self._remove(digest)
        self._unused_since = seen
        if removed:
            log.info("parts.removed", count=removed)

    async def _remove(self, digest: str) -> bool:
        """Removes a file, if nobody has begun to need it or put it there anew."""
        if not await self._store.unused([digest]):
            return False
        return await asyncio.to_thread(self._blobs.remove_older, digest, self._limit())

    def _old_files(self) -> list[str]:
        limit = self._limit()
        return [digest for digest, written in self._blobs.iter_stored() if written < limit]

    def _limit(self) -> float:
        return (self._clock() - MIN_AGE).timestamp()
