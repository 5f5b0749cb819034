"""Takes in the bytes of one part: reads ahead of the disk, and says what is on it.

Three things go on at once: chunks are read, what has been read is written in one turn of the disk,
and the sender is told how much is durable.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from edocnode.domain.exchange import IncomingPart

CHUNKS_AHEAD = 4  # of one part: read, and not yet the disk's turn
CHUNKS_OF_AGENCY = 16  # of all its parts: read, and not yet written
WORD_EVERY = timedelta(seconds=1)  # to a sender of whose bytes too few came for an fsync


class Intake:
    """One transfer."""

    def __init__(
        self, incoming: IncomingPart, places: asyncio.Semaphore, say: Callable[[], Awaitable[None]]
    ) -> None:
        """Takes where bytes go.

        Args:
            incoming: The part, open.
            places: One for each chunk that the agency has in memory here.
            say: Tells the sender what is on disk.
        """
        self._incoming = incoming
        self._places = places
        self._say = say
        self._saying = asyncio.Lock()
        self._said = -math.inf  # when, by the loop's clock
        self._read: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_AHEAD)
        self._held = 0  # places

    async def run(self, chunks: AsyncIterator[bytes], check: Callable[[], None]) -> None:
        """Takes all chunks to their end.

        Args:
            chunks: As they come.
            check: Lets the transfer go on, or raises.

        Raises:
            ExceptionGroup: Of what ended it before.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_ahead(chunks))
                telling = tasks.create_task(self._tell())
                while batch := await self._next():
                    check()
                    await self._incoming.write(batch)
                    self._release(len(batch))
                    await self._say_at_times()
                async with self._saying:
                    telling.cancel()
        finally:
            self._release(self._held)

    async def _read_ahead(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            await self._places.acquire()
            self._held += 1
            await self._read.put(chunk)
        await self._read.put(None)

    async def _next(self) -> list[bytes]:
        """All that has been read; empty at the end."""
        found: list[bytes] = []
        while not found or not self._read.empty():
            chunk = await self._read.get()
            if chunk is None:
                self._read.put_nowait(None)  # nothing follows it
                break
            found.append(chunk)
        return found

    async def _tell(self) -> None:
        offset = self._incoming.offset
        while True:
            offset = await self._incoming.progress(offset)
            await self._say_now()

    async def _say_at_times(self) -> None:
        """A sender on a slow line must hear that its bytes arrive, long before a step is full."""
        if asyncio.get_running_loop().time() - self._said > WORD_EVERY.total_seconds():
            await self._say_now()

    async def _say_now(self) -> None:
        async with self._saying:
            self._said = asyncio.get_running_loop().time()
            await self._say()

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._places.release()
        self._held -= count
