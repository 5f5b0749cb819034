"""In which language a program speaks to people: Vietnamese or English.

Messages are written in English where they arise: in a rule that knows no language, or in another
program that does not know who will read them. Where a person reads them they are looked up in the
catalogues (gettext's .po files in each package's ``locale``), whole or by template: the message
"Document 0198... is revoked." is found under "Document {document_id} is {state}.", and its values
are put into the Vietnamese sentence. So nothing has to be carried over the wire but the text, and
what no catalogue has is still told, in English.

A command line chooses once, at its start; JSON keeps its keys, reasons and states in either case.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from string import Formatter

VIET_NAM = timezone(timedelta(hours=7))  # one zone, no summer time
LOCAL_TIME = "%d/%m/%Y %H:%M:%S"  # as people read it
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in this order; POSIX.1-2017, 8.2


class Language(StrEnum):
    """The languages that programs speak."""

    VIETNAMESE = "vi"
    ENGLISH = "en"


_MOMENT = re.compile(  # as messages have it: RFC 3339, also with a blank
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_BETWEEN_PIECES = '"\n"'  # of one text on two lines of a .po file
_ENTRY = re.compile(r'^msgid "(.*)"\nmsgstr "(.*)"$', re.MULTILINE)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_DEPTH = 5  # of messages within messages
_MIN_LITERAL = 5  # characters of its own that a template must have to be recognised
_WORD_PLACES = frozenset(
    {"state", "step", "lower", "kind"}
)  # what stands there may be one word to tell


class Template:
    """A message with named places, such as "{agency} does not own {code}."."""

    def __init__(self, source: str, target: str) -> None:
        """Takes the English template and its translation, which has the same places."""
        pieces = [(text, name) for text, name, *_ in Formatter().parse(source)]
        self._literals = [text for text, _ in pieces if text]
        self._begins = pieces[0][0]
        self._ends = pieces[-1][0] if pieces[-1][1] is None else ""
        self._source, self._target = source, target
        self._pattern: re.Pattern[str] | None = None

    @property
    def weight(self) -> int:
        """Characters that a message must have in common with it."""
        return sum(map(len, self._literals))

    def values(self, text: str) -> dict[str, str] | None:
        """The values in a message that was made from this template; None when it was not."""
        if not (text.startswith(self._begins) and text.endswith(self._ends)):
            return None
        if not all(literal in text for literal in self._literals):
            return None
        if self._pattern is None:
            self._pattern = re.compile(_expression(self._source), re.DOTALL)
        found = self._pattern.fullmatch(text)
        return None if found is None else found.groupdict()

    def translated(self, values: Mapping[str, str]) -> str:
        """The translation with these values."""
        return self._target.format(**values)


class Catalogue:
    """All messages of a program in one language."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        """Takes translations by English message or template."""
        self._exact = dict(entries)

    @cached_property
    def _templates(self) -> list[Template]:
        """The messages with places, those of most letters first; made when one is looked for."""
        templates = [Template(text, said) for text, said in self._exact.items() if "{" in text]
        fit = (template for template in templates if template.weight >= _MIN_LITERAL)
        return sorted(fit, key=lambda template: -template.weight)

    def with_more(self, entries: Mapping[str, str]) -> "Catalogue":
        """This catalogue and other entries."""
        return Catalogue({**self._exact, **entries})

    def entry(self, message: str) -> str:
        """The translation of a message or template itself; as it is when there is none."""
        return self._exact.get(message, message)

    def told(self, text: str, depth: int = 0) -> str:
        """A finished message as a person is to read it; what is not known stays English.

        Values that are messages themselves are translated too. One word is told only in a place
        for states: anywhere else it is a name, and a file named "held" keeps its name. Times are
        put as clocks in Viet Nam show them.
        """
        before, message, after = _parts(text)
        if message in self._exact:
            return f"{before}{self._exact[message]}{after}"
        if depth == _DEPTH:
            return text
        for template in self._templates:
            values = template.values(message)
            if values is not None:
                known = {
                    name: self.told(value, depth + 1) if _may_be_message(name, value) else value
                    for name, value in _with_local_times(values).items()
                }
                return f"{before}{template.translated(known)}{after}"
        return text


class _Spoken:
    """The catalogue that this process speaks by; None: English."""

    catalogue: Catalogue | None = None


def choose_language(option: str | None, environment: Mapping[str, str]) -> Language:
    """The language to speak: as the option says, else by the locale; English without either.

    Args:
        option: ``vi`` or ``en``; others count as not given.
    """
    if option in set(Language):
        return Language(option)
    locale = next((environment[name] for name in LOCALE_VARIABLES if environment.get(name)), "")
    return Language.VIETNAMESE if re.match(r"vi(?![A-Za-z])", locale) else Language.ENGLISH


def speak(language: Language, packages: Sequence[str]) -> None:
    """Makes this process speak a language.

    Args:
        packages: Import names whose catalogues are to be known.
    """
    _Spoken.catalogue = None if language is Language.ENGLISH else _read(language, packages)


def learn(vietnamese: Mapping[str, str]) -> None:
    """Lets this process tell messages that have their translation beside them, in a data file.

    Args:
        vietnamese: Translations by English message or template; unused when it speaks English.
    """
    if _Spoken.catalogue is not None:
        _Spoken.catalogue = _Spoken.catalogue.with_more(vietnamese)


def in_vietnamese(text: str, packages: Sequence[str]) -> str:
    """A finished message in Vietnamese, whatever this process speaks: for files in both languages.

    Args:
        packages: Import names of the packages whose catalogues are to be known.
    """
    return _vietnamese(tuple(packages)).told(text)


def is_english() -> bool:
    """Whether this process speaks English, so that nothing needs translating."""
    return _Spoken.catalogue is None


def told(text: str) -> str:
    """A finished message, as the person at this process is to read it."""
    return text if _Spoken.catalogue is None else _Spoken.catalogue.told(text)


def marked(text: str) -> str:
    """A text of the program that is told later: catalogues get it from where this is called."""
    return text


def _(template: str, **values: object) -> str:
    """A text of the program itself, with values put into its places."""
    known = template if _Spoken.catalogue is None else _Spoken.catalogue.entry(template)
    return known.format(**values)


def _read(language: Language, packages: Sequence[str]) -> Catalogue:
    entries: dict[str, str] = {}
    for package in packages:
        file = import_module(package).__file__  # importlib.resources would take 15 ms to load
        assert file is not None  # a package with files, not a namespace
        entries |= entries_of((Path(file).parent / "locale" / f"{language}.po").read_text("utf-8"))
    return Catalogue(entries)


def entries_of(text: str) -> dict[str, str]:
    """The translated messages of a .po file without plurals and contexts.

    Babel reads the same, but takes ten times as long, which every command in Vietnamese would pay.
    """
    found = _ENTRY.findall(text.replace(_BETWEEN_PIECES, ""))
    return {_unescaped(message): _unescaped(said) for message, said in found if message and said}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], text) if "\\" in text else text


@cache
def _vietnamese(packages: tuple[str, ...]) -> Catalogue:
    return _read(Language.VIETNAMESE, packages)


def _with_local_times(values: Mapping[str, str]) -> dict[str, str]:
    return {name: _local_time(value) for name, value in values.items()}


def _local_time(value: str) -> str:
    if not _MOMENT.fullmatch(value):
        return value
    try:
        return datetime.fromisoformat(value).astimezone(VIET_NAM).strftime(LOCAL_TIME)
    except (ValueError, OverflowError):  # the 31st of February, or the end of all years
        return value


def _may_be_message(name: str, value: str) -> bool:
    return name in _WORD_PLACES or " " in value


def _expression(source: str) -> str:
    return "".join(_pieces(source))


def _pieces(source: str) -> Iterator[str]:
    known = set()
    for text, name, *_ in Formatter().parse(source):
        yield re.escape(text)
        if name is not None:
            yield f"(?P={name})" if name in known else f"(?P<{name}>.*?)"
            known.add(name)


def _parts(text: str) -> tuple[str, str, str]:
    """The blanks before a text, the text, and those after it."""
    inner = text.strip()
    if not inner:
        return text, "", ""
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]
