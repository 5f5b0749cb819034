"""Which field of a record has a text that cannot be sealed."""

from collections.abc import Iterable, Mapping

from edoccore.errors import NotCanonicalError
from edoccore.signing import canonical


def text_refused(given: Mapping[str, object]) -> NotCanonicalError | None:
    """The error that names the first field with a text that cannot be sealed.

    Args:
        given: Fields of a record, unchecked.

    Returns:
        None when there is none.
    """
    for name, value in given.items():
        if fault := _fault_in(value):
            return NotCanonicalError(
                f"The field {name} of the document cannot be sealed: {fault}.",
                hint="Bring all texts into Unicode normalisation form C (NFC) before handing in.",
                field=name,
            )
    return None


def _fault_in(value: object) -> str | None:
    if isinstance(value, str):
        return canonical.text_fault(value)
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(inner, Iterable):
        return None
    return next((fault for each in inner if (fault := _fault_in(each))), None)
