"""What a person whose locale is Vietnamese reads, and which of its words are English."""

import re

from tests.support.commands import run_command
from tests.support.messages import english_words
from tests.support.network import Outcome, Program

TIMEOUT_S = 120
_WORD = re.compile(r"\b[A-Za-z][a-z]+\b")
_NO_PROSE = re.compile(
    r"(edocnode|edocregistry) [^;,()]*"  # a command to type
    r"|'[^']*'|\"[^\"]*\"|`[^`]*`"  # what somebody gave
    r"|^(identity|snapshot)\b|\(bins\)"  # roles of the directory
    r"|--[\w-]+|\S*[/\\]\S*|[\w.-]+=\S*|\S+\.[a-z]+\b|\S+@\S+"  # options, paths, settings, files
)


def told(program: Program, *words: object, lang: str = "vi_VN.UTF-8") -> Outcome:
    """Runs a command as a person with this locale does."""
    # The locale need not be installed here: letters are read as UTF-8 in either case.
    speaking = {"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": lang}
    done = run_command(
        program.module,
        [*map(str, words), "--data", str(program.data)],
        environment=program.environment() | speaking,
        timeout_s=TIMEOUT_S,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def english_in(text: str) -> list[str]:
    """Lines with English words outside of what is typed, given or named, each with its words."""
    return [f"{words}: {line}" for line in text.splitlines() if (words := _english(line))]


def _english(line: str) -> list[str]:
    left = _NO_PROSE.sub(" ", line)
    english = english_words()
    return [word for word in _WORD.findall(left) if word.lower() in english]
