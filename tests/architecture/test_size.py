"""A function fits on a screen, a file in a head."""

import ast

from tests.architecture.repository import ROOT, sources

FUNCTION_LINES = 40  # body without docstring; aim at 20 (CONTRIBUTING.md, "Size")
FILE_LINES = 500  # aim at 400; lists of errors or settings are longer than what decides


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}, {lines} lines"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := body_lines(node)) > FUNCTION_LINES
    ]
    assert long == []


def test_no_file_is_longer_than_its_limit() -> None:
    sizes = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources()
    }
    assert {name: size for name, size in sizes.items() if size > FILE_LINES} == {}


def test_docstring_does_not_count_as_body() -> None:
    code = 'def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n'
    (function,) = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 2


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the lines of a function's body, its docstring not counted."""
    body = function.body
    if ast.get_docstring(function) is not None and len(body) > 1:
        body = body[1:]
    return (function.end_lineno or body[0].lineno) - body[0].lineno + 1
