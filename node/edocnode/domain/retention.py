"""How long received documents are kept, and what may be destroyed when their time is over.

Nothing is ever destroyed by itself: an administrator looks at what is due and decides. What was
sent from here stays: its original is kept by the agency that issued it.

Source: Decree 30/2020/ND-CP, Article 19 and Appendix VI, Part I: retention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edocnode.domain.folding import folded
from edocnode.domain.model import DocumentId, IncomingId

OTHER = "other"  # in the settings: every type that is not named
LOOKED_AT = 2_000  # rows of one page; few of them may be due


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Years for which documents are kept, by type; what is not named is kept for ever."""

    years: Mapping[str, int]

    def due_at(self, document_type: str, received_at: datetime) -> datetime | None:
        """When the time of a document is over; None: never.

        Args:
            document_type: As lists show it; upper and lower case and marks do not matter.
        """
        by_type = {folded(name): years for name, years in self.years.items()}
        years = by_type.get(folded(document_type), by_type.get(OTHER))
        return None if years is None else _years_later(received_at, years)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDocument:
    """A received document whose bytes are here.

    Attributes:
        received_at: When its newest version was received.
        position: Place in the inbox.
        held: A legal hold keeps it.
    """

    incoming_id: IncomingId
    document_id: DocumentId
    document_type: str
    subject: str
    received_at: datetime
    position: int
    held: bool


class RetentionStore(Protocol):
    """What retention needs of storage; each method is one transaction."""

    async def kept(self, after: int, limit: int) -> Sequence[KeptDocument]:
        """Received documents whose bytes are here, the oldest first; all looked at."""

    async def kept_of(self, document_id: DocumentId) -> Sequence[KeptDocument]:
        """The same of one document, for each agency that received it."""

    async def end(
        self, documents: Sequence[KeptDocument], *, at: datetime, salt: bytes, effect: bytes
    ) -> bool:
        """Destroys record and parts of a document; False when it is held by now."""


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year + years, month=3, day=1)
