"""Asks clamd, the daemon of ClamAV, over its socket: whether bytes are known to be malware.

Only ``INSTREAM`` is used, so that the daemon needs no right on this machine's files. An answer
counts when it is whole, ends as the protocol says and came after the last byte was sent: an answer
that was cut off, comes early or cannot be read says nothing about the bytes.

Source: clamd(8), section COMMANDS. Why no library: node/README.md, Malware.
"""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

CONNECT_WAIT = timedelta(seconds=5)
ANSWER_WAIT = timedelta(seconds=150)  # clamd itself gives up after 120 s (MaxScanTime)
MAX_ANSWER_BYTES = 4096
MAX_CHUNK_BYTES = 256 * 1024
_FOUND = re.compile(r"stream: (?P<name>[!-~]{1,300}) FOUND")
_REFUSED = re.compile(r"(?P<why>[ -~]{1,1000}) ERROR")
_END = struct.pack("!L", 0)


class ReplyKind(Enum):
    """What an answer says."""

    CLEAN = "clean"
    FOUND = "found"
    REFUSED = "refused"  # these bytes were not scanned


@dataclass(frozen=True, slots=True)
class ScanReply:
    """An answer about bytes.

    Attributes:
        detail: Name of what was found, or why it refused; at most 1,000 printable characters.
    """

    kind: ReplyKind
    detail: str = ""


class ScannerAwayError(Exception):
    """Nobody takes the connection, or it ended before anything was asked; the message says why."""


class ScanBrokenError(Exception):
    """The daemon ended, hung or spoke nonsense while it scanned; the message says which."""


class Clamd:
    """A daemon at one address; each question has a connection of its own."""

    def __init__(self, address: str, *, patience: timedelta = ANSWER_WAIT) -> None:
        """Takes where it listens.

        Args:
            address: Path of a unix socket, or host:port, IPv6 in brackets.
            patience: For the bytes to be taken, and then for the answer.
        """
        self.address = address
        self._patience = patience

    async def ask(self, command: str) -> str:
        """The answer to a command without content, such as ``PING`` or ``VERSION``.

        Raises:
            ScannerAwayError: There is none.
        """
        connection = await self._connect()
        try:
            async with asyncio.timeout(CONNECT_WAIT.total_seconds()):
                await _loop().sock_sendall(connection, f"z{command}\0".encode("ascii"))
                return await _answer(connection)
        except TimeoutError as error:
            raise ScannerAwayError(f"{self.address} does not answer {command}") from error
        except (OSError, ScanBrokenError) as error:
            raise ScannerAwayError(f"{self.address}: {_why(error)}") from error
        finally:
            connection.close()

    async def scan(self, pieces: AsyncGenerator[bytes, None]) -> ScanReply:
        """Has bytes scanned.

        Args:
            pieces: Each at most ``MAX_CHUNK_BYTES``; closed in any case, its errors passed on.

        Raises:
            ScannerAwayError: It took no connection.
            ScanBrokenError: It gave no answer that can be relied on.
        """
        async with aclosing(pieces):
            connection = await self._connect()
            return await self._scan(connection, pieces)

    async def _scan(
        self, connection: socket.socket, pieces: AsyncGenerator[bytes, None]
    ) -> ScanReply:
        try:
            is_whole = await self._send(connection, pieces)
            async with asyncio.timeout(self._patience.total_seconds()):
                reply = parse_reply(await _answer(connection))
        except TimeoutError as error:
            raise ScanBrokenError("it took too long") from error
        except OSError as error:
            raise ScanBrokenError(_why(error)) from error
        finally:
            connection.close()
        if not is_whole and reply.kind is not ReplyKind.REFUSED:
            raise ScanBrokenError("it answered before it had all bytes")
        return reply

    async def _send(self, connection: socket.socket, pieces: AsyncGenerator[bytes, None]) -> bool:
        """Sends all bytes; False when it takes no more: then its answer says why."""
        loop = _loop()
        try:
            async with asyncio.timeout(self._patience.total_seconds()) as limit:
                await loop.sock_sendall(connection, b"zINSTREAM\0")
                async for piece in pieces:
                    await loop.sock_sendall(connection, struct.pack("!L", len(piece)) + piece)
                    limit.reschedule(loop.time() + self._patience.total_seconds())
                await loop.sock_sendall(connection, _END)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    async def _connect(self) -> socket.socket:
        """Opens a connection.

        Raises:
            ScannerAwayError: That is not possible.
        """
        is_path = self.address.startswith("/")
        try:
            async with asyncio.timeout(CONNECT_WAIT.total_seconds()):
                if is_path:
                    return await _connected(socket.AF_UNIX, self.address)
                host, _, port = self.address.rpartition(":")
                found = await _loop().getaddrinfo(
                    host.strip("[]"), int(port), type=socket.SOCK_STREAM
                )
                return await _connected(found[0][0], found[0][4])
        except TimeoutError as error:
            raise ScannerAwayError(f"{self.address} takes no connection") from error
        except OSError as error:
            raise ScannerAwayError(f"{self.address}: {_why(error)}") from error


def parse_reply(text: str) -> ScanReply:
    """Reads an answer to ``INSTREAM``.

    Raises:
        ScanBrokenError: It is none.
    """
    if text == "stream: OK":
        return ScanReply(ReplyKind.CLEAN)
    if found := _FOUND.fullmatch(text):
        return ScanReply(ReplyKind.FOUND, found["name"])
    if refused := _REFUSED.fullmatch(text):
        return ScanReply(ReplyKind.REFUSED, refused["why"])
    raise ScanBrokenError("its answer cannot be read")


async def _connected(family: int, address: Any) -> socket.socket:  # noqa: ANN401 - of any family
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await _loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _answer(connection: socket.socket) -> str:
    """One answer, without the byte that ends it."""
    taken = b""
    while not taken.endswith(b"\0"):
        more = await _loop().sock_recv(connection, MAX_ANSWER_BYTES)
        taken += more
        if not more or len(taken) > MAX_ANSWER_BYTES:
            raise ScanBrokenError("its answer is cut off" if not more else "its answer has no end")
    try:
        return taken[:-1].decode("ascii")
    except UnicodeDecodeError as error:
        raise ScanBrokenError("its answer cannot be read") from error


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
