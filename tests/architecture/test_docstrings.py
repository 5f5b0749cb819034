"""Every module, class and public function says what it is for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, sources


def test_everything_public_has_a_docstring() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources()
        for line, name in undocumented(ast.parse(path.read_text(encoding="utf-8")))
        if not _is_migration(path)
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("x = 1", ["module"]),
        ('"""M."""\ndef f(): ...', ["f"]),
        ('"""M."""\nasync def f(): ...', ["f"]),
        ('"""M."""\nclass C:\n    def m(self): ...', ["C", "C.m"]),
        ('"""M."""\ndef _f(): ...\nclass _C:\n    def m(self): ...', []),
        ('"""M."""\nclass C:\n    """C."""\n    def __eq__(self, other): ...', []),
    ],
)
def test_missing_docstring_is_found(code: str, names: list[str]) -> None:
    assert [name for _, name in undocumented(ast.parse(code))] == names


def undocumented(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, qualified name) of what is public and says nothing."""
    if ast.get_docstring(module) is None:
        yield 1, "module"
    yield from _members(module, "")


def _members(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[int, str]]:
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or _is_told_elsewhere(node):
            continue
        if ast.get_docstring(node) is None:
            yield node.lineno, prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _members(node, f"{prefix}{node.name}.")


def _is_told_elsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Tells whether another place carries the docstring: an override, an overload, a setter."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"override", "overload", "setter"})


def _is_migration(path: Path) -> bool:
    """Tells whether Alembic dictates the names in a file: ``upgrade`` and ``downgrade``."""
    return "migrations" in path.parts
