"""Reads the blocks of Markdown files that claim something checkable.

Three kinds of fenced block: ``tree`` (files below the folder of the document), ``sh`` (commands a
reader will paste), ``console`` (a line ``$ edocnode ... --help`` and the output it has).
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PROGRAMS = ("edocnode", "edocregistry")
_FENCE = re.compile(
    r"^(?P<fence>```+) *(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^(?P=fence) *$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    document: Path
    line: int  # of the fence, counted from 1
    body: str

    def __str__(self) -> str:
        """Returns "document:line", for the name of a test."""
        return f"{self.document.name}:{self.line}"


def blocks(document: Path, kind: str) -> Iterator[Block]:
    """Yields the fenced blocks of one kind in a Markdown file."""
    text = document.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        if match["kind"] == kind:
            yield Block(document, text.count("\n", 0, match.start()) + 1, match["body"])


def tree_paths(body: str) -> list[str]:
    """Returns the paths that a tree shows, below its folder; ``a/`` for a folder.

    A line is a drawing or an indentation, a name, and, after two spaces, what it is for.
    """
    paths: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in body.splitlines():
        drawing = re.match(r"[\s│├└─]*", line)
        rest = line[drawing.end() :] if drawing else line
        name = re.split(r"\s{2,}|\s+#", rest, maxsplit=1)[0].strip()
        if not drawing or not name or name == "./":
            continue
        while parents and parents[-1][0] >= drawing.end():
            parents.pop()
        path = (parents[-1][1] if parents else "") + name
        paths.append(path)
        if name.endswith("/"):
            parents.append((drawing.end(), path))
    return paths


def tree_faults(paths: Sequence[str], folder: Path, known: Sequence[Path]) -> list[str]:
    """Returns how a tree differs from the files below its folder.

    Everything shown must exist. At the top, and below each folder that shows anything, no folder
    may be missing; files may be left out.
    """
    faults = [f"{path} does not exist" for path in paths if not (folder / path).exists()]
    for parent in {"", *(path.rpartition("/")[0] for path in _stripped(paths))}:
        below = folder / parent
        depth = len(below.parts)
        real = {file.parts[depth] for file in known if _is_below(file, below, depth)}
        shown = {
            path.removeprefix(f"{parent}/").split("/")[0]
            for path in paths
            if not parent or path.startswith(f"{parent}/")
        }
        hidden = {name for name in real if name.startswith((".", "__"))}
        faults += [
            f"{(below / n).relative_to(folder)}/ is not shown" for n in real - hidden - shown
        ]
    return sorted(faults)


def _stripped(paths: Sequence[str]) -> Iterator[str]:
    return (path.rstrip("/") for path in paths)


def _is_below(file: Path, folder: Path, depth: int) -> bool:
    """Tells whether a file lies in a folder of the folder, not directly in it."""
    return file.is_relative_to(folder) and len(file.parts) > depth + 1


def commands(body: str) -> Iterator[list[str]]:
    """Yields the words of each command: continued lines joined; comments, pipes and lists split."""
    joined = re.sub(r"\\\n\s*", " ", body)
    for line in joined.splitlines():
        lexer = shlex.shlex(
            line.strip().removeprefix("$ "), posix=True, punctuation_chars="|&;()<>"
        )
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;()"):
                words.append(word)
                continue
            while words and re.match(r"[A-Za-z_]\w*=", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


class Parameter(Protocol):
    """What of a click parameter is looked at; Typer may bring a click of its own."""

    opts: list[str]
    secondary_opts: list[str]
    param_type_name: str
    nargs: int


def command_fault(root: object, words: Sequence[str]) -> str | None:
    """Returns what is wrong with a command line of a program, or None.

    Args:
        root: The click command of the program.
        words: The words after the name of the program.
    """
    command, options = root, _options(root)
    places = 0
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in {">", ">>", "<"}:
            return None
        if word.startswith("-") and word != "-":
            name, has_value, _ = word.partition("=")
            if name == "--help":
                continue
            if name not in options:
                return f"no option {name}"
            if not has_value and not getattr(options[name], "is_flag", False):
                del rest[: options[name].nargs]
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
            options |= _options(command)
        else:
            places += 1
    taken = [p for p in command.params if p.param_type_name == "argument"]  # type: ignore[attr-defined]
    if places and not any(p.nargs == -1 for p in taken) and places > len(taken):
        return f"{places} arguments where {len(taken)} are taken"
    return None


def _options(command: object) -> dict[str, Parameter]:
    """Returns every spelling of every option of a command."""
    return {
        spelling: parameter
        for parameter in command.params  # type: ignore[attr-defined]
        if parameter.param_type_name == "option"
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }
