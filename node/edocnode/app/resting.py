"""Gives memory back to the system once a node that was at work has nothing to do.

Freed buffers are kept for the next ones while documents come and go (``edockit.allocator``). To
look for what can be given back takes a millisecond in which no thread gets memory: not during work.
"""

import asyncio
import time

from edockit import allocator

LOOK_EVERY_S = 1.0
REST_S = 0.03  # of processor time between two looks, at most
WORK_S = 0.1  # of processor time since memory was given back; less has left nothing behind


class Rest:
    """Decides at each look; everything is in seconds of processor time used so far."""

    def __init__(self, used_s: float) -> None:
        """Begins with a look."""
        self._given = self._before = used_s

    def is_due(self, used_s: float) -> bool:
        """Whether the process rests and has worked since this last was so."""
        rests = used_s - self._before <= REST_S
        self._before = used_s
        if not rests or used_s - self._given < WORK_S:
            return False
        self._given = used_s
        return True


async def give_back_at_rest() -> None:
    """Looks once a second whether it is time; never ends."""
    rest = Rest(time.process_time())
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if rest.is_due(time.process_time()):
            await asyncio.to_thread(allocator.give_back)
