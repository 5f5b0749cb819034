"""What the architecture tests look at: the files of this checkout, and its configuration."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "edocnet": ROOT / "proto" / "edocnet",
    "edoccore": ROOT / "proto" / "edoccore",
    "edockit": ROOT / "proto" / "edockit",
    "edocnode": ROOT / "node" / "edocnode",
    "edocregistry": ROOT / "registry" / "edocregistry",
}


@cache
def files() -> tuple[Path, ...]:
    """Returns the files of the project, sorted: committed, or new and not ignored by git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    return tuple(path for name in names if (path := ROOT / name).is_file())


def markdown() -> tuple[Path, ...]:
    """Returns every Markdown file of the project."""
    return tuple(path for path in files() if path.suffix == ".md")


def sources() -> tuple[Path, ...]:
    """Returns every Python module that people wrote and that ships."""
    roots = [folder for name, folder in PACKAGES.items() if name != "edocnet"]
    return tuple(
        path
        for path in files()
        if path.suffix == ".py" and any(path.is_relative_to(root) for root in roots)
    )


def pyproject() -> dict[str, object]:
    """Returns the project's configuration."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def program(name: str) -> str:
    """Returns the path of a program that the environment of the tests brings."""
    return str(Path(sys.executable).with_name(name))


@cache
def named_tests() -> tuple[tuple[str, str], ...]:
    """(file, name) of every test function and method in the tree, found without importing it."""
    return tuple(_named_tests())


def _named_tests() -> Iterator[tuple[str, str]]:
    for path in files():
        if not path.is_relative_to(ROOT / "tests") or not path.name.startswith("test_"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                yield path.relative_to(ROOT).as_posix(), node.name
