"""State secrets do not travel here: what is declared as one is refused, what looks like one told.

Source: Decision 28/2018/QD-TTg, Articles 1 and 2: state secrets are out of its scope.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from edoccore.errors import StateSecretError


class Secrecy(StrEnum):
    """How secret a document is."""

    NONE = "none"
    MAT = "mat"
    TOI_MAT = "toi_mat"
    TUYET_MAT = "tuyet_mat"


_MARKS = {
    Secrecy.MAT: "Mật",
    Secrecy.TOI_MAT: "Tối mật",
    Secrecy.TUYET_MAT: "Tuyệt mật",
}
# In capital letters, as the stamp is: "Mật độ dân số" is about people, not secrets.
_STAMP = re.compile(r"[\W_]*(TUYỆT MẬT|TỐI MẬT|MẬT(?! (?:ĐỘ|MÃ|KHẨU|ONG|DANH)\b))(?!\w)")


def check_secrecy(secrecy: Secrecy) -> None:
    """Refuses a document that is declared secret.

    Raises:
        StateSecretError: It is.
    """
    if secrecy is not Secrecy.NONE:
        raise StateSecretError(
            f"A document marked {_MARKS[secrecy]} may not travel here: state secrets are not sent "
            "over this network. Nothing of it was kept.",
            hint="Deliver it as the rules on state secrets say, on paper or over a line of the "
            "Government Cipher Committee.",
            secrecy=secrecy.value,
        )


def secrecy_remarks(fields: Mapping[str, object], files: Sequence[str]) -> Iterator[str]:
    """Where a document carries the stamp of a secret although it is not declared as one.

    Args:
        fields: Of a record, unchecked.
        files: Names of its files.
    """
    named = [(f"The field {name}", value) for name, value in fields.items()]
    for what, value in [*named, *(("The name of a file", name) for name in files)]:
        if stamp := _stamp_in(value):
            yield (
                f"{what} begins with {stamp}; a document with state secrets must not be sent over "
                "this network, not even in part."
            )


def _stamp_in(value: object) -> str:
    if isinstance(value, str):
        found = _STAMP.match(value)
        return found[1] if found else ""
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(inner, Iterable):
        return ""
    return next((stamp for each in inner if (stamp := _stamp_in(each))), "")
