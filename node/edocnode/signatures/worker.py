"""The process that reads parts of strangers: ``python -m edocnode.signatures.worker``.

One line of JSON with its settings comes first, then one for each part; each part is answered by one
line. It may use so much memory and processor time and no more, writes no file, calls nobody, and
is gone without a trace when a part breaks it: who started it says so of the part.
"""

import asyncio
import logging
import os
import resource
import sys
from datetime import UTC, datetime
from typing import IO

import msgspec

from edoccore.errors import SettingsError
from edoccore.signing.readers import reader_of
from edockit.logs import set_up_logs
from edocnode.domain.signatures import (
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    part_verdict,
)
from edocnode.signatures.parts import check_part
from edocnode.signatures.trust import TrustShelf
from edocnode.signatures.trust_settings import WorkerSettings

NICE = 10  # behind the node itself
_OPEN_FILES = 64
_TALKATIVE = ("pyhanko", "pyhanko_certvalidator", "signxml")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind")
_FORBIDDEN_PROGRAMS = ("subprocess.Popen", "os.exec", "os.system", "os.posix_spawn", "os.fork")


def main() -> None:
    """Answers parts until there are no more."""
    set_up_logs(level="WARNING")  # of trust stores; stdout is for answers alone
    for library in _TALKATIVE:  # they tell of every odd file; the verdict does too
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    settings = reader_of(WorkerSettings).decode(requests.readline())
    parts = reader_of(PartToCheck)
    shelf = TrustShelf(settings.trust)
    _confine(settings)

    async def check(part: PartToCheck) -> PartVerdict:
        try:
            trust = shelf.current()
        except SettingsError as error:
            told = error.message[:200]
            reason = Reason.NO_TRUST_STORE
            return part_verdict(part, PartState.NOT_CHECKED, reason, detail=told)
        return await check_part(part, trust, datetime.now(UTC))

    with asyncio.Runner() as runner:
        for line in requests:
            part = parts.decode(line)
            _allow_cpu(settings.cpu_s)
            try:
                verdict = runner.run(check(part))
            except MemoryError:
                _answer(answers, part_verdict(part, PartState.CHECK_FAILED, Reason.OUT_OF_MEMORY))
                return  # what is left of this process may be in pieces
            except RecursionError:
                verdict = part_verdict(part, PartState.CHECKED, Reason.TOO_DEEP)
            except Exception as error:  # noqa: BLE001 - whatever a part does, it is answered
                told = f"{type(error).__name__}: {error}"[:200]
                verdict = part_verdict(part, PartState.CHECK_FAILED, Reason.CRASHED, detail=told)
            _answer(answers, verdict)


def _answer(answers: IO[bytes], verdict: PartVerdict) -> None:
    answers.write(msgspec.json.encode(verdict) + b"\n")
    answers.flush()


def _confine(settings: WorkerSettings) -> None:
    """Takes away what reading a file does not need; nothing of it can be had again."""
    os.nice(NICE)
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    room = used + settings.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)


def _allow_cpu(seconds: int) -> None:
    """Lets the kernel end this process when one part takes longer than this."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Nothing in a part makes this process call anybody, start anything or write a file."""
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    if writes or event in _FORBIDDEN or event in _FORBIDDEN_PROGRAMS:
        raise PermissionError(f"{event} is not for a process that reads parts of strangers")


if __name__ == "__main__":
    main()
