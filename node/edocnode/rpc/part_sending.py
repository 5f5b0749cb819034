"""Sends the bytes of a part over a call, never far ahead of what the recipient has on disk."""

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import grpc

from edoccore.errors import EdocError, PeerUnreachableError
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import PartSource

PROGRESS_WAIT = timedelta(seconds=90)  # for the recipient's word on a chunk of 960 KiB
AHEAD_BYTES = 8 * 1024 * 1024  # of a part, over what the recipient has on disk

Call = grpc.aio.StreamStreamCall[Any, Any]


async def send_from(call: Call, source: PartSource, offset: int) -> None:
    """Sends all from an offset on; returns when the recipient has the part.

    Raises:
        PeerUnreachableError: The recipient ended the call before.
        TimeoutError: It says nothing.
        grpc.RpcError: The call failed.
    """
    window = _Window(offset)
    await _both(_send_chunks(call, source, offset, window=window), _until_complete(call, window))


async def next_progress(call: Call) -> messages.TransferResponse:
    """The next word of the recipient.

    Raises:
        PeerUnreachableError: It ended the call.
        TimeoutError: It says nothing.
    """
    async with asyncio.timeout(PROGRESS_WAIT.total_seconds()):
        response = await call.read()
    if isinstance(response, messages.TransferResponse):
        return response
    raise PeerUnreachableError("The peer ended the transfer before the part was whole.")


async def _both(sending: Coroutine[Any, Any, None], reading: Coroutine[Any, Any, None]) -> None:
    """Runs both until the reader is done; the first error of either ends both."""
    sender, reader = asyncio.create_task(sending), asyncio.create_task(reading)
    try:
        done, _ = await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
        # A call that was ended fails in both; the reader knows the peer's reason.
        first_local = sender in done and isinstance(sender.exception(), EdocError)
        await (sender if first_local else reader)
    finally:
        for task in (sender, reader):
            task.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)


class _Window:
    """How far a transfer runs ahead of the recipient's disk: what a break sends again."""

    def __init__(self, offset: int) -> None:
        self._sent = self._on_disk = offset
        self._moved = asyncio.Event()

    def confirm(self, offset: int) -> None:
        """Notes what the recipient has on disk."""
        if offset > self._on_disk:
            self._on_disk = offset
            self._moved.set()

    async def take(self, size: int) -> None:
        """Waits until so many more bytes may go out, and counts them."""
        while self._sent + size - self._on_disk > AHEAD_BYTES:
            self._moved.clear()
            await self._moved.wait()
        self._sent += size


async def _until_complete(call: Call, window: _Window) -> None:
    while not (progress := await next_progress(call)).complete:
        window.confirm(progress.offset)


async def _send_chunks(call: Call, source: PartSource, offset: int, *, window: _Window) -> None:
    async with contextlib.aclosing(source.chunks(offset)) as chunks:  # its file, whoever cancels
        async for chunk in chunks:
            await window.take(len(chunk))
            source.sent += len(chunk)
            await call.write(messages.TransferRequest(chunk=chunk))
    await call.done_writing()
