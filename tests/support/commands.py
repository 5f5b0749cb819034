"""Runs commands of the two programs without an interpreter started anew for each.

Most of a command's processor time is Python starting and importing. A process that has imported a
program (``python -m tests.support.commands MODULE``) forks for each command: what runs then is a
process of its own, with the program's own ``main`` and its own arguments, environment, folder and
files, that ends as any program of Python does. It has served nothing and holds no thread, lock or
connection. What serves, is measured, traced or killed is started as people do it
(``Program.launch``), and so are the commands of ``acceptance/test_cli_errors.py``,
``test_registry.py`` and ``test_walk.py``.
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
from collections.abc import Mapping, Sequence
from pathlib import Path

_STANDARD = 3  # input, output, errors
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
    starter = _starter(module) if sys.platform == "linux" else None
    if starter is None or not starter.fits(environment):
        return _run_anew(module, words, environment, timeout_s, typed)
    return starter.run(words, environment, timeout_s, typed)


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


class _Starter:
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
        request = {"words": [*words], "environment": dict(environment), "folder": os.getcwd()}
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_STANDARD)]
            files[0].write(typed.encode())
            files[0].seek(0)
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.settimeout(timeout_s)
            line.connect(self.address)
            numbers = array.array("i", [file.fileno() for file in files])
            data = json.dumps(request).encode()
            assert len(data) < _REQUEST_BYTES
            line.sendmsg(
                [len(data).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
            )
            line.sendall(data)
            try:
                answer = line.recv(4)
            except TimeoutError:
                raise subprocess.TimeoutExpired([*words], timeout_s) from None
            assert answer, "the process that runs commands has ended; its errors are above"
            for file in files:
                file.seek(0)
            output, talk = (file.read().decode() for file in files[1:])
        code = int.from_bytes(answer, "big", signed=True)
        return subprocess.CompletedProcess([*words], code, output, talk)

    def end(self) -> None:
        """Ends it."""
        self._line.close()
        self._process.wait()
        self._folder.cleanup()


@functools.cache
def _made(module: str) -> _Starter:
    return _Starter(module)


_making = threading.Lock()


def _starter(module: str) -> _Starter:
    with _making:
        return _made(module)


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
        return False

    def _accept(self) -> bool:
        line, _ = self._listener.accept()
        request, files = _received(line)
        child = os.fork()
        if child == 0:
            self._waiting.close()
            for one in (self._listener, self._life, line):
                one.close()
            _become(request, files)
            return True
        for file in files:
            os.close(file)
        ended = os.pidfd_open(child)

        def tell() -> bool:
            _, status = os.waitpid(child, 0)
            for watched in (ended, line):
                self._waiting.unregister(watched)
            os.close(ended)
            with line, contextlib.suppress(BrokenPipeError):
                line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
            return False

        def give_up() -> bool:
            os.kill(child, signal.SIGKILL)
            return tell()

        self._waiting.register(ended, selectors.EVENT_READ, tell)
        self._waiting.register(line, selectors.EVENT_READ, give_up)
        return False


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


def _main() -> None:
    module, listener, life = sys.argv[1:]
    sys.argv[:] = ["-c"]
    _import_all(module.partition(".")[0])
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(listener)) as listening, socket.socket(fileno=int(life)) as line:
        runs = _Commands(listening, line).serve()
    if runs:
        importlib.import_module(module).main()


if __name__ == "__main__":
    _main()
