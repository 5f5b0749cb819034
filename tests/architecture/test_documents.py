"""What the documents say about the tree, the commands and their help is so."""

import os
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import typer

from tests.architecture.blocks import (
    PROGRAMS,
    Block,
    blocks,
    command_fault,
    commands,
    tree_faults,
    tree_paths,
)
from tests.architecture.repository import ROOT, files, markdown, program

TOP = sorted({path.relative_to(ROOT).parts[0] for path in files() if path.parent != ROOT})
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _all(kind: str) -> list[Block]:
    return [block for document in markdown() for block in blocks(document, kind)]


@pytest.mark.parametrize("folder", [name for name in TOP if not name.startswith(".")])
def test_top_level_folder_has_a_readme(folder: str) -> None:
    assert (ROOT / folder / "README.md").is_file()


@pytest.mark.parametrize("block", _all("tree"), ids=str)
def test_tree_in_a_document_is_the_tree(block: Block) -> None:
    folder = block.document.parent
    assert tree_faults(tree_paths(block.body), folder, files()) == []


@pytest.mark.parametrize("block", _all("sh"), ids=str)
def test_command_in_a_document_exists(block: Block) -> None:
    faults = [
        f"{' '.join(words)}: {fault}"
        for words in commands(block.body)
        if (fault := _fault(words, block.document.parent))
    ]
    assert faults == []


@pytest.mark.parametrize("block", _all("console"), ids=str)
def test_help_in_a_document_is_what_the_program_prints(block: Block) -> None:
    first, _, shown = block.body.partition("\n")
    words = first.removeprefix("$ ").split()
    if words[-1] != "--help" or words[0] not in PROGRAMS:
        pytest.skip("not the help of a program")
    done = subprocess.run(
        [program(words[0]), *words[1:]],
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert _lines(done.stdout) == _lines(shown)


@pytest.mark.parametrize("document", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_link_in_a_document_leads_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and ":" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_changelog_has_a_place_for_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)


def test_tree_is_read_from_a_drawing_and_from_an_indentation() -> None:
    drawn = "proto/      shared\n├── edocnet/  schema\n│   └── a.proto\n└── edoccore/\ntests/\n"
    indented = "proto/      shared\n  edocnet/  schema\n    a.proto\n  edoccore/\ntests/\n"
    expected = ["proto/", "proto/edocnet/", "proto/edocnet/a.proto", "proto/edoccore/", "tests/"]
    assert tree_paths(drawn) == expected
    assert tree_paths(indented) == expected


def test_tree_that_lies_is_found(tmp_path: Path) -> None:
    real = [tmp_path / name for name in ("a/x/1.py", "a/y/2.py", "b/3.py", "c.txt")]
    for path in real:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert tree_faults(["a/", "b/"], tmp_path, real) == []
    assert tree_faults(["a/"], tmp_path, real) == ["b/ is not shown"]
    assert tree_faults(["a/", "a/x/", "b/"], tmp_path, real) == ["a/y/ is not shown"]
    assert tree_faults(["a/", "b/", "d/"], tmp_path, real) == ["d/ does not exist"]


def test_commands_are_split_as_a_shell_would() -> None:
    body = "A=1 make demo  # runs\nedocnode send a.pdf \\\n  --to H29 | jq .id && ls\n"
    assert list(commands(body)) == [
        ["make", "demo"],
        ["edocnode", "send", "a.pdf", "--to", "H29"],
        ["jq", ".id"],
        ["ls"],
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("send a.pdf --to H29 --json", None),
        ("--json send --to H29 a.pdf b.pdf", None),
        ("send --cc H29", "no option --cc"),
        ("sned", "no command sned"),
        ("show 1 2", "2 arguments where 1 are taken"),
    ],
)
def test_command_that_does_not_exist_is_found(line: str, fault: str | None) -> None:
    app = typer.Typer()

    @app.callback()
    def root(*, json: bool = False) -> None: ...

    @app.command()
    def send(paths: list[Path], *, to: str = "") -> None: ...

    @app.command()
    def show(identifier: str) -> None: ...

    assert command_fault(typer.main.get_command(app), line.split()) == fault


def _fault(words: list[str], folder: Path) -> str | None:
    """Returns what is wrong with one command of a document, or None."""
    name = words[0].removeprefix(".venv/bin/")
    if name in PROGRAMS:
        return command_fault(_command(name), words[1:])
    if name == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"no target {unknown}" if unknown else None
    is_ours = "/" in name and name.removeprefix("./").split("/")[0] in TOP
    return (
        "no such file" if is_ours and not any((d / name).exists() for d in (ROOT, folder)) else None
    )


def _command(name: str) -> object:
    """Returns the click command of a program."""
    main = import_module(f"{name}.cli.main")
    made = [value for value in vars(main).values() if isinstance(value, typer.Typer)]
    return typer.main.get_command(made[0] if made else main.build_app())


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
