"""Runs the two command lines as an operator does: one program and data folder each.

Knows processes, exit codes and ``--json``; nothing of documents. Every process started here is in a
group of its own, so that Ctrl-C reaches the demonstration alone, which then ends the others.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edoccore.errors import EdocError

READY_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0  # serve drains within 10 s of SIGTERM
LOG_TAIL = 5  # lines of a log shown when a program fails

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Program:
    """One of the two programs on one data folder.

    Attributes:
        name: ``edocnode`` or ``edocregistry``.
        data: Its data folder; the log of ``serve`` is beside it.
    """

    name: str
    data: Path

    @property
    def log(self) -> Path:
        """Where ``serve`` writes its log."""
        return self.data.with_suffix(".log")

    def call(self, *words: str) -> Json:
        """Runs a command with ``--json`` and returns what it printed.

        Raises:
            EdocError: It ended with another code than 0; the message is its own.
        """
        code, answer = self.attempt(*words)
        if code:
            raise EdocError(
                f"{self.name} {words[0]} ended with {code}: {answer.get('message', answer)}",
                hint=str(answer.get("hint", "")),
            )
        return answer

    def attempt(self, *words: str) -> tuple[int, Json]:
        """Runs a command with ``--json``; returns its exit code and data, or its error object.

        Raises:
            EdocError: It printed neither, or took too long.
        """
        line = [_path(self.name), *words, "--json", "--data", str(self.data)]
        try:
            done = subprocess.run(
                line,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                start_new_session=True,
                timeout=CALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EdocError(f"{self.name} {words[0]} took over {CALL_TIMEOUT_S:.0f} s") from error
        shown = done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]
        try:
            return done.returncode, json.loads(shown)
        except ValueError as error:
            raise EdocError(
                f"{self.name} {words[0]} ended with {done.returncode} and said: {shown}"
            ) from error

    def serve(self) -> "Service":
        """Starts ``serve`` and waits for its ready line.

        Raises:
            EdocError: It ended or kept silent instead; the message ends with its last log lines.
        """
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [_path(self.name), "serve", "--data", str(self.data)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        service = Service(self, process)
        try:
            service.wait_ready()
        except BaseException:
            service.kill()
            raise
        return service


class Service:
    """A running ``serve``."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        """Takes a process that was started."""
        self.program = program
        self._process = process
        self.listen = ""

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Reads the ready line.

        Raises:
            EdocError: It did not come.
        """
        output = self._process.stdout
        assert output is not None
        waiting, _, _ = select.select([output], [], [], READY_TIMEOUT_S)
        line = output.readline() if waiting else b""
        output.close()
        if not line:
            raise EdocError(
                f"{self.program.name} serve did not become ready; its log ends:\n"
                + self._end_of_log()
            )
        self.listen = json.loads(line)["listen"]

    def check(self) -> None:
        """Tells whether it still runs; nobody waits for what has ended.

        Raises:
            EdocError: It has ended by itself; the message ends with its last log lines.
        """
        code = self._process.poll()
        if code is not None:
            name, of = self.program.name, self.program.data.name
            raise EdocError(
                f"{name} serve of {of} ended with {code}; its log ends:\n" + self._end_of_log()
            )

    def kill(self) -> None:
        """Ends it at once, as a power failure would (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Asks it to end, as an operator does (SIGTERM); does nothing when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> int | None:
        """Waits until it has ended, and kills it when that takes too long.

        Returns:
            Its exit code; None when it was killed here.
        """
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def stop(self) -> None:
        """Ends it in order.

        Raises:
            EdocError: It did not end in time, or not with 0.
        """
        self.terminate()
        code = self.end()
        if code != 0:
            name = self.program.name
            raise EdocError(
                f"{name} serve, told to stop, ended with {code}"
                if code
                else f"{name} serve, told to stop, did not end within {STOP_TIMEOUT_S:.0f} s"
            )

    def _end_of_log(self) -> str:
        lines = self.program.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL:])

    def resident_mib(self) -> int:
        """Most memory it had resident so far, MiB; 0 where the system does not tell."""
        try:
            text = Path(f"/proc/{self.process_id}/status").read_text()
        except FileNotFoundError:
            return 0
        lines = (line.split() for line in text.splitlines())
        return next((int(words[1]) // 1024 for words in lines if words[0] == "VmHWM:"), 0)


def transfers(log: Path, start: int) -> list[Json]:
    """The ``transfer.*`` events in the log of a node, from a position in the file on."""
    with log.open("rb") as file:
        file.seek(start)
        lines = [line for line in file.read().splitlines() if b'"transfer.' in line]
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def poll(what: str, ask: Callable[[], T | None], *, every_s: float, timeout_s: float) -> T:
    """Asks again and again until there is an answer, and returns it.

    Args:
        what: That is waited for, for the error.

    Raises:
        EdocError: The time is over.
    """
    end = time.monotonic() + timeout_s
    while (answer := ask()) is None:
        if time.monotonic() > end:
            raise EdocError(f"{what}: waited {timeout_s:.0f} s in vain")
        time.sleep(every_s)
    return answer


def _path(name: str) -> str:
    """The program beside this one, or the one on the PATH."""
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise EdocError(
            f"the program {name} is not installed beside this one",
            hint="Install the distribution edocnode, or run make venv.",
        )
    return path


def _environment() -> dict[str, str]:
    """This environment without settings of other nodes, which would win over those made here."""
    ours = ("EDOCNODE_", "EDOCREGISTRY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "EDOCNODE_LOG_FORMAT": "json", "EDOCREGISTRY_LOG_FORMAT": "json"}
