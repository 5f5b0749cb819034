"""The node's side of the checking process: starts it, asks it, outlives it.

A part that breaks the process costs itself a verdict, ``check_failed``, and nobody else anything:
the next part gets a new process, after a pause that grows while processes keep breaking.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from importlib.util import find_spec

import msgspec
import structlog

from edocnode.domain.signature_checks import CheckerAwayError
from edocnode.domain.signatures import (
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    decode_part_verdict,
    part_verdict,
)
from edocnode.signatures.trust_settings import TrustSettings, WorkerSettings

MEMORY_BYTES = 512 * 1024 * 1024  # beyond what the programs of a checking process take
CPU = timedelta(seconds=30)  # of one part
WALL = timedelta(seconds=120)  # of one part; the processor may be busy with better things
ANSWER_BYTES = 1024 * 1024  # of one part, with 50 signatures and their names
PARTS_OF_A_PROCESS = 500  # then a new one begins, so that nothing piles up in it
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0  # before the next process, after one broke

_NEEDED = ("lxml", "pyhanko", "signxml")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")  # no secrets of the node

log = structlog.get_logger(__name__)


def is_installed() -> bool:
    """Whether the extra ``signatures`` is here; imports nothing of it."""
    return all(find_spec(name) is not None for name in _NEEDED)


class CheckingProcess:
    """See ``domain.signatures.SignatureChecker``; one part at a time."""

    def __init__(
        self,
        trust: TrustSettings,
        *,
        largest_bytes: int,
        memory_bytes: int = MEMORY_BYTES,
        cpu: timedelta = CPU,
        wall: timedelta = WALL,
    ) -> None:
        """Takes what is trusted and what a part may cost; starts nothing yet.

        Args:
            largest_bytes: A larger part is not checked.
        """
        self._trust = trust
        self._largest = largest_bytes
        self._limits = (memory_bytes, int(cpu.total_seconds()))
        self._wall = wall.total_seconds()
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0  # parts of this process
        self._broken = 0  # processes in a row

    @property
    def pid(self) -> int | None:
        """The process that checks now; None while there is none."""
        return None if self._process is None else self._process.pid

    async def check(self, part: PartToCheck) -> PartVerdict:
        """Judges one part; whatever it does, there is a verdict.

        Raises:
            CheckerAwayError: The process cannot be started, for want of memory for example.
        """
        if not self._trust.stores:
            return part_verdict(part, PartState.NOT_CHECKED, Reason.NO_TRUST_STORE)
        if part.size > self._largest:
            return part_verdict(part, PartState.NOT_CHECKED, Reason.TOO_LARGE)
        if not is_installed():
            return part_verdict(part, PartState.NOT_CHECKED, Reason.NOT_INSTALLED)
        used = self._process is not None
        verdict = await self._checked(part)
        if verdict.reason is Reason.CRASHED and used:  # it may have ended before it read the part
            return await self._checked(part)
        return verdict

    async def close(self) -> None:
        """Ends the process at once; the next part starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def _checked(self, part: PartToCheck) -> PartVerdict:
        try:
            async with asyncio.timeout(self._wall):
                answer = await self._ask(part)
        except TimeoutError:
            await self.close()
            return self._failed(part, Reason.TOO_LONG)
        except asyncio.CancelledError:  # or the answer would be taken for that of another part
            await self.close()
            raise
        except (BrokenPipeError, ConnectionResetError, ValueError):
            answer = b""
        if not answer.endswith(b"\n"):
            return self._failed(part, await self._ended())
        try:
            verdict = decode_part_verdict(answer)
        except ValueError:  # whatever it is, it no longer does what it should
            await self.close()
            return self._failed(part, Reason.CRASHED)
        if verdict.reason is Reason.OUT_OF_MEMORY:  # it ends by itself, a moment later
            await self.close()
        self._broken = 0
        return verdict

    async def _ask(self, part: PartToCheck) -> bytes:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(part) + b"\n")
        await process.stdin.drain()
        self._asked += 1
        return await process.stdout.readline()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._asked >= PARTS_OF_A_PROCESS:
            await self.close()
        if self._process is None or self._process.returncode is not None:
            if self._broken:
                pause = FIRST_PAUSE_S * 2 ** min(self._broken, 10)
                await asyncio.sleep(min(pause, LONGEST_PAUSE_S))
            try:
                self._process = await self._start()
            except OSError as error:
                self._broken += 1
                raise CheckerAwayError(f"the checking process does not start: {error}") from error
            self._asked = 0
        return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-X", "utf8", "-m", "edocnode.signatures.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=ANSWER_BYTES,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )
        memory_bytes, cpu_s = self._limits
        settings = WorkerSettings(trust=self._trust, memory_bytes=memory_bytes, cpu_s=cpu_s)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(settings) + b"\n")
        log.info("signatures.process_started", pid=process.pid)
        return process

    async def _ended(self) -> Reason:
        """Why the process is no longer there."""
        process, self._process = self._process, None
        if process is None:
            return Reason.CRASHED
        if (
            process.returncode is None
            and process.stdout is not None
            and not process.stdout.at_eof()
        ):
            process.kill()  # it says what is no answer
        code = await process.wait()
        return Reason.TOO_LONG if code == -signal.SIGXCPU else Reason.CRASHED

    def _failed(self, part: PartToCheck, reason: Reason) -> PartVerdict:
        self._broken += 1
        log.warning("signatures.check_failed", part=part.index, sha256=part.sha256, reason=reason)
        return part_verdict(part, PartState.CHECK_FAILED, reason)
