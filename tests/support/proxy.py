"""A network between two nodes that tests can spoil: cut, slow down, or swallow everything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

PIECE_BYTES = 64 * 1024


@dataclass
class Proxy:
    """Passes TCP connections on to a port.

    Attributes:
        target: Port on this machine.
        port: Where it listens.
        to_target: Bytes passed on towards the target, over all connections.
        delay_s: Waited before each piece is passed on.
        blackhole: Nothing is passed on, in either direction, and nobody is told.
        on_bytes: Called after each piece with ``to_target``.
    """

    target: int
    port: int = 0
    to_target: int = 0
    connections: int = 0
    delay_s: float = 0
    blackhole: bool = False
    refuse: bool = False
    on_bytes: Callable[[int], None] = lambda _: None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Resets every open connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        try:
            await asyncio.gather(self._pass(reader, back, counted=True), self._pass(there, writer))
        except OSError:
            pass  # the connection was cut, which is what this is for
        finally:
            self._writers -= both
            for end in both:
                end.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool = False
    ) -> None:
        while piece := await source.read(PIECE_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.blackhole:
                continue
            sink.write(piece)
            await sink.drain()
            if counted:
                self.to_target += len(piece)
                self.on_bytes(self.to_target)
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """Runs a proxy to a port for a block."""
    made = Proxy(target)
    made._server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.port = int(made._server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        made._server.close()
        made.cut()
        await made._server.wait_closed()
