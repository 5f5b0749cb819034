"""What is wrong with a record: which field, which text, or its size."""

from collections.abc import Iterable, Mapping

from edoccore.errors import LimitExceededError, NotCanonicalError, RecordInvalidError
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


def field_refused(error: Exception) -> RecordInvalidError:
    """The error that says which field of a record has a value that it may not have."""
    text, _, place = str(error).partition(" - at `$.")
    name = place.rstrip("`")
    what = f"The field {name} of the document" if name else "The record of the document"
    return RecordInvalidError(f"{what} is refused: {text[:1].lower()}{text[1:]}.", field=name)


def no_such_day(day: str) -> RecordInvalidError:
    """The error that says that a day or hour does not exist, or that no calendar counts from it."""
    return RecordInvalidError(
        f"The record of the document names a day or hour that does not exist: {day}.",
        hint="Write days as 2026-12-01 and moments as 2026-12-01T01:00:00.000Z.",
    )


def record_too_large(size: int) -> LimitExceededError:
    """The error that says that a record has too many bytes."""
    return LimitExceededError(
        f"The record of the document has {size} bytes; at most {canonical.MAX_RECORD_BYTES} are "
        "allowed.",
        hint="Send long texts as a part instead.",
    )
