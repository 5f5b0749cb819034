"""Newer versions of received documents: agreed to, declined, or a document of their own.

An update carries the whole document anew under its id. Once it is agreed to it is what the office
sees; the versions before it can still be read, and the way through the office goes on. An update
of a document that was given back brings it to the clerk again. One whose document never came is
taken as the document.

Source: Decree 30/2020, Article 18; edXML status codes 15 and 16.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edoccore.directory.view import Directory
from edoccore.signing.records import DocumentState, StatusStep
from edocnode.domain.decisions import plan_step, subject_of
from edocnode.domain.model import DocumentId, IncomingId, MessageId
from edocnode.domain.office_model import InboxEntry, StepPlan, VersionState
from edocnode.domain.setting_aside import Waiting
from edocnode.domain.workflow import Decision, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedUpdate:
    """An update that arrived, with the document it changes.

    Attributes:
        incoming_id: Of the update.
        digest: Of the update's envelope.
        state: PENDING or DECLINED.
        entry: The document; None while it is not here.
    """

    incoming_id: IncomingId
    digest: bytes
    document_id: DocumentId
    sender: str
    recipient: str
    state: VersionState
    entry: InboxEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAnswer:
    """The answer to an update with everything that is kept with it."""

    update: ReceivedUpdate
    agreed: bool
    plan: StepPlan


class ReceivedUpdates(Protocol):
    """What updates need of storage; each method is one transaction."""

    async def open_updates(
        self, limit: int, *, asks: bool, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Updates to be answered now, oldest first.

        Args:
            asks: A person answers for documents that are here: those are left out.
            without: Left out too; beside the ``limit``.
        """

    async def update_at(self, place: int) -> ReceivedUpdate | None:
        """An update to be answered; None when it has its answer by now."""

    async def update_of(self, entry: InboxEntry) -> ReceivedUpdate | None:
        """The newest update of a received document that a person may answer."""

    async def answer_update(self, answer: UpdateAnswer, salt: bytes) -> bool:
        """Keeps an answer; agreeing puts the version in force in the same transaction.

        Returns:
            False when something changed meanwhile; nothing was kept.
        """

    async def take_as_document(self, update: ReceivedUpdate, at: datetime) -> bool:
        """Shows an update whose document never came; False when it came meanwhile."""


def plan_update_answer(
    update: ReceivedUpdate,
    entry: InboxEntry,
    decision: Decision,
    directory: Directory,
    *,
    agency: str,
    message_id: MessageId,
    now: datetime,
) -> UpdateAnswer:
    """Prepares the answer to an update.

    Args:
        decision: AGREED or DECLINED.
        agency: That owns this node.
        message_id: Fresh, for the status that tells the sender.
    """
    agreed = decision.step is StatusStep.AGREED
    returned = agreed and entry.state is DocumentState.REJECTED
    step = Step(
        order=entry.workflow.order + 1,
        step=decision.step,
        state=DocumentState.RECEIVED if returned else entry.state,
        actor=decision.actor,
        at=now,
        code=decision.code,
        reason=decision.reason,
        answers=update.digest,
    )
    plan = plan_step(subject_of(entry), step, directory, agency=agency, message_id=message_id)
    return UpdateAnswer(update=update, agreed=agreed, plan=plan)
