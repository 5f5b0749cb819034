"""The registers of documents that went out and came in, as an office keeps them.

Source: Decree 30/2020/ND-CP, Articles 15, 18, 22 and 23, and Appendix IV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from edocnode.domain.model import DocumentId

SHOWN_RECIPIENTS = 200  # of one document; then how many more there are


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """Which part of a register.

    Attributes:
        incoming: The register of arrivals; otherwise of what went out.
        first: First day, in Viet Nam.
        last: Last day, included.
        agency: Recipient of arrivals, sender of what went out; empty: any.
    """

    incoming: bool
    first: date
    last: date
    agency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterEntry:
    """One line of a register.

    Attributes:
        at: When it arrived, or was handed in.
        agency: Own agency.
        peer: Code of the sender of an arrival; empty for what went out.
        author: Name of the issuer.
        recipients: Lines of "Nơi nhận", or codes, at most ``SHOWN_RECIPIENTS``.
        more_recipients: How many are left out.
        assignee: Unit or person it was given to last.
        assigned_at: When that was.
        copies: Copies issued, 0 when the document does not say.
        state: Of an arrival; of what went out the worst of its deliveries.
        reason: Why it was given back.
        arrival_number: That was given to an arrival here; 0: none.
    """

    document_id: DocumentId
    at: datetime
    agency: str
    peer: str
    author: str
    number: str
    notation: str
    issued_date: str
    due_date: str
    document_type: str
    subject: str
    signer: str
    recipients: tuple[str, ...]
    more_recipients: int
    assignee: str
    assigned_at: datetime | None
    copies: int
    state: str
    reason: str
    arrival_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterPage:
    """Some entries, in order; ``next`` is 0 on the last page."""

    entries: Sequence[RegisterEntry]
    next: int


class RegisterStore(Protocol):
    """Where registers are read from."""

    async def register_page(self, wanted: RegisterRequest, after: int) -> RegisterPage:
        """A bounded page of a register, oldest first.

        Args:
            after: ``next`` of the page before; 0: the first page.
        """
