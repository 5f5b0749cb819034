"""Moments and days as people type them; without an offset they are those of Viet Nam."""

import re
from datetime import date, datetime, time, timedelta

from edoccore.errors import RequestInvalidError

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


def moment(text: str, option: str) -> datetime | None:
    """A moment as people write it: RFC 3339, or local time of Viet Nam when no offset is given.

    Raises:
        RequestInvalidError: It is neither.
    """
    if not text:
        return None
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError("another form")
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestInvalidError(
            f"{text[:80]!r} is no day and time.",
            hint=f"Write {option} as 2026-12-01T08:00, or with its offset: 2026-12-01T08:00+07:00.",
        ) from error
    from edockit.language import VIET_NAM

    return found if found.tzinfo else found.replace(tzinfo=VIET_NAM)


def beginning(text: str, option: str) -> datetime | None:
    """A moment, or the first of a day; None when none was given.

    Raises:
        RequestInvalidError: It is neither.
    """
    return _first_of(text, 0) or moment(text, option)


def end(text: str, option: str) -> datetime | None:
    """A moment, or the first after a day; None when none was given.

    Raises:
        RequestInvalidError: It is neither.
    """
    return _first_of(text, 1) or moment(text, option)


def _first_of(text: str, days_later: int) -> datetime | None:
    from edockit.language import VIET_NAM

    try:
        found = date.fromisoformat(text) + timedelta(days=days_later)
    except (ValueError, OverflowError):
        return None
    return datetime.combine(found, time(), VIET_NAM)
