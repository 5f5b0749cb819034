"""Runs the two programs without an interpreter started anew for each of their processes.

Most of a command's processor time is Python starting and importing, and of a node's start too. A
process that has imported a program (``python -m tests.support.commands MODULE``) forks for each:
what runs then is a process of its own, with the program's own ``main`` and its own arguments,
environment, folder and files, that ends as any program of Python does (``_leave``). It has served
nothing and holds no thread, lock, connection or other open file. What is measured or traced, or
runs under another program, is started as people do it (``Program.launch``), and so is all of
``acceptance/test_cli_errors.py``, ``test_registry.py`` and ``test_walk.py``.
"""

import array
import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_STANDARD = 3  # input, output, errors
_NUMBER_BYTES = 4  # of the answers: of which process it is, once it runs, and how it ended
_LOOK_AT_MOST_EVERY_S = 0.05
_STREAMS = ((0, "rb", "strict"), (1, "wb", "strict"), (2, "wb", "backslashreplace"))
_REQUEST_BYTES = 1024 * 1024
# What a program reads from its environment by itself, whenever it is asked. All else may decide
# how an interpreter or a library starts, and must be as it was for the process that forks.
_READ_LATE = ("EDOC", "LANG", "LC_", "TZ")


def run_command(
    module: str,
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """Runs a command of a program to its end, in the folder of this process.

    Args:
        module: With the program's ``main``.
        words: After the program's name.
        environment: All of it.
        timeout_s: Then it is killed.
        typed: On its standard input.

    Raises:
        subprocess.TimeoutExpired: It did not end in time.
    """
    starter = _fitting(module, environment)
    if starter is None:
        return _run_anew(module, words, environment, timeout_s, typed)
    return starter.run(words, environment, timeout_s, typed)


class ForkedProcess:
    """A program that runs, asked as ``subprocess.Popen`` is; it does not outlive this process."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        """Takes the line to the process that forked it."""
        self.pid = pid
        self.returncode: int | None = None
        self._line = line
        self._asking = threading.Lock()

    def poll(self) -> int | None:
        """Returns its exit code, or None as long as it runs; negative: the signal that ended it."""
        with self._asking:
            if self.returncode is None:
                try:
                    self.returncode = _number(self._line)
                except BlockingIOError:
                    return None
                self._line.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it has ended and returns its exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after that many seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, _LOOK_AT_MOST_EVERY_S)
        return code

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended at this moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


def launch_forked(
    module: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    output: IO[Any],
    talk: IO[Any],
) -> ForkedProcess | None:
    """Starts a program that runs until it is ended, in the folder of this process.

    Args:
        module: With the program's ``main``.
        words: After the program's name.
        environment: All of it.
        output: File for its standard output.
        talk: File for its errors.

    Returns:
        None when only a new interpreter starts in this environment as people's would.
    """
    starter = _fitting(module, environment)
    return None if starter is None else starter.launch(words, environment, output, talk)


def command_line(module: str, *words: object) -> list[str]:
    """The words of a new process that runs a command of a program."""
    return [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)]


def shell_program(module: str) -> str:
    """A script that a shell calls as it would call the program; POSIX sh, to be made executable.

    Its environment must read and write UTF-8, and have no settings of the interpreter.
    """
    call = command_line(module)
    if sys.platform == "linux":
        client = Path(__file__).with_name("command_client.py")
        call = [sys.executable, "-IS", str(client), _starter(module).address]
    return f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n'


def _run_anew(
    module: str, words: Sequence[str], environment: Mapping[str, str], timeout_s: float, typed: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(module, *words),
        capture_output=True,
        timeout=timeout_s,
        env=dict(environment),
        check=False,
        text=True,
        encoding="utf-8",
        input=typed,
    )


class Starter:
    """The process that has imported a program, as seen from the tests."""

    def __init__(self, module: str) -> None:
        self._environment = _decisive(os.environ)
        self._folder = tempfile.TemporaryDirectory(prefix="edoc-commands-")
        self.address = f"{self._folder.name}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen(64)
        mine, its = socket.socketpair()  # it ends when this process does, however that ends
        with listener, its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, module, str(listener.fileno()), str(its.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(listener.fileno(), its.fileno()),
            )
        self._line = mine
        atexit.register(self.end)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new interpreter would start in this environment as that process did."""
        names = ("LC_ALL", "LC_CTYPE", "LANG")
        letters = next((environment[name] for name in names if environment.get(name)), "")
        return letters.endswith("UTF-8") and _decisive(environment) == self._environment

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_s: float, typed: str
    ) -> subprocess.CompletedProcess[str]:
        """See ``run_command``."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_STANDARD)]
            files[0].write(typed.encode())
            files[0].seek(0)
            line = stack.enter_context(self._asked(words, environment, files))
            line.settimeout(timeout_s)
            try:
                _number(line)
                code = _number(line)
            except TimeoutError:
                raise subprocess.TimeoutExpired([*words], timeout_s) from None
            for file in files:
                file.seek(0)
            output, talk = (file.read().decode() for file in files[1:])
        return subprocess.CompletedProcess([*words], code, output, talk)

    def launch(
        self, words: Sequence[str], environment: Mapping[str, str], output: IO[Any], talk: IO[Any]
    ) -> ForkedProcess:
        """See ``launch_forked``."""
        with open(os.devnull, "rb") as nothing:
            line = self._asked(words, environment, [nothing, output, talk])
        try:
            pid = _number(line)
        except BaseException:
            line.close()
            raise
        line.setblocking(False)
        return ForkedProcess(line, pid)

    def _asked(
        self, words: Sequence[str], environment: Mapping[str, str], files: Sequence[IO[Any]]
    ) -> socket.socket:
        """A line on which a process was asked for; closing it kills that."""
        request = {"words": [*words], "environment": dict(environment), "folder": os.getcwd()}
        data = json.dumps(request).encode()
        assert len(data) < _REQUEST_BYTES
        numbers = array.array("i", [file.fileno() for file in files])
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(self.address)
            line.sendmsg(
                [len(data).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
            )
            line.sendall(data)
        except BaseException:
            line.close()
            raise
        return line

    def end(self) -> None:
        """Ends it."""
        self._line.close()
        self._process.wait()
        self._folder.cleanup()


@functools.cache
def _made(module: str) -> Starter:
    return Starter(module)


_making = threading.Lock()


def _starter(module: str) -> Starter:
    with _making:
        return _made(module)


def _fitting(module: str, environment: Mapping[str, str]) -> Starter | None:
    starter = _starter(module) if sys.platform == "linux" else None
    return starter if starter is not None and starter.fits(environment) else None


def _number(line: socket.socket) -> int:
    answer = line.recv(_NUMBER_BYTES)
    assert answer, "the process that forks has ended; its errors are above"
    return int.from_bytes(answer, "big", signed=True)


def _decisive(environment: Mapping[str, str]) -> dict[str, str]:
    own = ("PYTEST_CURRENT_TEST", "COLUMNS", "LINES")
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_READ_LATE) and name not in own
    }


# In the process that forks ------------------------------------------------------------------------


class _Commands:
    """Takes commands, forks for each, and says how each ended."""

    def __init__(self, listener: socket.socket, life: socket.socket) -> None:
        self._listener = listener
        self._life = life
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(listener, selectors.EVENT_READ, self._accept)
        self._waiting.register(life, selectors.EVENT_READ, self._end)
        self._killing: dict[int, Callable[[], object]] = {}  # of each process that runs
        self._over = False

    def serve(self) -> bool:
        """Returns True in each process that is to run a command, False at the end."""
        while not self._over:
            for key, _ in self._waiting.select():
                if key.fd in self._waiting.get_map() and key.data():
                    return True
        return False

    def _end(self) -> bool:
        self._over = True
        for kill in list(self._killing.values()):
            kill()
        return False

    def _accept(self) -> bool:
        line, _ = self._listener.accept()
        request, files = _received(line)
        child = os.fork()
        if child == 0:
            line.close()
            self._let_go()
            _become(request, files)
            return True
        for file in files:
            os.close(file)
        ended = os.pidfd_open(child)
        _answer(line, child)

        def tell() -> bool:
            _, status = os.waitpid(child, 0)
            del self._killing[child]
            for watched in (ended, line):
                self._waiting.unregister(watched)
            os.close(ended)
            with line:
                _answer(line, os.waitstatus_to_exitcode(status))
            return False

        def give_up() -> bool:
            os.kill(child, signal.SIGKILL)
            return tell()

        self._killing[child] = give_up
        self._waiting.register(ended, selectors.EVENT_READ, tell)
        self._waiting.register(line, selectors.EVENT_READ, give_up)
        return False

    def _let_go(self) -> None:
        """Closes, in a new process, what belongs to this one and to others that run."""
        for key in list(self._waiting.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            else:
                key.fileobj.close()
        self._waiting.close()


def _answer(line: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        line.sendall(number.to_bytes(_NUMBER_BYTES, "big", signed=True))


def _received(line: socket.socket) -> tuple[dict[str, object], list[int]]:
    head, files, _, _ = socket.recv_fds(line, 4, _STANDARD)
    with line.makefile("rb") as stream:
        request: dict[str, object] = json.loads(stream.read(int.from_bytes(head, "big")))
    return request, files


def _become(request: dict[str, object], files: list[int]) -> None:
    """Makes this process the one that was asked for."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(str(request["folder"]))
    sys.argv[1:] = [str(word) for word in request["words"]]
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            open(number, mode, closefd=False),  # noqa: SIM115 - open as long as the process
            encoding="utf-8",
            errors=errors,
            line_buffering=number == _STANDARD - 1,
        )
        for number, mode, errors in _STREAMS
    )


def _import_all(package: str) -> None:
    """Imports a program whole, but for what needs libraries that may be missing."""
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        with contextlib.suppress(ImportError):
            importlib.import_module(found.name)


_codes: list[int] = []  # of a command that has ended, in its own process


def _leave() -> None:
    """Ends a command once Python has done all it does at an exit but to take its modules apart.

    That takes longer than most commands, and copies all the memory that was shared. What serves is
    left to end in full.
    """
    for code in _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(main: Callable[[], object]) -> None:
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    if isinstance(code, int) and sys.argv[1:2] != ["serve"]:
        _codes.append(code)
    sys.exit(code)


def _main() -> None:
    module, listener, life = sys.argv[1:]
    sys.argv[:] = ["-c"]
    atexit.register(_leave)  # the first that is registered is the last that is called
    _import_all(module.partition(".")[0])
    assert os.listdir("/proc/self/task") == [str(os.getpid())]  # a fork would lose its threads
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(listener)) as listening, socket.socket(fileno=int(life)) as line:
        runs = _Commands(listening, line).serve()
    if runs:
        _run(importlib.import_module(module).main)


if __name__ == "__main__":
    _main()
