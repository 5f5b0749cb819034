"""Waiting for room on a full disk: a node does not end for it, it goes on when there is space."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from edoccore.errors import DiskFullError

LOOK_AGAIN = timedelta(seconds=1)

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


async def when_there_is_room(what: str, write: Callable[[], Awaitable[Result]]) -> Result:
    """Repeats a write until the disk has room for it.

    Args:
        what: Names the write in the log.
        write: Keeps nothing when it raises DiskFullError.
    """
    waits = False
    while True:
        try:
            return await write()
        except DiskFullError as error:
            if not waits:
                log.warning("disk.full", waits=what, cause=error.message)
            waits = True
            await asyncio.sleep(LOOK_AGAIN.total_seconds())
