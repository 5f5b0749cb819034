"""Days and hours in records must exist, so that whoever reads one can reckon with it.

The pattern of a day admits 31 February. A calendar also needs the day before and after it, in any
time zone: the first and last year that it knows are left out.

Source: proto/README.md, check 11.
"""

from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, date, datetime

from edoccore.signing.records import DocumentRecord


def is_day(text: str) -> bool:
    """Whether a day, or a moment as ``time_text`` writes it, exists and can be reckoned with."""
    try:
        found = datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    except ValueError:
        return False
    return MINYEAR < found.year < MAXYEAR


def impossible_day(record: DocumentRecord) -> str:
    """The first day or hour in a record that does not exist; empty when all do."""
    return next((text for text in _days(record) if not is_day(text)), "")


def _days(record: DocumentRecord) -> Iterator[str]:
    for own in (record.issued_date, record.due_date, record.deliver_by):
        if own:
            yield own
    for named in (record.in_reply_to, record.references, record.replaces, record.corrects):
        for reference in named or ():
            if reference.issued_date:
                yield reference.issued_date
    for hop in record.trace or ():
        yield hop.time
