"""Steps that an office takes with received documents: see ``domain.decisions``."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState, StatusStep
from edocnode.domain.office_model import StepPlan
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.official_numbers import give_arrival_number
from edocnode.storage.sealing import add_effect
from edocnode.storage.steps import add_step
from edocnode.storage.submitting import keep_submission
from edocnode.storage.tables import InboxRow, table_of

_INBOX = table_of(InboxRow)

_EVENTS = {
    StatusStep.RECEIVED: EventKind.DOCUMENT_RELEASED,
    StatusStep.ACCEPTED: EventKind.DOCUMENT_ACCEPTED,
    StatusStep.REJECTED: EventKind.DOCUMENT_REJECTED,
    StatusStep.ASSIGNED: EventKind.DOCUMENT_ASSIGNED,
    StatusStep.PROCESSING: EventKind.DOCUMENT_PROCESSING,
    StatusStep.FINISHED: EventKind.DOCUMENT_FINISHED,
    StatusStep.AGREED: EventKind.DOCUMENT_UPDATED,
    StatusStep.DECLINED: EventKind.DOCUMENT_KEPT,
}
_SET_STATE = (
    sa.update(_INBOX)
    .where(_INBOX.c.incoming_id == sa.bindparam("of"))
    .values(state=sa.bindparam("to_state"))
)


def take_step(connection: Connection, plan: StepPlan, salt: bytes) -> bool:
    """Keeps a step with state, effect, status and event; see ``OfficeStore.decide``."""
    step = plan.step
    if not add_step(connection, plan.incoming_id, step):
        return False
    change = {"of": plan.incoming_id, "to_state": step.state.value}
    connection.execute(_SET_STATE, change)
    keep_submission(connection, plan.status)
    add_effect(connection, salt, plan.effect)
    if plan.numbered and step.step is StatusStep.ACCEPTED:
        give_arrival_number(connection, plan.incoming_id, plan.status.sender, step.at)
    revoked = step.state is DocumentState.REVOKED
    event = event_values(
        EventKind.DOCUMENT_REVOKED if revoked else _EVENTS[step.step],
        plan.status.document_id,
        plan.message_id,
        agency=plan.status.deliveries[0].recipient,
        at=step.at,
    )
    tell(connection, [event])
    return True
