"""Spaces: the codes that an agency may list itself, as the officers gave them to it.

A space is written ``H29.*``, all codes of the new form with more groups than ``H29``, or ``*.H29``,
all of the old form of that agency. Groups are compared whole, so ``H290`` and ``H29`` alone are in
neither. A space owns nothing: a code counts only when it is listed (see ``subagencies``). Where
spaces lie in one another, the narrowest decides who may list a code, so that there is exactly one
for each and two lists never meet.

Source: proto/README.md, section Sub-agencies.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edoccore.errors import RequestInvalidError
from edoccore.identity.agency import AgencyCode
from edoccore.signing.statements import SubAgency

_NEW = re.compile(r"([A-Z][0-9]{2}(?:\.[0-9A-Z]+)*)\.\*")
_OLD = re.compile(r"\*\.([A-Z][0-9]{2})")
_OLD_CODE = re.compile(r"[0-9]{3}\.[0-9]{2}\.[0-9]{2}\.([A-Z][0-9]{2})")


def check_space(text: str) -> str:
    """Accepts a space as it is written.

    Raises:
        RequestInvalidError: It is none; says how one looks.
    """
    if len(text) <= 37 and (_NEW.fullmatch(text) or _OLD.fullmatch(text)):
        return text
    raise RequestInvalidError(
        f"{text[:40]!a} is no space of codes.",
        hint="Write 'H29.*' for codes below H29, '*.H29' for old codes of 13 characters.",
        space=ascii(text[:40]),
    )


def contains(space: str, code: str) -> bool:
    """Whether a code lies in a space; what is no code lies in none."""
    return space in _around(code)


def contains_space(outer: str, inner: str) -> bool:
    """Whether all codes of the inner space lie in the outer one."""
    return inner == outer or (inner.endswith(".*") and contains(outer, inner.removesuffix(".*")))


class Spaces:
    """Who may list which code, of all agencies of a directory."""

    def __init__(self, given: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Indexes spaces; one that two agencies have is nobody's, and ``problems`` says so.

        Args:
            given: Agencies, each with its spaces.
        """
        self.problems: list[str] = []
        self._holders: dict[str, str | None] = {}
        for agency, spaces in given:
            for space in spaces:
                if self._holders.setdefault(space, agency) != agency:
                    self._holders[space] = None
                    self.problems.append(f"The space {space} is given twice, so it is nobody's.")

    def lister(self, code: str) -> str | None:
        """The one agency that may list a code; None: none may."""
        for space in _around(code):
            if space in self._holders:
                return self._holders[space]
        return None


@dataclass(frozen=True, slots=True)
class Admitted:
    """One code of a list that counts.

    Attributes:
        code: Of the entry, or one of its aliases.
        owner: The agency that lists it.
    """

    code: str
    owner: str
    entry: SubAgency


def admitted(
    lists: Iterable[tuple[str, Sequence[SubAgency]]],
    spaces: Spaces,
    identity: Mapping[str, str | None],
    problems: list[str],
) -> Iterator[Admitted]:
    """The codes of lists that count; why the others do not goes into ``problems``.

    Args:
        lists: Agency and entries of each checked list.
        spaces: Who may list which code.
        identity: All codes that identity entries name, which come first: those that an entry
            says its agency owns with that agency, whose list may tell more of them; all others
            with None.
    """
    for agency, entries in lists:
        for entry in entries:
            for code in entry.codes:
                why = _why_not(code, agency, spaces, identity)
                if why:
                    problems.append(
                        f"The list of {agency} names {code}, which does not count: {why}."
                    )
                else:
                    yield Admitted(code, agency, entry)


def _why_not(code: str, agency: str, spaces: Spaces, identity: Mapping[str, str | None]) -> str:
    if code in identity and identity[code] != agency:
        return "the officers list it for another use"
    lister = spaces.lister(code)
    if lister != agency:
        return "it is in none of its spaces" if lister is None else f"it is {lister}'s to list"
    return ""


def _around(code: str) -> Sequence[str]:
    """All spaces that a code could lie in, the narrowest first."""
    if len(code) > 35 or not code.isascii():
        return ()
    old = _OLD_CODE.fullmatch(code)
    if old is not None:
        return (f"*.{old[1]}",)
    try:
        groups = AgencyCode.parse(code).split(".")
    except RequestInvalidError:
        return ()
    return [f"{'.'.join(groups[:count])}.*" for count in range(len(groups) - 1, 0, -1)]
