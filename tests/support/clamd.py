"""Real scanners: clamd with a few signatures of the test's own, and one that misbehaves as told.

Each has a socket and a folder of its own; nothing is fetched from the network.
"""

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from shutil import which

import pytest

from edocnode.app.scanning import test_file as eicar

MARKER = b"edocnode test malware, which is none"
KNOWN_FILE = b"%PDF-1.7 a file known by its hash alone\n" * 40
START_S = 20.0
_CONFIG = """
Foreground yes
LocalSocket {folder}/clamd.sock
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
StreamMaxLength {stream_max}
AlertExceedsMax {exceeds}
AlertEncrypted {encrypted}
MaxThreads 8
ReadTimeout 20
SelfCheck 0
"""


def short_folder(folder: Path) -> Path:
    """The folder of a socket, whose path may have 100 characters."""
    assert len(str(folder)) < 90, folder
    return folder


@dataclass
class TestClamd:
    """A clamd that can be started, killed and started again."""

    __test__ = False
    folder: Path
    process: asyncio.subprocess.Process | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its socket."""
        return str(self.folder / "clamd.sock")

    def write(self, **settings: str) -> None:
        """Writes its configuration; what is not given is as a node wants it."""
        self.settings |= settings
        values = {"stream_max": "100M", "exceeds": "yes", "encrypted": "yes"} | self.settings
        (self.folder / "clamd.conf").write_text(_CONFIG.format(folder=self.folder, **values))

    def know(self, *, eicar_too: bool = True, marker: bool = True) -> None:
        """Writes its signatures."""
        signatures = self.folder / "signatures"
        signatures.mkdir(exist_ok=True)
        digest = md5(KNOWN_FILE, usedforsecurity=False).hexdigest()
        (signatures / "test.hdb").write_text(f"{digest}:{len(KNOWN_FILE)}:Edoc.Test.Hash\n")
        lines = [f"Eicar-Test-Signature:0:*:{eicar().hex()}"] if eicar_too else []
        lines += [f"Edoc.Test.Marker:0:*:{MARKER.hex()}"] if marker else []
        (signatures / "test.ndb").write_text("".join(f"{line}\n" for line in lines))

    async def start(self) -> "TestClamd":
        """Starts it and waits until it answers."""
        program = which("clamd")
        assert program is not None
        with (self.folder / "clamd.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(program, "--config-file", str(self.folder / "clamd.conf")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for _ in range(int(START_S / 0.02)):
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self.address)
                writer.write(b"zPING\0")
                answer = await reader.read(16)
                writer.close()
                if answer == b"PONG\0":
                    return self
            await asyncio.sleep(0.02)
        raise AssertionError((self.folder / "clamd.log").read_text())

    async def kill(self) -> None:
        """Kills it without warning."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            await self.process.wait()
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.address)


@contextlib.asynccontextmanager
async def clamd(folder: Path, **settings: str) -> AsyncIterator[TestClamd]:
    """A clamd that knows the test file of EICAR, a marker and the hash of a file, for a block."""
    if which("clamd") is None:
        reason = "clamd is missing: deploy/install-packages"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    made = TestClamd(short_folder(folder))
    made.write(**settings)
    made.know()
    try:
        yield await made.start()
    finally:
        await made.kill()


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


async def say_found_or_ok(content: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers as a good scanner would."""
    found = None
    if eicar() in content or MARKER in content:
        found = "Test.Marker"
    elif b"PK\x03\x04" in content:
        encrypted = content[6] & 1
        found = "Heuristics.Encrypted.Zip" if encrypted else "Heuristics.Limits.Exceeded.MaxFiles"
    writer.write(f"stream: {found} FOUND\0".encode() if found else b"stream: OK\0")


@dataclass
class FakeClamd:
    """Speaks clamd's protocol; ``answer`` says how documents are answered, to which it belongs.

    Attributes:
        scans: Contents that came, but for those by which it proves itself.
        most_at_once: Of such scans.
    """

    address: str
    answer: Answer = say_found_or_ok
    scans: list[bytes] = field(default_factory=list)
    busy: int = 0
    most_at_once: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            command = await reader.readuntil(b"\0")
            if command != b"zINSTREAM\0":
                answers = {b"zPING\0": b"PONG\0", b"zVERSION\0": b"ClamAV 1.4.3/27000/today\0"}
                writer.write(answers.get(command, b"UNKNOWN COMMAND\0"))
            else:
                content = b""
                while size := struct.unpack("!L", await reader.readexactly(4))[0]:
                    content += await reader.readexactly(size)
                await self._scan(content, writer)
            await writer.drain()
        writer.close()

    async def _scan(self, content: bytes, writer: asyncio.StreamWriter) -> None:
        if eicar() == content or content.startswith(b"PK\x03\x04"):
            await say_found_or_ok(content, writer)
            return
        self.scans.append(content)
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        try:
            await self.answer(content, writer)
        finally:
            self.busy -= 1


@contextlib.asynccontextmanager
async def fake_clamd(folder: Path, answer: Answer = say_found_or_ok) -> AsyncIterator[FakeClamd]:
    """A scanner that does as it is told, for a block."""
    fake = FakeClamd(str(short_folder(folder) / "fake.sock"), answer)
    server = await asyncio.start_unix_server(fake.serve, fake.address)
    try:
        yield fake
    finally:
        server.close()
