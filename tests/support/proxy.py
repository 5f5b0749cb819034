"""A network between two nodes that tests can spoil: cut, slow down, or swallow everything."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PIECE_BYTES = 64 * 1024
SO_ATTACH_FILTER = 26  # Linux
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes


@dataclass(eq=False)
class _Way:
    """One direction of one connection."""

    to_target: bool
    is_dark: bool = False


@dataclass
class Proxy:
    """Passes TCP connections on to a port.

    Attributes:
        target: Port on this machine, or a Unix socket.
        host: Address of the target, and where it listens.
        port: Where it listens; 0: a free one.
        to_target: Bytes passed on towards the target, over all connections.
        delay_s: Waited before each piece is passed on.
        rate_bytes_s: Passed on at most, in each direction of each connection; 0: no bound.
        blackhole: Nothing is passed on, in either direction, and nobody is told.
        refuse: New connections are reset.
        on_bytes: Called after each piece with ``to_target``.
    """

    target: int | Path
    host: str = "127.0.0.1"
    port: int = 0
    to_target: int = 0
    connections: int = 0
    delay_s: float = 0
    rate_bytes_s: int = 0
    blackhole: bool = False
    refuse: bool = False
    on_bytes: Callable[[int], None] = lambda _: None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _targets: set[asyncio.StreamWriter] = field(default_factory=set)
    _abandoned: bool = False
    _healed: asyncio.Event = field(default_factory=asyncio.Event)
    _ways: set[_Way] = field(default_factory=set)

    async def open(self) -> None:
        """Listens from now on."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Ends it and every connection."""
        assert self._server is not None
        self._server.close()
        self.heal()
        await self._server.wait_closed()

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Resets every open connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def abandon(self) -> None:
        """Leaves callers with connections of which the other end is gone and never says so."""
        self._abandoned = True
        self._healed.clear()
        for writer in list(self._targets):
            writer.transport.abort()

    def heal(self) -> None:
        """Spoils nothing any more; what was spoilt is reset."""
        self.delay_s, self.rate_bytes_s, self.blackhole, self.refuse = 0, 0, False, False
        self._abandoned = False
        self._healed.set()
        self.cut()

    def darken(self, *, to_target: bool = True, back: bool = True) -> None:
        """Swallows what the connections open now carry, one way or both; later ones are sound.

        Nobody is told, as when a firewall forgets a connection.
        """
        for way in self._ways:
            way.is_dark = way.is_dark or (to_target if way.to_target else back)

    def swallow_packets(self) -> None:
        """Lets the kernel drop every packet that comes on connections open now, unacknowledged.

        ``darken`` takes what it does not pass on; here callers' kernels see that nothing arrives,
        as when a cable was pulled. Later connections are sound. Linux only.
        """
        program = struct.pack("HP", 1, ctypes.addressof(_DROP_ALL))
        for writer in self._writers - self._targets:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            there, back = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        self._targets.add(back)
        try:
            await asyncio.gather(
                self._pass(reader, back, _Way(to_target=True)),
                self._pass(there, writer, _Way(to_target=False)),
            )
        except OSError:
            pass  # the connection was cut, which is what this is for
        finally:
            back.transport.abort()
            self._targets.discard(back)
            if self._abandoned:
                await self._healed.wait()
            self._writers -= both
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(self.host, self.target)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: _Way
    ) -> None:
        self._ways.add(way)
        try:
            while piece := await source.read(PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.rate_bytes_s:
                    await asyncio.sleep(len(piece) / self.rate_bytes_s)
                if self.blackhole or way.is_dark:
                    continue
                sink.write(piece)
                await sink.drain()
                if way.to_target:
                    self.to_target += len(piece)
                    self.on_bytes(self.to_target)
        finally:
            self._ways.discard(way)
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """Runs a proxy to a port for a block."""
    made = Proxy(target)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


class ThreadedProxy:
    """A proxy beside tests that run no event loop: in a thread of its own."""

    def __init__(self, host: str, target: int | Path) -> None:
        """Takes the target; listens at once, on a free port of the same address."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = Proxy(target, host)
        self._await(self.proxy.open())

    def call(self, change: Callable[[Proxy], object]) -> None:
        """Changes the proxy."""

        async def apply() -> None:
            change(self.proxy)

        self._await(apply())

    def close(self) -> None:
        """Ends it."""
        self._await(self.proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)
