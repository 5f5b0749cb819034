"""Legal hold: a document that nothing destroys, neither the end of its time nor its revocation.

Source: Decree 30/2020/ND-CP, Appendix VI, Part I: locking of documents; retention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edoccore.errors import RequestInvalidError
from edocnode.domain.model import DocumentId

MAX_REASON = 500  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why, by whose decision and since when a document is held."""

    document_id: DocumentId
    reason: str
    actor: str
    at: datetime


class HoldStore(Protocol):
    """Where holds are kept; each method is one transaction."""

    async def hold(self, hold: Hold, *, salt: bytes, effect: bytes) -> Hold:
        """Holds a document; returns the hold in force, an earlier one if there is one."""

    async def release(
        self, document_id: DocumentId, *, salt: bytes, effect: bytes, at: datetime
    ) -> bool:
        """Releases a document, and destroys it if its sender took it back meanwhile.

        Returns:
            False when it was not held.
        """

    async def holds(self, after: bytes, limit: int) -> Sequence[Hold]:
        """Holds of documents with higher ids, in order of id."""


def check_reason(reason: str) -> None:
    """Checks why a document is held or released.

    Raises:
        RequestInvalidError: It is missing or too long.
    """
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise RequestInvalidError(
            f"The reason must have 1 to {MAX_REASON} characters.", hint="Add --reason TEXT."
        )
