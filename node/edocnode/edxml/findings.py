"""What is wrong with an edXML package: line, element, what, and what to do, in two languages.

The texts are data (``findings.json``): ``{code: [vi, en, remedy_vi, remedy_en]}``. Both languages
are always there, because reason files have both; what a text is filled with comes in English and
is translated by the catalogue. A finding that stops the reading is raised as an error, the others
are collected.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TypeVar

from edoccore.errors import EdocError
from edoccore.office_errors import EdxmlInvalidError
from edockit.language import in_vietnamese

_CATALOGUES = ("edockit", "edocnode")
_VI, _EN, _REMEDY_VI, _REMEDY_EN = range(4)  # places of the texts

Told = TypeVar("Told", bound=EdocError)


class Severity(StrEnum):
    """Whether a package with this finding can be handed in."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: Never changes; the key of the texts.
        line: Line of the file, from 1; 0: none in particular.
        element: Name of the element, or empty.
        facts: What the texts are filled with.
    """

    code: str
    severity: Severity
    line: int
    element: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def english(self) -> str:
        """Where and what, in English."""
        return self._placed(_EN)

    @property
    def vietnamese(self) -> str:
        """Where and what, in Vietnamese."""
        return self._placed(_VI)

    @property
    def remedy_english(self) -> str:
        """What to do, in English."""
        return self._text(_REMEDY_EN)

    @property
    def remedy_vietnamese(self) -> str:
        """What to do, in Vietnamese."""
        return self._text(_REMEDY_VI)

    def _placed(self, language: int) -> str:
        text = self._text(language)
        where = _where(line=self.line, element=self.element)
        if not where:
            return text
        return _texts()[where][language].format(line=self.line, element=self.element, text=text)

    def _text(self, place: int) -> str:
        facts = dict(self.facts)
        if place in (_VI, _REMEDY_VI):
            facts = {name: in_vietnamese(text, _CATALOGUES) for name, text in self.facts}
        return _texts()[self.code][place].format_map(facts)


def finding(code: str, *, line: int = 0, element: str = "", **facts: object) -> Finding:
    """Makes a finding that keeps the package from being handed in.

    Texts from the package are cut so that a message stays readable.
    """
    return _made(code, Severity.ERROR, line, element, facts)


def warning(code: str, *, line: int = 0, element: str = "", **facts: object) -> Finding:
    """Makes a finding that only tells."""
    return _made(code, Severity.WARNING, line, element, facts)


def _made(
    code: str, severity: Severity, line: int, element: str, facts: dict[str, object]
) -> Finding:
    told = tuple((name, _shown(value)) for name, value in facts.items())
    return Finding(code=code, severity=severity, line=line, element=_shown(element), facts=told)


def refusal(code: str, *, line: int = 0, element: str = "", **facts: object) -> EdxmlInvalidError:
    """The error for a package that is not read any further."""
    return as_error(finding(code, line=line, element=element, **facts))


def as_error(found: Finding) -> EdxmlInvalidError:
    """A finding as an error: English as its message, the rest in its fields."""
    return error_of(EdxmlInvalidError, found)


def error_of(kind: type[Told], found: Finding) -> Told:
    """A finding as an error of a class that callers of the node know."""
    return kind(
        f"The edXML package is refused: {found.english}",
        hint=found.remedy_english,
        code=found.code,
        line=str(found.line),
        element=found.element,
        vietnamese=found.vietnamese,
        remedy_vietnamese=found.remedy_vietnamese,
    )


def translations() -> dict[str, str]:
    """All Vietnamese texts by the English ones, with their places."""
    pairs = ((_EN, _VI), (_REMEDY_EN, _REMEDY_VI))
    return {text[en]: text[vi] for text in _texts().values() for en, vi in pairs if text[en]}


def vietnamese(code: str) -> str:
    """The Vietnamese text of a code without facts."""
    return _texts()[code][_VI]


def english(code: str) -> str:
    """The same in English."""
    return _texts()[code][_EN]


def codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_texts())


def _where(*, line: int, element: str) -> str:
    """Code of the text that says where; empty when nothing is known."""
    if line and element:
        return "AT_LINE_AND_ELEMENT"
    if line:
        return "AT_LINE"
    return "AT_ELEMENT" if element else ""


def _shown(value: object) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


@cache
def _texts() -> dict[str, list[str]]:
    data = resources.files("edocnode.edxml").joinpath("findings.json").read_bytes()
    texts: dict[str, list[str]] = json.loads(data)
    return texts
