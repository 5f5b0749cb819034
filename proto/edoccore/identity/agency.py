"""Codes of agencies: one spelling each, so that equal codes are equal text.

Two forms exist in Viet Nam and both are in use: the new one, level 1 on the left (``H29``,
``G01.22``, ``H29.5.1``), and the old one of 13 characters, level 1 on the right
(``000.00.00.G22``). Only upper-case ASCII is accepted: a code is compared byte for byte, and a
look-alike must never pass for it.

A code's form says nothing about ownership: which agency owns which code, and which old code is an
alias of which new one, is in the directory, never computed from prefixes.

Source: Decision 20/2020/QD-TTg (new form); QCVN 102:2016/BTTTT (old form).
"""

import re

from edoccore.errors import RequestInvalidError

MAX_CODE_CHARACTERS = 35

_NEW = re.compile(r"[A-Z][0-9]{2}(\.[0-9A-Z]+)*")
_OLD = re.compile(r"[0-9]{3}\.[0-9]{2}\.[0-9]{2}\.[A-Z][0-9]{2}")
_REGISTRY = "REGISTRY"


class AgencyCode(str):
    """A code whose form was checked; behaves as the text it is."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "AgencyCode":
        """Reads a code of either form, or the registry's own.

        Raises:
            RequestInvalidError: The text is not a code; says why.
        """
        if text == _REGISTRY or (len(text) <= MAX_CODE_CHARACTERS and _has_form(text)):
            return cls(text)
        raise RequestInvalidError(
            f"{_shown(text)} is not the code of an agency: {_reason(text)}.",
            hint="Codes look like H29, G01.22 or 000.00.00.G22.",
            code=_shown(text),
        )


REGISTRY_CODE = AgencyCode(_REGISTRY)


def _has_form(text: str) -> bool:
    return bool(_NEW.fullmatch(text) or _OLD.fullmatch(text))


def _shown(text: str) -> str:
    """Writes refused text so that nothing in it can act on a terminal or mislead."""
    return ascii(text if len(text) <= MAX_CODE_CHARACTERS else text[:MAX_CODE_CHARACTERS] + "...")


def _reason(text: str) -> str:
    if not text:
        return "it is empty"
    if len(text) > MAX_CODE_CHARACTERS:
        return f"it has more than {MAX_CODE_CHARACTERS} characters"
    if not text.isascii():
        return "it has characters that only look like the letters A-Z or the digits 0-9"
    if text != text.strip():
        return "it begins or ends with a space"
    if text != text.upper():
        return "it has lower-case letters"
    if text.startswith(".") or text.endswith(".") or ".." in text:
        return "it has an empty group"
    return "it is neither a letter with two digits and further groups, nor 000.00.00.X00"
