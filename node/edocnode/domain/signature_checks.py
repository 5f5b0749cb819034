"""Which documents are to be checked for signatures, and the port to where verdicts are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from edocnode.domain.model import DocumentId
from edocnode.domain.signatures import (
    CheckState,
    DocumentVerdict,
    LegalStatus,
    PartToCheck,
    Reason,
)

CHECKS_AT_ONCE = 500  # skipped, resumed or gone through for those to recheck in one transaction


class Side(StrEnum):
    """A document as received here, or as sent from here."""

    RECEIVED = "received"
    SENT = "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlace:
    """A document that waits for its check; nothing of it is read yet.

    Attributes:
        owner: Row of the document on that side.
    """

    side: Side
    owner: int
    document_id: DocumentId


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckJob(CheckPlace):
    """The same with what is checked of it.

    Attributes:
        parts: Those that may hold signatures; small ones with their bytes, large ones without.
    """

    parts: tuple[PartToCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCheck:
    """Where the check of a document stands, as an office sees it.

    Attributes:
        verdict: None while it is pending, or when what was kept cannot be read.
    """

    state: CheckState
    verdict: DocumentVerdict | None

    @property
    def legal_status(self) -> LegalStatus:
        """What the law makes of the document, as far as it is known."""
        if self.verdict is None or self.state is CheckState.PENDING:
            return LegalStatus.NOT_CHECKED
        return self.verdict.legal_status

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it does not replace paper; empty when it does."""
        if self.state is CheckState.PENDING:
            return (Reason.PENDING,)
        return (Reason.VERDICT_DAMAGED,) if self.verdict is None else self.verdict.reasons


class CheckerAwayError(Exception):
    """Nothing can be checked at the moment, whatever the document; the message says why."""


def verdict_set_aside(error: Exception, at: datetime) -> DocumentVerdict:
    """What is kept of a document that this program could not judge: nothing is known of it."""
    out_of_memory = isinstance(error, MemoryError)
    return DocumentVerdict(
        legal_status=LegalStatus.NOT_CHECKED,
        reasons=(Reason.OUT_OF_MEMORY if out_of_memory else Reason.CRASHED,),
        parts=(),
        checked_at=at,
    )


class SignatureChecks(Protocol):
    """Documents to be checked, and what was found; each method is one transaction."""

    async def next_check(self) -> CheckPlace | None:
        """The most urgent document that waits for its check; None when none does."""

    async def check_job(self, place: CheckPlace) -> CheckJob:
        """A document with its parts; without any when it is gone."""

    async def settle_check(self, place: CheckPlace, verdict: DocumentVerdict) -> None:
        """Keeps a verdict and tells of it, unless the document was settled or is gone."""

    async def set_check_aside(self, place: CheckPlace, verdict: DocumentVerdict) -> None:
        """The same of a document that could not be judged; it waits for ``recheck``."""

    async def checks_set_aside(self, limit: int) -> Sequence[DocumentId]:
        """Documents that were set aside and not checked since, the newest first."""

    async def skip_checks(self, verdict: DocumentVerdict) -> int:
        """Settles up to ``CHECKS_AT_ONCE`` of what waits, unchecked; returns how many."""

    async def resume_checks(self) -> int:
        """Makes up to ``CHECKS_AT_ONCE`` that were skipped wait again; returns how many."""

    async def recheck(self, document_id: DocumentId) -> int:
        """Makes the checks of a document wait again, on both sides; returns how many."""

    async def recheck_after(
        self, place: tuple[str, int], before: datetime
    ) -> tuple[int, tuple[str, int] | None]:
        """Makes a bounded piece of all checks wait again; returns how many, and the next place.

        Args:
            place: Side and row behind which it begins.
            before: Only what was checked before this moment.
        """

    async def waiting_checks(self) -> int:
        """How many documents wait for their check."""


class Rechecks(Protocol):
    """Whoever checks, as far as others ask for it."""

    async def recheck(self, ids: Sequence[DocumentId]) -> int:
        """Lets documents be checked again; none: all. Returns how many."""
