"""How a node ends: when it is told to, or when one of its parts fails."""

import asyncio
from typing import Any

from edoccore.errors import EdocError
from edockit.database import Database


def watch(database: Database, failing: asyncio.Future[None]) -> None:
    """Hears of the end of all writing also when nobody waits for a write."""
    loop = asyncio.get_running_loop()

    def tell(error: EdocError) -> None:  # in the writing thread
        loop.call_soon_threadsafe(fail, failing, error)

    database.on_failure = tell


def fail(failing: asyncio.Future[None], error: EdocError) -> None:
    """Ends the node with an error; a later one changes nothing."""
    if not failing.done():
        failing.set_exception(error)


async def until_stopped(
    stop: asyncio.Event,
    running: list[asyncio.Task[None]],
    *,
    watched: list[asyncio.Future[None]],
) -> None:
    """Waits for the stop; a part that fails before ends the node with its error.

    Args:
        running: Ended here.
        watched: Ended by others, later.
    """
    stopping = asyncio.create_task(stop.wait())
    waiting: set[asyncio.Future[Any]] = {stopping, *running, *watched}
    try:
        while not stopping.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in (stopping, *running):
            task.cancel()
        await asyncio.gather(stopping, *running, return_exceptions=True)
