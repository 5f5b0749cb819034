"""The process that runs the commands of tests (``support/commands.py``) changes none of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import command_line, run_command, shell_program

NODE, REGISTRY = "edocnode.cli.main", "edocregistry.cli.main"
FOUND = ("init", "--network", "vn-test", "--listen", "127.0.0.1:0")
TIMEOUT_S = 40


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


@pytest.mark.skipif(sys.platform != "linux", reason="only there are commands run so")
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
