"""Receipts that were sealed a moment ago, and who waits for those to come."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta

from edoccore.signing.seal import SealedStatement
from edocnode.domain.model import IncomingId

RECENT = 20_000  # remembered for those who are about to ask


class _Waiter:
    """Somebody who waits for receipts."""

    def __init__(self, missing: set[IncomingId], found: dict[IncomingId, SealedStatement]) -> None:
        """Takes what is waited for, and where receipts are put; both change as they come."""
        self.done = asyncio.Event()
        self._missing = missing
        self._found = found

    def take(self, sealed: Mapping[IncomingId, SealedStatement]) -> None:
        """Takes what is among receipts just sealed."""
        here = self._missing & sealed.keys()
        self._found.update((item, sealed[item]) for item in here)
        self._missing -= here
        if not self._missing:
            self.done.set()


class AwaitedReceipts:
    """The newest receipts of this node."""

    def __init__(self) -> None:
        """Knows none."""
        self._recent: OrderedDict[IncomingId, SealedStatement] = OrderedDict()
        self._waiting: list[_Waiter] = []

    def __contains__(self, incoming_id: IncomingId) -> bool:
        """Whether the receipt of an arrival was sealed a moment ago."""
        return incoming_id in self._recent

    def known(self, ids: Iterable[IncomingId]) -> dict[IncomingId, SealedStatement]:
        """Those that were sealed a moment ago."""
        return {item: self._recent[item] for item in ids if item in self._recent}

    async def wait(
        self,
        missing: set[IncomingId],
        found: dict[IncomingId, SealedStatement],
        within: timedelta,
    ) -> None:
        """Moves receipts from ``missing`` to ``found`` as they come, until all are here.

        Also ends when time is over, and when there will be none for a while.
        """
        waiter = _Waiter(missing, found)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await waiter.done.wait()
        except TimeoutError:
            pass  # those without a receipt are left out
        finally:
            self._waiting.remove(waiter)

    def add(self, sealed: Mapping[IncomingId, SealedStatement]) -> None:
        """Receipts were committed."""
        self._recent.update(sealed)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        for waiter in self._waiting:
            waiter.take(sealed)

    def release(self) -> None:
        """Lets go who waits: there will be none for a while."""
        for waiter in self._waiting:
            waiter.done.set()

    def clear(self) -> None:
        """What was sealed is shown no more as it is."""
        self._recent.clear()
