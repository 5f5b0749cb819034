"""Every message has a Vietnamese translation with the same places, and no catalogue has more."""

import ast
import re
import unicodedata
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import Any

import pytest
from typer.main import get_command

import edocnode.cli.main
import edocregistry.cli.main
from edockit.console import run
from edockit.language import Catalogue, Language, entries_of, speak
from edocnode.domain.access_log import Access
from tests.support.messages import (
    PACKAGES,
    PACKAGES_READ,
    ROOT,
    SETTINGS,
    SYSTEM,
    UNREACHABLE,
    UNSPOKEN,
    catalogue_file,
    help_of,
    messages_of,
    prose_of,
    read_catalogue,
    template,
    untranslated,
)

UPDATE = "run `make messages`, then translate what is empty"
IN_CLAUSES = SETTINGS + SYSTEM + PACKAGES_READ + UNREACHABLE  # of libraries
PROGRAMS = (("edockit", "edocnode"), ("edockit", "edocregistry"))  # what each of them reads
COMMAND_LINES = {"edocnode": edocnode.cli.main, "edocregistry": edocregistry.cli.main}
SPEAKING = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("node/edocnode/cli", "node/edocnode/demo", "registry/edocregistry/cli")
    for path in (ROOT / folder).glob("*.py")
)
TOO_SHORT = 5  # letters of its own
_MARKS = ".,:;?!"
# What help would have in English: words of the library, articles, ends of the verbs that begin it.
_ENGLISH = re.compile(
    r"\b(Usage|Arguments|Options|Commands|required|default|env var|Show this|the|of|and|to be)\b"
)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_catalogue_has_the_messages_of_the_code(package: str) -> None:
    in_code, known = set(messages_of(package)), set(read_catalogue(package))
    assert sorted(in_code - known) == [], UPDATE
    assert sorted(known - in_code) == [], UPDATE


