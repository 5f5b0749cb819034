"""Work that goes on when its caller leaves: what is half done would be known to nobody."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_under_way: set["asyncio.Task[Any]"] = set()  # the event loop alone would let go of them


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Waits for work, which goes on to its end when the caller is cancelled.

    What it raises then is told to nobody: a failing disk must be noticed elsewhere.

    Raises:
        Exception: What the work raised.
    """
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)
