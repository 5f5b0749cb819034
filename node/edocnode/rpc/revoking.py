"""Takes sent documents back in bounded transactions, and lets a person answer a revocation."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edoccore.directory.view import Directory
from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edoccore.signing.records import StatusStep
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.model import MessageId
from edocnode.domain.office_model import InboxEntry, OutboxEntry, RevocationState
from edocnode.domain.revoking import (
    REVOKED_AT_ONCE,
    ReceivedRevocation,
    RevokeOrder,
    SentDelivery,
    SentRevocations,
    check_order,
    check_same,
    plan_revocation,
)
from edocnode.domain.workflow import Decision

_ROUNDS = 5  # over all deliveries, for those that were sealed at that moment


class AnswersRevocations(Protocol):
    """Whoever answers revocations that were received."""

    async def revocation_of(self, entry: InboxEntry) -> ReceivedRevocation | None:
        """The newest revocation of a received document; None when there is none."""

    async def answer(self, revocation: ReceivedRevocation, decision: Decision) -> bool:
        """Answers one; False when something changed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDesk:
    """Carries one order out."""

    store: SentRevocations
    directory: Directory
    agency: str
    fresh_id: Callable[[], bytes]
    kept: Callable[[], None]

    async def revoke(self, sent: OutboxEntry, recipients: Sequence[str], order: RevokeOrder) -> int:
        """Takes a document back; returns how many deliveries that were.

        Raises:
            RequestInvalidError, NotCanonicalError: The order says too little.
            DecisionConflictError: It was taken back for another reason.
        """
        check_order(order)
        document_id = sent.document.document_id
        check_same(await self.store.revoked(document_id), order, document_id)
        taken_back = 0
        for _ in range(_ROUNDS):
            after, left = 0, False
            while page := await self.store.revocable(
                document_id, recipients, after, REVOKED_AT_ONCE
            ):
                done = await self._piece(sent, page, order)
                taken_back += done
                left = left or done < len(page)
                after = page[-1].place
                self.kept()
            if not left:
                return taken_back
        raise DecisionConflictError(
            f"Some deliveries of document {uuid_text(document_id)} change at this moment.",
            hint="Repeat it in a moment.",
        )

    async def _piece(
        self, sent: OutboxEntry, page: Sequence[SentDelivery], order: RevokeOrder
    ) -> int:
        plans = [
            plan_revocation(
                sent.document,
                delivery,
                order,
                self.directory,
                agency=self.agency,
                message_id=MessageId(self.fresh_id()),
            )
            for delivery in page
        ]
        return await self.store.revoke(plans, [secrets.token_bytes(SALT_BYTES) for _ in plans])


async def answer_revocation(
    desk: AnswersRevocations, entry: InboxEntry, decision: Decision
) -> bool | None:
    """Answers the revocation of a received document in a person's name.

    Returns:
        True when it was answered so before, False when it is now, None when something changed
        meanwhile.

    Raises:
        DocumentUnknownError: Its sender has not taken it back.
        DecisionConflictError: It was destroyed already.
    """
    revocation = await desk.revocation_of(entry)
    if revocation is None:
        raise DocumentUnknownError(
            f"{entry.document.sender} has asked for nothing that concerns document "
            f"{uuid_text(entry.document.document_id)}.",
            hint="See: edocnode show ID",
        )
    agrees = decision.step is StatusStep.AGREED
    if revocation.state is RevocationState.AGREED:
        if agrees:
            return True
        raise DecisionConflictError(
            f"Document {uuid_text(entry.document.document_id)} was taken back and destroyed."
        )
    last = entry.steps[-1] if entry.steps else None
    if revocation.state is RevocationState.DECLINED and not agrees and last is not None:
        if (last.code, last.reason) == (decision.code, decision.reason):
            return True
        raise DecisionConflictError(
            f"The revocation of document {uuid_text(entry.document.document_id)} was declined "
            "already, for another reason."
        )
    return None if not await desk.answer(revocation, decision) else False