@pytest.mark.parametrize("package", PACKAGES)
def test_every_message_is_translated_with_the_same_places(package: str) -> None:
    wrong = [
        message
        for message, said in read_catalogue(package).items()
        if not said or places(said) != places(message) or not unicodedata.is_normalized("NFC", said)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_translation_begins_and_ends_as_its_message_does(package: str) -> None:
    """A clause stays a clause, since it is put into another message; lines stay lines.

    What libraries say begins with a capital letter and is put into clauses: in lower case.
    """
    wrong = [
        (message, said)
        for message, said in read_catalogue(package).items()
        if message not in IN_CLAUSES and not _has_form_of(said, message)
    ]
    assert wrong == []


@pytest.mark.parametrize("packages", PROGRAMS)
def test_a_finished_message_is_told_by_its_own_template(packages: Sequence[str]) -> None:
    """No other template takes it, nor do values slip from one place into the next."""
    entries = {
        message: said for package in packages for message, said in read_catalogue(package).items()
    }
    catalogue = Catalogue(entries)
    wrong = []
    for message, said in entries.items():
        names = [name for _, name, *_ in Formatter().parse(message) if name is not None]
        values = {name: f"x{place}y" for place, name in enumerate(dict.fromkeys(names))}
        if sum(len(text) for text, *_ in Formatter().parse(message)) < TOO_SHORT:
            continue  # never looked for in finished messages
        expected = said.format(**values)
        told = catalogue.told(message.format(**values))
        if told != expected:
            wrong.append((message, expected, told))
    assert wrong == []


@pytest.mark.parametrize("packages", PROGRAMS)
def test_no_message_of_two_catalogues_has_two_translations(packages: Sequence[str]) -> None:
    first, second = (read_catalogue(package) for package in packages)
    assert {text: (first[text], second[text]) for text in first if second.get(text)} == {
        text: (first[text], first[text]) for text in first if second.get(text)
    }


@pytest.mark.parametrize("program", COMMAND_LINES)
def test_help_has_no_english_sentence(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = COMMAND_LINES[program]
    wrong = {}
    try:
        for words in _commands(get_command(module.build_app())):
            called = [*words, "--help", "--lang", "vi"]
            assert (
                run(module.build_app(), name=program, catalogues=(program,), arguments=called) == 0
            )
            english = _ENGLISH.findall(re.sub(r"--[a-z-]+", "", capsys.readouterr().out))
            if english:
                wrong[" ".join(words)] = english
    finally:
        speak(Language.ENGLISH, ())
    assert wrong == {}


def test_the_help_in_the_readme_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["accept", "--help", "--lang", "vi"]
    try:
        app = edocnode.cli.main.build_app()
        run(app, name="edocnode", catalogues=("edocnode",), arguments=arguments)
    finally:
        speak(Language.ENGLISH, ())
    printed = capsys.readouterr().out.strip()
    assert printed in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("program", COMMAND_LINES)
def test_every_help_text_differs_from_the_english_one(program: str) -> None:
    known = read_catalogue("edockit") | read_catalogue(program)
    assert [text for text in help_of(program) if known.get(text, text) == text] == []


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All commands, each by the words that call it."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*words, name))


def test_every_kind_of_access_is_translated() -> None:
    assert sorted(set(Access) - read_catalogue("edocnode").keys()) == []


def test_what_is_said_to_be_no_message_stands_in_the_code() -> None:
    assert sorted(UNSPOKEN.keys() - set().union(*map(prose_of, PACKAGES))) == []


def places(text: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(text) if name is not None}


def _has_form_of(said: str, message: str) -> bool:
    """Begins with a capital letter or not, ends with the same mark, has as many lines."""
    if (message[0].islower() and said[0].isupper()) or (message[0].isupper() and said[0].islower()):
        return False
    ends = message[-1] if message[-1] in _MARKS else ""
    ends_alike = said.endswith(ends) if ends else said[-1] not in _MARKS
    return ends_alike and said.count("\n") == message.count("\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('"Nothing."', "Nothing."),
        ('f"{entry.agency} owns {codes[0]!r}."', "{agency} owns {value0}."),
        ('f"{a} and {b.a}"', "{a} and {a2}"),
        ('f"{time_text(now)} {{x}}"', "{now} {{x}}"),
        ("text", None),
    ],
)
def test_places_have_the_names_of_their_values(code: str, message: str | None) -> None:
    assert template(ast.parse(code, mode="eval").body) == message


def test_the_reader_of_catalogues_reads_what_babel_reads() -> None:
    for package in PACKAGES:
        known = {text: said for text, said in read_catalogue(package).items() if said}
        assert entries_of(catalogue_file(package).read_text("utf-8")) == known


def test_escapes_and_pieces_of_a_catalogue_are_read() -> None:
    text = 'msgid ""\nmsgstr "a"\n\n#: x\nmsgid ""\n"A \\"b\\"\\n"\n"c\\\\d"\nmsgstr "e\\n"\n"f"\n'
    assert entries_of(text) == {'A "b"\nc\\d': "e\nf"}
    assert entries_of('msgid "left"\nmsgstr ""\n') == {}


@pytest.mark.parametrize("path", SPEAKING, ids=str)
def test_a_text_that_a_command_prints_is_translated(path: str) -> None:
    assert untranslated((ROOT / path).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('console.say("request sent")', ["request sent"]),
        ('console.say("stopped")', ["stopped"]),
        ('console.data(found, f"document {x}")', ["document {x}"]),
        ('table(("id", "agency"), rows)', ["agency"]),
        ('lines = [f"{x} since {y}"]', ["{x} since {y}"]),
        ('text = "not checked"', ["not checked"]),
        ('console.say(_("stopped"))', []),
        ('console.data({"schema": "document"}, _("sent {a}", a=found["state"]))', []),
        ('raise RequestInvalidError("It is not there.", hint=f"See: {x} and {y}")', []),
    ],
)
def test_a_text_that_is_printed_as_it_is_is_found(code: str, found: list[str]) -> None:
    assert untranslated(code) == found
