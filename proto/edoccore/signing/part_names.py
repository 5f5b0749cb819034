"""Names of parts: which file names may travel with a document.

A part's name comes from another agency and ends on somebody's disk and screen. Nothing on a node
is ever stored under it, but people export, and mail programs open what they get; so a name that
could climb out of a folder, hide its ending, or be another name in disguise is refused, both when
sending and when receiving. Names in Vietnamese pass.

This module judges; it never repairs a name, because then two nodes could disagree on it.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from edoccore.errors import PartNameError
from edoccore.signing.canonical import text_fault

MAX_NAME_BYTES = 255  # UTF-8; the longest file name of usual file systems
_REMEMBERED = 4_096  # names; offices use the same few again and again

# Letters, digits and the marks of every day: nothing to look up for each of them.
_EVERYDAY = re.compile(r"[\w .,;()\[\]{}&+=@~'!#$%^`-]+")
_RESERVED_CHARACTERS = frozenset('/\\<>:"|?*')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])( *\..*)?")
_INVISIBLE = {
    "Cc": "a control character",
    "Cf": "an invisible or direction-changing character",
    "Co": "a private-use character",
    "Zl": "a line break",
    "Zp": "a line break",
}
# Unseen on screen although their category is mark, letter or symbol; variation selectors too.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def check_part_names(names: Sequence[str]) -> None:
    """Accepts the names of all parts of one document.

    Raises:
        PartNameError: A name is unsafe, or two names are the same for a reader or a file system;
            the message says which and why.
    """
    seen: dict[str, str] = {}
    for name in names:
        reason, folded = _judged(name) if len(name) <= MAX_NAME_BYTES else _judge(name)
        if reason:
            raise PartNameError(
                f"The part name {_shown(name)} is refused: {reason}.", name=_shown(name)
            )
        if (twin := seen.get(folded)) is not None:
            raise PartNameError(
                f"Two parts are named alike: {_shown(twin)} and {_shown(name)}.", name=_shown(name)
            )
        seen[folded] = name


def _judge(name: str) -> tuple[str | None, str]:
    """What is wrong with a name, and the form in which twins are equal."""
    return _why_unsafe(name), _folded(name)


_judged = lru_cache(_REMEMBERED)(_judge)


def _why_unsafe(name: str) -> str | None:
    """Returns what is wrong with the name itself or with what it looks like; None if nothing."""
    if not name:
        return "it is empty"
    if len(name) <= MAX_NAME_BYTES and (fault := text_fault(name)):
        return fault
    if len(name) > MAX_NAME_BYTES or len(name.encode()) > MAX_NAME_BYTES:
        return f"it has more than {MAX_NAME_BYTES} bytes in UTF-8"
    return _why_unsafe_spelling(name) or _why_unsafe_spelling(_folded(name))


def _why_unsafe_spelling(name: str) -> str | None:
    everyday = _EVERYDAY.fullmatch(name) and not _UNSEEN.search(name)
    for character in "" if everyday else name:
        category = unicodedata.category(character)
        if category in _INVISIBLE:
            return f"U+{ord(character):04X} in it is {_INVISIBLE[category]}"
        if character in _RESERVED_CHARACTERS:
            return f"it has the character {character}"
        if _UNSEEN.match(character) or (category == "Zs" and character != " "):
            return f"U+{ord(character):04X} in it is a blank other than a plain space"
    if name[0] in ".- " or name[-1] in ". ":
        return "it begins with a dot, dash or space, or ends with a dot or space"
    if _DEVICES.fullmatch(name.casefold()):
        return "it is the name of a Windows device"
    return None


def _folded(name: str) -> str:
    """Maps names that look or open alike to one: compatibility forms, then case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _shown(name: str) -> str:
    """Writes a refused name so that nothing in it can act on a terminal or hide."""
    return repr(name if len(name) <= 80 else name[:80] + "...")
