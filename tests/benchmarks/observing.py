"""Looks at running nodes from outside: processor time, memory, and how far their databases are.

All SQL of the benchmarks stands here. A database is read beside its node, read-only, by queries
that cost the same whatever the database holds, so that looking often does not disturb the nodes.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

TICKS = os.sysconf("SC_CLK_TCK")
OPEN_STATES = ("unsealed", "waiting", "queued", "sending")
LOOK_EVERY_S = 0.005
MEMORY_EVERY_S = 0.02


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process so far, all its threads; a tick is 10 ms."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def tree_cpu_seconds(process_id: int) -> float:
    """The same for a process and its children that live."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return cpu_seconds(process_id) + sum(cpu_seconds(int(child)) for child in children)


def memory_mib(process_id: int, field: str = "VmRSS") -> float:
    """Resident memory of a process: ``VmRSS`` now, ``VmHWM`` at most."""
    status = Path(f"/proc/{process_id}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


class Progress:
    """What one node's database says of its work."""

    def __init__(self, url: str) -> None:
        """Opens it; it must exist."""
        self._connection: Any
        if url.startswith("sqlite:///"):
            path = url.removeprefix("sqlite:///")
            self._connection = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
        else:
            target = url.replace("postgresql+psycopg", "postgresql")
            self._connection = psycopg.connect(target, autocommit=True)

    def received(self) -> int:
        """Documents that were ever visible in the inbox."""
        return self._number("SELECT max(position) FROM inbox")

    def has(self, *states: str) -> bool:
        """Whether a delivery is in one of these states."""
        return any(
            self._number(f"SELECT 1 FROM delivery WHERE state = '{state}' LIMIT 1")
            for state in states
        )

    def is_sealed(self) -> bool:
        """Whether the sealer has nothing left of what was handed in."""
        return not self.has("unsealed")

    def unsealed(self) -> int:
        """Deliveries that wait for the sealer; reads them all."""
        return self._number("SELECT count(*) FROM delivery WHERE state = 'unsealed'")

    def is_done(self) -> bool:
        """Whether every delivery has its answer."""
        return not self.has(*OPEN_STATES)

    def sealed_rows(self) -> int:
        """Seals of all agencies here."""
        return self._number("SELECT max(id) FROM seal")

    def delivered(self) -> int:
        """Deliveries with a receipt; reads them all."""
        return self._number("SELECT count(*) FROM delivery WHERE state = 'delivered'")

    def distinct_received(self) -> int:
        """Different documents in the inbox; reads them all."""
        return self._number("SELECT count(DISTINCT document_id) FROM inbox")

    def in_inbox(self) -> int:
        """Rows of the inbox; reads them all."""
        return self._number("SELECT count(*) FROM inbox")

    def newest_event(self) -> int:
        """Position of the newest event."""
        return self._number("SELECT max(position) FROM event")

    def receipts_after(self, position: int) -> list[tuple[int, bytes]]:
        """Position and message of the deliveries that ended since."""
        query = (
            f"SELECT position, message_id FROM event WHERE position > {position} "
            "AND kind = 'delivery.delivered' ORDER BY position LIMIT 1000"
        )
        return [(int(row[0]), bytes(row[1])) for row in self._connection.execute(query)]

    def state_of(self, request_id: str) -> str:
        """State of the first delivery of a request; empty while it is not committed."""
        query = (
            "SELECT delivery.state FROM document JOIN delivery ON document_row = document.id "
            f"WHERE request_id = '{request_id}'"
        )
        row = self._connection.execute(query).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _number(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        return int(row[0] or 0) if row else 0


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two looks."""

    seconds: float
    cpu: tuple[float, ...]
    documents: int
    peak_mib: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def cpu_us(self) -> tuple[float, ...]:
        """Microseconds of processor time per document, each process."""
        return tuple(used / self.documents * 1e6 for used in self.cpu)

    def figures(self, name: str) -> dict[str, float]:
        """Rate and processor time, named for a table."""
        found = {f"{name}: documents/s": self.rate, f"{name}: CPU us": sum(self.cpu_us)}
        sides = ("sender", "recipient")[: len(self.cpu)]
        for side, used in zip(sides, self.cpu_us, strict=True):
            found[f"{name}: CPU us, {side}"] = used
        return found


@dataclass(frozen=True, slots=True)
class Mark:
    """One look: seconds, processor seconds of each process, documents so far."""

    at: float
    cpu: tuple[float, ...]
    documents: int = 0

    def until(self, later: "Mark", documents: int) -> Span:
        """What happened since."""
        used = tuple(new - old for new, old in zip(later.cpu, self.cpu, strict=True))
        return Span(later.at - self.at, used, documents)


def mark(process_ids: list[int], documents: int = 0) -> Mark:
    """Looks now."""
    return Mark(time.perf_counter(), tuple(map(cpu_seconds, process_ids)), documents)


def wait_until(found: Callable[[], object], *, within_s: float, what: str) -> None:
    """Looks until something holds.

    Raises:
        TimeoutError: It did not come true.
    """
    deadline = time.monotonic() + within_s
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s: {what}")
        time.sleep(LOOK_EVERY_S)


class Memory:
    """Samples the resident memory of processes while a block runs: ``idle`` before, ``peak``."""

    def __init__(self, *process_ids: int) -> None:
        """Takes running processes."""
        self.idle = {number: memory_mib(number) for number in process_ids}
        self.peak = dict(self.idle)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(MEMORY_EVERY_S):
            for number in self.peak:
                self.peak[number] = max(self.peak[number], memory_mib(number))
