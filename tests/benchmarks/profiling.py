"""Where the processor time of running processes goes, by function, in microseconds per document.

py-spy looks at the stacks from outside, so it sees what a process does while it holds the lock of
the interpreter; a thread inside would only see where it lets go. How much each thread used comes
from the kernel's counters, and is spread over the functions in which that thread was seen at
work. Looking costs some time itself: take figures without it.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TOOL = "py-spy"
RATE = 200  # looks a second
TOP = 60
PATIENCE_S = 120
OWN_TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "benchmarks" / "bin"
# Where threads wait: seen there awake for a moment, they do no work worth a line.
WAITING = ("selectors.py:", "threading.py:", "concurrent/futures/thread.py:", "queue.py:")
NO_PYTHON = "threads of gRPC and others without Python"


@dataclass(frozen=True, slots=True)
class Profiling:
    """What is wanted: a folder for the tables, and whether C functions are named."""

    folder: Path
    native: bool = False

    @contextlib.contextmanager
    def of(self, what: str, processes: Mapping[str, int], documents: int) -> Iterator[None]:
        """Looks at processes, given by name, during a block; see ``end``."""
        profiles = self.begin(processes)
        yield
        self.end(profiles, what, documents)

    def begin(self, processes: Mapping[str, int]) -> "list[Profile]":
        """Begins to look at processes, given by name."""
        return [
            Profile(number, self.folder / f"{name}.raw", native=self.native)
            for name, number in processes.items()
        ]

    def end(self, profiles: "list[Profile]", what: str, documents: int) -> None:
        """Ends them and writes ``what-name.txt`` for each."""
        for profile in profiles:
            path = self.folder / f"{what}-{profile.raw.stem}.txt"
            path.write_text(profile.end(documents))


def looked_at(
    profiling: Profiling | None, what: str, processes: Mapping[str, int], documents: int
) -> contextlib.AbstractContextManager[None]:
    """As ``Profiling.of`` if that is wanted; else nothing."""
    return profiling.of(what, processes, documents) if profiling else contextlib.nullcontext()


class Profile:
    """Samples one process from its making until ``end``."""

    def __init__(self, process_id: int, raw: Path, *, native: bool) -> None:
        """Begins; returns when the first look was taken.

        Args:
            raw: File for the stacks, one a line with its count.
            native: Also name C functions; slower.
        """
        self.raw = raw
        self._process_id = process_id
        words = [tool(), "record", "--pid", str(process_id), "--format", "raw", "--threads"]
        words += ["--rate", str(RATE), "--duration", "86400", "--output", str(raw)]
        self._process = subprocess.Popen(
            words + ["--native"] * native, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        if not any(b"Sampling process" in line for line in self._process.stdout):
            raise RuntimeError(f"{TOOL} cannot look at process {process_id}")
        self._before = thread_seconds(process_id)

    def end(self, documents: int) -> str:
        """Ends; returns the table."""
        now = thread_seconds(self._process_id)
        used = {thread: now[thread] - self._before.get(thread, 0.0) for thread in now}
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=PATIENCE_S)
        return table(self.raw.read_text().splitlines(), used, documents)


def tool() -> str:
    """The program, from the environment of the benchmarks or from the path.

    Raises:
        RuntimeError: It is missing.
    """
    found = shutil.which(TOOL, path=OWN_TOOLS) or shutil.which(TOOL)
    if found is None:
        raise RuntimeError(f"{TOOL} is missing: run tests/benchmarks/peers/make")
    return found


def thread_seconds(process_id: int) -> dict[int, float]:
    """Processor seconds of each thread of a process so far."""
    found = {}
    for folder in Path(f"/proc/{process_id}/task").iterdir():
        try:
            found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
        except OSError:  # it ended meanwhile
            continue
    return found


def table(stacks: Iterable[str], used: Mapping[int, float], documents: int) -> str:
    """Microseconds per document by thread, by function with what it calls, and by line.

    Args:
        stacks: As py-spy writes them: ``thread (7): name;frame;frame 12``.
        used: Processor seconds of each thread.
    """
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        thread = int(stack.partition("(")[2].partition(")")[0])
        seen[thread][stack.partition(": ")[2]] += int(count)
    threads: dict[str, float] = defaultdict(float)
    functions: dict[str, float] = defaultdict(float)
    lines: dict[str, float] = defaultdict(float)
    for thread, seconds in used.items():
        stack_shares = _working(seen.get(thread, Counter({NO_PYTHON: 1})))
        for stack, share in stack_shares.items():
            name, *frames = stack.split(";")
            threads[name.rstrip("0123456789").rstrip("_-")] += share * seconds
            lines[frames[-1] if frames else name] += share * seconds
            for function in {_function(frame) for frame in frames}:
                functions[function] += share * seconds
    parts = {"thread": threads, "function, with what it calls": functions, "line": lines}
    return "\n".join(_section(*part, documents) for part in parts.items())


def _working(stacks: Counter[str]) -> dict[str, float]:
    """Shares of the stacks that are no waiting, or of all when there is nothing else."""
    at_work = {
        stack: count
        for stack, count in stacks.items()
        if not any(place in stack.rpartition(";")[2] for place in WAITING)
    }
    kept = at_work or stacks
    return {stack: count / sum(kept.values()) for stack, count in kept.items()}


def _function(frame: str) -> str:
    return frame.rpartition(":")[0] + ")" if ".py:" in frame else frame


def _section(title: str, found: Mapping[str, float], documents: int) -> str:
    lines = [f"{'us/document':>12}  {title}"]
    ordered = sorted(found.items(), key=lambda item: -item[1])[:TOP]
    lines += [f"{seconds / documents * 1e6:12.1f}  {name}" for name, seconds in ordered]
    return "\n".join([*lines, ""])


def main() -> None:
    """Profiles a running process for a while and prints the table, per second of the clock."""
    process_id, seconds = int(sys.argv[1]), float(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        profile = Profile(process_id, Path(folder) / "stacks", native="--native" in sys.argv)
        time.sleep(seconds)
        print(profile.end(max(round(seconds), 1)).replace("us/document", "us/second"))


if __name__ == "__main__":
    main()
