"""The process that runs the programs of tests (``support/commands.py``) changes none of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ForkedProcess, Starter, command_line, run_command, shell_program
from tests.support.network import Program, own_host, waited_for

NODE, REGISTRY = "edocnode.cli.main", "edocregistry.cli.main"
FOUND = ("init", "--network", "vn-test", "--listen", "127.0.0.1:0")
TIMEOUT_S = 120
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only there are processes forked")


def run(module: str, *words: object, timeout_s: float = TIMEOUT_S, **environment: str):
    return run_command(
        module,
        [*map(str, words)],
        environment={**os.environ, **environment},
        timeout_s=timeout_s,
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (NODE, ("status", "--json")),
        (NODE, ("send", "--help")),
        (NODE, ("nothing",)),
        (REGISTRY, ("agency", "show", "H29")),
        (REGISTRY, ("status", "--lang", "vi")),
    ],
)
def test_a_command_says_and_returns_what_it_does_in_a_process_started_anew(
    tmp_path: Path, module: str, words: tuple[str, ...]
) -> None:
    environment = {**os.environ, "EDOCNODE_DATA": str(tmp_path), "EDOCREGISTRY_DATA": str(tmp_path)}
    anew = subprocess.run(
        command_line(module, *words), env=environment, capture_output=True, text=True, check=False
    )
    done = run(module, *words, EDOCNODE_DATA=str(tmp_path), EDOCREGISTRY_DATA=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (
        anew.returncode,
        anew.stdout,
        anew.stderr,
    )
    assert anew.stdout or anew.stderr


@needs_linux
def test_what_decides_how_an_interpreter_starts_starts_one(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('anew')\n")
    assert "anew" not in run(NODE, "--help").stdout
    assert "anew" in run(NODE, "--help", PYTHONPATH=str(tmp_path)).stdout


def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    assert run(REGISTRY, *FOUND, "--data", tmp_path).returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        run(REGISTRY, "serve", "--data", tmp_path, timeout_s=3)
    with pytest.raises(subprocess.TimeoutExpired):  # it holds its folder no longer
        run(REGISTRY, "serve", "--data", tmp_path, timeout_s=3)


def test_a_shell_gets_words_streams_and_code_as_of_the_program(tmp_path: Path) -> None:
    program = tmp_path / "edocregistry"
    program.write_text(shell_program(REGISTRY))
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", './edocregistry agency show "H 29" --data "sổ 1"; echo "code $?"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("code ")
    assert done.stdout != "code 0\n"
    assert "sổ 1" in done.stderr


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[list[Program]]:
    """Two that were founded and do not run."""
    made = [Program(name, REGISTRY, tmp_path / name) for name in ("one", "other")]
    for program in made:
        program.done("init", "--network", "vn-test", "--listen", f"{own_host()}:0")
    yield made
    for program in made:
        program.kill()


def forked(program: Program) -> ForkedProcess:
    process = program.start().process
    assert isinstance(process, ForkedProcess)
    return process


@needs_linux
def test_a_program_that_serves_is_asked_and_ended_as_one_started_anew(
    registries: list[Program],
) -> None:
    program, _ = registries
    for _ in range(2):
        process = forked(program)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        program.kill()
        assert process.wait() == process.poll() == -signal.SIGKILL
    process = forked(program)
    program.stop()
    assert process.returncode == 0
    process.kill()  # nobody: another process may have its number by now
    program.anew = True
    assert isinstance(program.start().process, subprocess.Popen)


@needs_linux
def test_a_program_that_serves_has_no_file_of_the_process_that_forked_it(
    registries: list[Program],
) -> None:
    processes = [forked(program) for program in registries]
    parents = {Path(f"/proc/{one.pid}/stat").read_text().split()[3] for one in processes}
    (parent,) = parents
    own = {file for file in files(int(parent)) if "socket:" in file or "pidfd" in file}
    assert len(own) > len(processes)
    for process in processes:
        assert files(process.pid)
        assert not files(process.pid) & own


def files(pid: int) -> set[str]:
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}


@needs_linux
def test_a_program_that_serves_does_not_outlive_the_process_that_forked_it(
    registries: list[Program],
) -> None:
    starter, program = Starter(REGISTRY), registries[0]
    with program.log.open("wb") as log:
        process = starter.launch(
            ["serve", "--data", str(program.data)], program.environment(), log, log
        )
    waited_for(lambda: "listen" in program.log.read_text(), what="the ready line")
    assert process.poll() is None
    starter.end()
    assert process.wait(TIMEOUT_S) == -signal.SIGKILL
