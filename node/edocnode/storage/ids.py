"""How people name documents and messages: by an id, or by the beginning of one."""

import re

from edoccore.errors import RequestInvalidError
from edocnode.domain.office_model import MIN_PREFIX

_ID_HEX = 32  # characters of a whole id without hyphens


def id_span(text: str) -> tuple[bytes, bytes]:
    """The lowest and highest id that begin with a text.

    Raises:
        RequestInvalidError: It is no beginning of an id.
    """
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},{_ID_HEX}}}", digits):
        raise RequestInvalidError(
            f"{text[:80]!r} is no id of a document.",
            hint=f"Give a document id or message id, or the first {MIN_PREFIX} characters or more.",
        )
    return bytes.fromhex(digits.ljust(_ID_HEX, "0")), bytes.fromhex(digits.ljust(_ID_HEX, "f"))
