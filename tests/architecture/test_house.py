"""The scripts that install, build and check do what the documents promise."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT, files

SCRIPTS = [
    path for path in files() if path.suffix in {"", ".sh"} and path.read_bytes()[:2] == b"#!"
]
TARGETS = ["venv", "demo", "test", "lint", "format", "proto", "bench", "clean"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a copy of what installs, at a path with spaces and Vietnamese letters."""
    copy = tmp_path / "Sở Nội vụ" / "bản sao 1"
    shutil.copytree(ROOT / "deploy", copy / "deploy")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    return copy


def _path_with_python(folder: Path, script: str) -> str:
    """Returns a PATH on which python3 is a shell script."""
    folder.mkdir()
    (folder / "python3").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "python3").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _run(command: list[str], folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PATH": path, "MAKEFLAGS": "", "MAKELEVEL": "0"},
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    "command", [["deploy/make-venv", "run"], ["make", "venv"], ["make", "demo"]]
)
def test_missing_venv_is_told_in_one_line_that_says_what_to_install(
    command: list[str], checkout: Path, tmp_path: Path
) -> None:
    without = f'case "$*" in *ensurepip*) exit 1;; esac\nexec "{sys.executable}" "$@"'
    done = _run(command, checkout, _path_with_python(tmp_path / "bin", without))
    assert done.returncode == (2 if command[0] == "make" else 1)
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    assert "apt install python3-venv" in lines[0]
    assert not (checkout / ".venv").exists()


def test_python_that_is_too_old_is_told_in_one_line(checkout: Path, tmp_path: Path) -> None:
    path = _path_with_python(tmp_path / "bin", "exit 1")
    done = _run(["deploy/make-venv", "run"], checkout, path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "3.11 or later is needed" in done.stderr


def test_installing_packages_is_quick_and_silent_when_all_is_there() -> None:
    script = ["deploy/install-packages"]
    if _run([*script, "check"], ROOT, os.environ["PATH"]).returncode:
        pytest.skip("a package is missing on this machine")
    done = _run(script, ROOT, os.environ["PATH"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_make_without_a_word_lists_every_target() -> None:
    done = _run(["make"], ROOT, os.environ["PATH"])
    assert set(TARGETS) <= set(re.findall(r"^  make ([a-z]+)  +\S", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    if b"sh" in script.read_bytes().splitlines()[0]:
        shell = "bash" if b"bash" in script.read_bytes().splitlines()[0] else "sh"
        done = _run([shell, "-n", str(script)], ROOT, os.environ["PATH"])
        assert done.returncode == 0, done.stderr


def test_wheel_holds_the_five_packages_with_their_schema_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = _run(build, ROOT, os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        commands = archive.read(entry_points).decode()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == set(PACKAGES)
    assert "edocnet/exchange/v1/exchange_service.proto" in names
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert re.findall(r"^(\w+) = ", commands, re.MULTILINE) == ["edocnode", "edocregistry"]
