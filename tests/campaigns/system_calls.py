"""What a process did to its files, recorded by strace and read back call by call.

Only the calls that change files, or name what later calls change. A call that strace shows in two
pieces, because another thread came between, is told twice: when it began and when it ended.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.disks import unavailable

CALLS = (
    "openat,close,lseek,write,pwrite64,ftruncate,truncate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
# Nothing here makes them; a program that does must be told, not misread.
UNKNOWN_CALLS = "writev,pwritev,pwritev2,fallocate,copy_file_range,link,linkat,symlinkat"
WHOLE_BYTES = 16 * 1024 * 1024  # of the data of a call
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?),? *<unfinished \.\.\.>$", re.DOTALL)
_ENDED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>,? ?(.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.

    Attributes:
        thread: That made it.
        texts: Its paths or its data, in order.
        numbers: Its other arguments as strace writes them, in order.
        result: What it returned; None when this is only its begin.
    """

    thread: int
    name: str
    texts: tuple[bytes, ...]
    numbers: tuple[str, ...]
    result: int | None

    @property
    def descriptor(self) -> int:
        """Its first argument."""
        return int(self.numbers[0])

    @property
    def failed(self) -> bool:
        """Whether it returned an error."""
        return self.result is not None and self.result < 0


def command_under_strace(log: Path, *options: str) -> list[str]:
    """The words before a command whose calls are to be recorded.

    Args:
        log: Where strace writes.
        options: More of strace, such as faults to inject.
    """
    strace = shutil.which("strace")
    if strace is None:
        unavailable("strace is not installed (apt-get install strace)")
    traced = f"trace={CALLS},{UNKNOWN_CALLS}"
    words = [str(strace), "-f", "-qq", "--seccomp-bpf", "-xx", "-s", str(WHOLE_BYTES)]
    return [*words, "-o", str(log), "-e", traced, "-e", "signal=none", *options]


def record(
    command: Sequence[str], log: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and records its calls."""
    words = [*command_under_strace(log, *options), *command]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=120, env=environment
    )


def read_calls(log: Path) -> Iterator[Call]:
    """The calls of a record, in the order in which they began or ended."""
    begun: dict[int, str] = {}
    for line in log.read_text("ascii").splitlines():
        if (found := _CALL.match(line)) is not None:
            thread, name, arguments, result, _ = found.groups()
        elif (found := _ENDED.match(line)) is not None:
            thread, name, rest, result, _ = found.groups()
            before = begun.pop(int(thread))
            arguments = ", ".join(piece for piece in (before, rest) if piece)
        elif (found := _BEGUN.match(line)) is not None:
            thread, name, arguments = found.groups()
            begun[int(thread)] = arguments
            yield _call(thread, name, arguments, None)
            continue
        else:
            continue  # a thread began or ended
        if result != "?":  # otherwise the process ended in it
            yield _call(thread, name, arguments, int(result))


def _call(thread: str, name: str, arguments: str, result: int | None) -> Call:
    texts = tuple(bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments))
    numbers = tuple(
        piece for piece in (part.strip() for part in _TEXT.sub("", arguments).split(",")) if piece
    )
    return Call(int(thread), name, texts, numbers, result)
