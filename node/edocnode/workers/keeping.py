"""Keeps what many peers sent at the same moment in one write.

A peer that sends its documents one by one must not cost a transaction's statements for each of
them. While a write is under way, small batches wait here for the next one; in a crowd, a moment
longer. Alone, nothing waits.
"""

from collections.abc import Sequence

from edoccore.errors import StorageFailedError
from edockit.gathering import Gathering
from edocnode.domain.model import Arrival, KeepOutcome
from edocnode.domain.ports import Inbox

SMALL = 16  # documents; larger batches have nothing to gain from others
TOGETHER = 128  # documents in one step
# While many agencies send, the next write waits for more of them: each write has its seal and its
# waits for the disk, as long as judging four documents. A few would lose more by waiting.
CROWD = 4  # agencies
CROWD_PAUSE_S = 0.002

_Batch = Sequence[Arrival]  # of one agency


class KeepingTogether:
    """Gathers small batches for ``Inbox.keep``."""

    def __init__(self, inbox: Inbox) -> None:
        """Takes where arrivals are kept."""
        self._inbox = inbox
        self._together: Gathering[_Batch, Sequence[KeepOutcome]] = Gathering(
            self._keep, weight=len, most=TOGETHER, pause_s=_pause_s, common=StorageFailedError
        )

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        """Keeps arrivals as ``Inbox.keep`` does: those of a batch all or none.

        A cancelled caller does not undo what has begun.
        """
        if len(arrivals) > SMALL:
            return await self._inbox.keep(arrivals)
        return await self._together.one(arrivals)

    async def _keep(self, batches: Sequence[_Batch]) -> Sequence[Sequence[KeepOutcome]]:
        outcomes = iter(await self._inbox.keep([item for batch in batches for item in batch]))
        return [[next(outcomes) for _ in batch] for batch in batches]


def _pause_s(waiting: Sequence[_Batch]) -> float:
    """How long more of a crowd may come."""
    return CROWD_PAUSE_S if len({batch[0].signer for batch in waiting}) >= CROWD else 0
