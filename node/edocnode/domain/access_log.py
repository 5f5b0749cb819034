"""What is written down of who saw and did what: the entries of the access history.

Source: Decree 30/2020/ND-CP, Appendix VI, Part I: the history of access to documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from edoccore.signing.statements import uuid_text
from edocnode.domain.model import DocumentId

OPERATOR = ""  # account of whoever calls on the administrator's socket
MAX_DETAIL = 300  # characters


class Access(StrEnum):
    """What was done."""

    LISTED = "listed"
    SHOWN = "shown"
    WATCHED = "watched"
    PART_READ = "part read"
    SAVED = "saved"
    EXPORTED = "exported"
    EVIDENCE_EXPORTED = "evidence exported"
    SUBMITTED = "submitted"
    DECIDED = "decided"
    RETRIED = "queued again"
    REVOKED = "taken back"
    NUMBERED = "numbered"
    RESTRICTED = "restricted"
    OPENED = "opened"
    COUNTED = "counted"
    CHECKED = "checked again"
    DENIED = "denied"
    LOST = "entries lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """One entry.

    Attributes:
        account: ``OPERATOR`` on the administrator's socket.
        actor: Person, as the calling program told; may be empty.
        document_id: None with lists, and while only ``asked`` is known.
        asked: Beginning of an id that was asked for and denied.
        detail: Filter of a list, part, reason of a denial.
    """

    at: datetime
    account: str
    actor: str
    action: Access
    document_id: DocumentId | None = None
    asked: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntry:
    """An entry as it was read back; ``place`` grows with time."""

    place: int
    entry: AccessEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """Which entries, newest first.

    Attributes:
        document_id: None: of all.
        account: None: of all.
        since: None: from the first.
        before: Place of the last one of the page before; 0: from the newest.
    """

    document_id: DocumentId | None = None
    account: str | None = None
    since: datetime | None = None
    before: int = 0
    limit: int = 100


class AccessLog(Protocol):
    """Where entries are kept; each method is one transaction."""

    async def write_access(self, entries: Sequence[AccessEntry]) -> None:
        """Adds entries at the end, finding the documents of denied ones as far as they are here."""

    async def access_history(self, wanted: HistoryRequest) -> Sequence[KeptEntry]:
        """Entries, newest first."""

    async def forget_access(self, before: datetime, limit: int) -> int:
        """Removes the oldest entries from before a moment, at most so many; returns how many."""


class Records(Protocol):
    """Whoever takes entries, at once and without waiting."""

    def record(self, entry: AccessEntry) -> None:
        """Takes an entry; it is on disk about a second later."""


def filter_text(asked: Mapping[str, object]) -> str:
    """What a list was asked for, in one line."""
    shown = {name: _plain(value) for name, value in asked.items() if value}
    return " ".join(f"{name}={value}" for name, value in shown.items())[:MAX_DETAIL]


def _plain(value: object) -> object:
    """A value for one line: an id as people know it."""
    return uuid_text(value) if isinstance(value, bytes) and len(value) == 16 else value
