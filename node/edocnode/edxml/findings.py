"""What is wrong with an edXML package: line, element, what, and what to do, in two languages.

The texts are data (``findings.json``): ``{code: [vi, en, remedy_vi, remedy_en]}``. A finding that
stops the reading is raised as an error, the others are collected.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TypeVar

from edoccore.errors import EdocError
from edoccore.office_errors import EdxmlInvalidError

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
        where = [f"line {self.line}"] if self.line else []
        where += [f"element {self.element}"] if self.element else []
        return f"{', '.join(where)}: {self._text(1)}" if where else self._text(1)

    @property
    def vietnamese(self) -> str:
        """Where and what, in Vietnamese."""
        where = [f"dòng {self.line}"] if self.line else []
        where += [f"phần tử {self.element}"] if self.element else []
        return f"{', '.join(where)}: {self._text(0)}" if where else self._text(0)

    @property
    def remedy_english(self) -> str:
        """What to do, in English."""
        return self._text(3)

    @property
    def remedy_vietnamese(self) -> str:
        """What to do, in Vietnamese."""
        return self._text(2)

    def _text(self, place: int) -> str:
        return _texts()[self.code][place].format_map(dict(self.facts))


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


def vietnamese(code: str) -> str:
    """The Vietnamese text of a code without facts."""
    return _texts()[code][0]


def english(code: str) -> str:
    """The same in English."""
    return _texts()[code][1]


def codes() -> frozenset[str]:
    """All codes that have texts."""
    return frozenset(_texts())


def _shown(value: object) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


@cache
def _texts() -> dict[str, list[str]]:
    data = resources.files("edocnode.edxml").joinpath("findings.json").read_bytes()
    texts: dict[str, list[str]] = json.loads(data)
    return texts
