"""Takes sent documents back in bounded transactions, and lets a person answer a revocation."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edoccore.agency_errors import AgencyEndedError
from edoccore.directory.view import Directory
from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edoccore.signing.records import StatusStep
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.office_model import InboxEntry, OutboxEntry, RevocationState, VersionState
from edocnode.domain.revoking import (
    REVOKED_AT_ONCE,
    ReceivedRevocation,
    RevokeOrder,
    RevokePlan,
    SentDelivery,
    SentRevocations,
    check_order,
    check_same,
    plan_revocation,
)
from edocnode.domain.updating import ReceivedUpdate
from edocnode.domain.workflow import Decision

_ROUNDS = 5  # over all deliveries, for those that were sealed at that moment


class AnswersUpdates(Protocol):
    """Whoever answers updates that were received."""

    async def update_of(self, entry: InboxEntry) -> ReceivedUpdate | None:
        """The newest update of a received document that may be answered; None: there is none."""

    async def answer(self, update: ReceivedUpdate, entry: InboxEntry, decision: Decision) -> bool:
        """Answers one; False when something changed meanwhile."""


class AnswersRevocations(Protocol):
    """Whoever answers revocations that were received."""

    async def revocation_of(self, entry: InboxEntry) -> ReceivedRevocation | None:
        """The newest revocation of a received document; None when there is none."""

    async def answer(self, revocation: ReceivedRevocation, decision: Decision) -> bool:
        """Answers one; False when something changed meanwhile."""


class TakenBackNow(NamedTuple):
    """What came of an order.

    Attributes:
        deliveries: How many were taken back now.
        not_reached: Nodes that have or may have a copy of those, and are not heard any more.
    """

    deliveries: int
    not_reached: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDesk:
    """Carries one order out."""

    store: SentRevocations
    directory: Directory
    agency: str
    fresh_id: Callable[[], bytes]
    kept: Callable[[], None]
    random: Callable[[int], bytes] = secrets.token_bytes

    async def revoke(
        self, sent: OutboxEntry, recipients: Sequence[str], order: RevokeOrder
    ) -> TakenBackNow:
        """Takes a document back.

        Raises:
            RequestInvalidError, NotCanonicalError: The order says too little.
            DecisionConflictError: It was taken back for another reason.
            AgencyEndedError: This agency has ended, and its recipients would not be told. An
                order that was carried out whole before is only repeated.
        """
        check_order(order)
        document_id = sent.document.document_id
        before = await self.store.revoked(document_id)
        check_same(before, order, document_id)
        if self.directory.has_ended(self.agency, order.at):
            if before and not await self.store.revocable(document_id, recipients, 0, 1):
                return TakenBackNow(0, ())
            raise AgencyEndedError(
                f"Nothing is taken back from this node any more: "
                f"{self.directory.how_it_ended(self.agency)}.",
                hint="Ask its successor to write to the recipients.",
                agency=self.agency,
            )
        taken_back, not_reached = 0, set[str]()
        for _ in range(_ROUNDS):
            after, left = 0, False
            while page := await self.store.revocable(
                document_id, recipients, after, REVOKED_AT_ONCE
            ):
                plans = self._plans(sent, page, order)
                done = await self.store.revoke(plans, [self.random(SALT_BYTES) for _ in plans])
                not_reached |= {node for plan in plans for node in plan.not_reached}
                taken_back += done
                left = left or done < len(page)
                after = page[-1].place
                self.kept()
            if not left:
                return TakenBackNow(taken_back, tuple(sorted(not_reached)))
        raise DecisionConflictError(
            f"Some deliveries of document {uuid_text(document_id)} change at this moment.",
            hint="Repeat it in a moment.",
        )

    def _plans(
        self, sent: OutboxEntry, page: Sequence[SentDelivery], order: RevokeOrder
    ) -> list[RevokePlan]:
        return [
            plan_revocation(
                sent.document,
                delivery,
                order,
                self.directory,
                agency=self.agency,
                fresh_id=self.fresh_id,
            )
            for delivery in page
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Whoever answers what senders asked for."""

    revocations: AnswersRevocations
    updates: AnswersUpdates


async def answer_request(desk: Answers, entry: InboxEntry, decision: Decision) -> bool | None:
    """Answers what the sender of a received document asked for, in a person's name.

    A revocation comes before an update.

    Returns:
        True when it was answered so before, False when it is now, None when something changed
        meanwhile.

    Raises:
        DocumentUnknownError: Its sender has asked for nothing.
        DecisionConflictError: It was destroyed already, or declined for another reason.
    """
    revocation = await desk.revocations.revocation_of(entry)
    if revocation is not None:
        return await _answer_revocation(desk.revocations, entry, revocation, decision)
    update = await desk.updates.update_of(entry)
    if update is not None:
        if update.state is VersionState.DECLINED and decision.step is StatusStep.DECLINED:
            return True
        return False if await desk.updates.answer(update, entry, decision) else None
    last = entry.steps[-1] if entry.steps else None
    if last is not None and last.step is StatusStep.AGREED is decision.step:
        return True
    raise DocumentUnknownError(
        f"{entry.document.sender} has asked for nothing that concerns document "
        f"{uuid_text(entry.document.document_id)}.",
        hint="See: edocnode show ID",
    )


async def _answer_revocation(
    desk: AnswersRevocations,
    entry: InboxEntry,
    revocation: ReceivedRevocation,
    decision: Decision,
) -> bool | None:
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
