"""How texts are compared when case and Vietnamese marks do not count: searches, names of codes."""

import re
import unicodedata

_MARKS = re.compile("[\u0300-\u036f]+")  # combining diacritical marks
_LATIN = re.compile("[\u0000-\u007f\u0300-\u036f]*")


def folded(text: str) -> str:
    """Text without case and marks, so that "Quyết định" is found by "quyet dinh"."""
    apart = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    if _LATIN.fullmatch(apart):  # then what is not ASCII is marks, and leaves at once
        return apart.encode("ascii", "ignore").decode()
    return _MARKS.sub("", apart)
