"""Messages of office/v1 from and to the node's own types."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from edoccore.errors import RequestInvalidError
from edoccore.signing.records import STEP_CODES, DocumentState, StatusStep
from edoccore.signing.statements import Operation, Urgency
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.copies import CopyView
from edocnode.domain.encryption import content_type, is_encrypted
from edocnode.domain.model import DeliveryState, SubmissionResult
from edocnode.domain.office import DeclaredPart, SubmitHeader, spellings
from edocnode.domain.office_model import (
    DeliveryView,
    DocumentLink,
    DocumentVersion,
    DocumentView,
    Event,
    InboxEntry,
    OutboxEntry,
    PageRequest,
    RevocationState,
    TakenBack,
)
from edocnode.domain.official_numbers import GivenNumber
from edocnode.domain.searching import (
    Filters,
    checked_day,
    checked_types,
    number_spellings,
    search_words,
)
from edocnode.domain.secrecy import Secrecy
from edocnode.domain.workflow import Decision, Step, workflow_of
from edocnode.rpc.signature_messages import signatures_to_message

if TYPE_CHECKING:
    from edoccore.directory.view import Directory

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
PAGE_BYTES = 900 * 1024  # of a list; a message is at most 1 MiB

Choice = TypeVar("Choice", bound=StrEnum)
Listed = TypeVar("Listed", bound=Message)


class EnumOfMessages(Protocol):
    """What generated enums have in common."""

    def Name(self, number: Any) -> str:  # noqa: ANN401 - each enum has its own number type
        """Name of a number."""

    def values(self) -> Sequence[Any]:
        """All numbers."""


_EVENT_KINDS = {
    "document.received": messages.EVENT_KIND_DOCUMENT_RECEIVED,
    "document.duplicate": messages.EVENT_KIND_DUPLICATE_FOUND,
    "document.quarantined": messages.EVENT_KIND_DOCUMENT_QUARANTINED,
    "document": messages.EVENT_KIND_DOCUMENT_DECIDED,
    "delivery": messages.EVENT_KIND_DELIVERY_CHANGED,
    "status": messages.EVENT_KIND_STATUS_RECEIVED,
    "signatures": messages.EVENT_KIND_SIGNATURES_CHECKED,
}

_DELIVERY_STATES = {
    state: messages.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in DeliveryState
}

_DECIDED = {
    "accept": StatusStep.ACCEPTED,
    "reject": StatusStep.REJECTED,
    "assign": StatusStep.ASSIGNED,
    "process": StatusStep.PROCESSING,
    "finish": StatusStep.FINISHED,
    "agree": StatusStep.AGREED,
    "decline": StatusStep.DECLINED,
}
_ARRIVED_CODE = "01"


def timestamp(moment: datetime) -> Timestamp:
    """A moment as messages carry it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def optional_timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment, or nothing."""
    return None if moment is None else timestamp(moment)


def moment_from(message: Timestamp) -> datetime:
    """The moment a message carries, aware and UTC."""
    return message.ToDatetime(UTC)


def header_from_message(message: messages.SubmitHeader) -> SubmitHeader:
    """The header of a submission.

    Raises:
        RequestInvalidError: The lifetime or the time to send is out of range, the secrecy unknown.
    """
    return SubmitHeader(
        request_id=message.request_id,
        sender=message.sender,
        recipients=tuple(message.recipients),
        urgency=_choice(messages.Urgency, Urgency, message.urgency) or Urgency.NORMAL,
        record_size=message.record_size,
        parts=tuple(
            DeclaredPart(name=part.name, media_type=part.media_type, size=part.size)
            for part in message.parts
        ),
        lifetime=_lifetime(message),
        send_at=_send_time(message),
        secrecy=_secrecy(message.secrecy),
        number_here=message.number_here,
        operation=_choice(messages.Operation, Operation, message.operation) or Operation.NEW,
        earlier=message.earlier,
        encrypt=message.encrypt,
    )


def submission_to_message(
    kept: SubmissionResult, number: GivenNumber | None = None
) -> messages.SubmitResponse:
    """What was kept for a submission."""
    return messages.SubmitResponse(
        document_id=kept.document_id,
        deliveries=[
            messages.Delivery(
                message_id=message_id, recipient=recipient, state=_DELIVERY_STATES[state]
            )
            for message_id, recipient, state in kept.deliveries
        ],
        repeated_request=kept.repeated,
        position=kept.position,
        number="" if number is None else str(number.number),
    )


def decision_from_message(message: messages.DecideRequest) -> Decision:
    """A decision.

    Raises:
        RequestInvalidError: There is none.
    """
    kind = message.WhichOneof("decision")
    if kind is None:
        raise RequestInvalidError("The request does not say what was decided.")
    refusal = message.decline if kind == "decline" else message.reject
    return Decision(
        step=_DECIDED[kind],
        actor=message.actor,
        assignee=message.assign.assignee,
        code=refusal.code,
        reason=refusal.reason,
    )


def inbox_request(message: messages.ListInboxRequest, directory: "Directory") -> PageRequest:
    """Which page of the inbox.

    Raises:
        AgencyUnknownError: An agency is not in the directory.
        RequestInvalidError: What is looked for is too long, or no day.
    """
    state = _choice(messages.DocumentState, DocumentState, message.state)
    return PageRequest(
        agencies=spellings(message.agency, directory),
        state=state or "",
        limit=limit_from(message.limit),
        after=message.after,
        filters=_filters(message.filter, directory),
    )


def outbox_request(message: messages.ListOutboxRequest, directory: "Directory") -> PageRequest:
    """Which page of the outbox.

    Raises:
        AgencyUnknownError: An agency is not in the directory.
        RequestInvalidError: What is looked for is too long, or no day.
    """
    state = _choice(messages.DeliveryState, DeliveryState, message.state)
    return PageRequest(
        agencies=spellings(message.agency, directory),
        state=state or "",
        limit=limit_from(message.limit),
        after=message.after,
        filters=_filters(message.filter, directory),
    )


def deliveries_request(message: messages.ListDeliveriesRequest) -> PageRequest:
    """Which page of the deliveries of a document."""
    state = _choice(messages.DeliveryState, DeliveryState, message.state)
    return PageRequest(state=state or "", limit=limit_from(message.limit), after=message.after)


def fitting(items: Sequence[tuple[Listed, int]], rest: str) -> tuple[list[Listed], str]:
    """The first messages of a page that fit into one, and the cursor of what follows.

    Args:
        items: Each with its place, which is its cursor.
        rest: Cursor of the page after all of them.
    """
    total = 0
    for number, (item, _) in enumerate(items):
        total += item.ByteSize()
        if total > PAGE_BYTES and number:
            return [item for item, _ in items[:number]], str(items[number - 1][1])
    return [item for item, _ in items], rest


def limit_from(asked: int) -> int:
    """How many of a list are given: what was asked, in bounds."""
    return min(asked or DEFAULT_LIMIT, MAX_LIMIT)


def inbox_to_message(entry: InboxEntry, *, whole: bool = False) -> messages.InboxDocument:
    """A received document.

    Args:
        whole: With all its steps, not the last one alone.
    """
    return messages.InboxDocument(
        document=_document(
            entry.document,
            arrival_number=entry.arrival_number,
            duplicate_of=entry.duplicate_of,
        ),
        message_id=entry.message_id,
        recipient=entry.recipient,
        receive_time=timestamp(entry.received_at),
        state=document_state(entry.state),
        position=entry.position,
        assignee=entry.workflow.assignee,
        last_step=step_to_message(entry.steps[-1]) if entry.steps else None,
        steps=[step_to_message(step) for step in entry.steps] if whole else [],
        taken_back=_taken_back(entry.taken_back, told=True),
        versions=[_version(version) for version in entry.versions],
        links=[_link(link) for link in entry.links],
    )


def step_to_message(step: Step) -> messages.Step:
    """A step that was taken."""
    return messages.Step(
        order=step.order,
        kind=messages.StepKind.Value(f"STEP_KIND_{step.step.name}"),
        state=document_state(step.state),
        actor=step.actor,
        time=timestamp(step.at),
        assignee=step.assignee,
        code=step.code,
        reason=step.reason,
        still_held=step.still_held,
        edxml_code=STEP_CODES[step.step],
    )


def outbox_to_message(entry: OutboxEntry, *, whole: bool = False) -> messages.OutboxDocument:
    """A document handed in here.

    Args:
        whole: With the timelines of its deliveries.
    """
    return messages.OutboxDocument(
        document=_document(entry.document),
        create_time=timestamp(entry.created),
        expire_time=timestamp(entry.expires),
        send_time=optional_timestamp(entry.send_at),
        deliveries=[delivery_to_message(delivery, whole=whole) for delivery in entry.deliveries],
        counts=[
            messages.DeliveryCount(state=delivery_state(state), count=entry.counts[state])
            for state in DeliveryState
            if state in entry.counts
        ],
        taken_back=_taken_back(entry.taken_back, told=False),
        links=[_link(link) for link in entry.links],
    )


def delivery_to_message(view: DeliveryView, *, whole: bool = True) -> messages.Delivery:
    """A document on its way to one recipient.

    Args:
        whole: With its timeline.
    """
    state, answer = view.recipient_state, view.answer
    return messages.Delivery(
        message_id=view.message_id,
        recipient=view.recipient,
        state=delivery_state(view.state),
        state_time=timestamp(view.since),
        attempts=view.attempts,
        reason=view.reason,
        message=view.message,
        advice=view.advice,
        next_attempt_time=optional_timestamp(view.next_at),
        peer_down_time=optional_timestamp(view.peer_down_since),
        recipient_state=messages.DOCUMENT_STATE_UNSPECIFIED
        if state is None
        else document_state(state),
        recipient_reason=view.recipient_reason,
        timeline=_timeline(view) if whole else [],
        assignee=workflow_of(view.timeline).assignee,
        revocation=_revocation_state(view.revocation),
        revocation_time=None if answer is None else timestamp(answer.at),
        still_held=[] if answer is None else answer.still_held,
        decline_reason="" if answer is None else answer.reason,
        copies=[_copy(copy) for copy in view.copies],
    )


def event_to_message(event: Event) -> messages.Event:
    """Something that happened."""
    subject, _, state = event.kind.partition(".")
    return messages.Event(
        position=event.position,
        kind=_EVENT_KINDS.get(event.kind, _EVENT_KINDS[subject]),
        document_id=event.document_id,
        message_id=event.message_id,
        agency=event.agency,
        state="" if subject in ("status", "signatures") else state,
        time=timestamp(event.at),
    )


def document_state(state: DocumentState) -> "messages.DocumentState.ValueType":
    """A state as messages name it."""
    return messages.DocumentState.Value(f"DOCUMENT_STATE_{state.name}")


def delivery_state(state: DeliveryState) -> "messages.DeliveryState.ValueType":
    """A state as messages name it."""
    return _DELIVERY_STATES[state]


def _copy(copy: CopyView) -> messages.DocumentCopy:
    return messages.DocumentCopy(
        node=copy.node,
        state=messages.CopyState.Value(f"COPY_STATE_{copy.state.name}"),
        time=timestamp(copy.at),
        reason=copy.reason,
    )


def _version(version: DocumentVersion) -> messages.Version:
    return messages.Version(
        message_id=version.message_id,
        receive_time=timestamp(version.received_at),
        reason=version.reason,
        state=messages.VersionState.Value(f"VERSION_STATE_{version.state.name}"),
    )


def _link(link: DocumentLink) -> messages.Link:
    kind = messages.LinkKind.Value(f"LINK_KIND_{link.kind.name}")
    return messages.Link(kind=kind, document_id=link.document_id)


def _taken_back(found: TakenBack | None, *, told: bool) -> messages.TakenBack | None:
    if found is None:
        return None
    return messages.TakenBack(
        actor=found.actor,
        reason=found.reason,
        time=timestamp(found.at),
        state=_revocation_state(found.state if told else None),
    )


def _revocation_state(state: RevocationState | None) -> "messages.RevocationState.ValueType":
    if state is None:
        return messages.REVOCATION_STATE_UNSPECIFIED
    return messages.RevocationState.Value(f"REVOCATION_STATE_{state.name}")


def _timeline(view: DeliveryView) -> list[messages.Step]:
    steps = [step_to_message(step) for step in view.timeline]
    if view.arrived_at is None:
        return steps
    arrival = messages.Step(
        kind=messages.STEP_KIND_ARRIVED,
        state=messages.DOCUMENT_STATE_RECEIVED,
        actor=view.recipient,
        time=timestamp(view.arrived_at),
        edxml_code=_ARRIVED_CODE,
    )
    return [arrival, *steps]


def _document(
    view: DocumentView, *, arrival_number: int = 0, duplicate_of: Sequence[bytes] = ()
) -> messages.Document:
    return messages.Document(
        document_id=view.document_id,
        sender=view.sender,
        urgency=messages.Urgency.Value(f"URGENCY_{view.urgency.name}"),
        operation=messages.Operation.Value(f"OPERATION_{view.operation.name}"),
        parts=[
            messages.Part(
                index=part.index,
                name=part.name,
                media_type=content_type(part),
                size=part.size,
                sha256=bytes.fromhex(part.sha256),
                encrypted=is_encrypted(part),
            )
            for part in view.parts[1:]
        ],
        arrival_number=arrival_number,
        signatures=signatures_to_message(view.signatures),
        duplicate_of=duplicate_of,
        **view.listing,
    )


def _filters(message: messages.DocumentFilter, directory: "Directory") -> Filters:
    number, notation = number_spellings(_without_nul(message.number))
    return Filters(
        words=search_words(message.text),
        others=spellings(message.other_agency, directory),
        document_types=checked_types([_without_nul(each) for each in message.document_types]),
        urgency=_choice(messages.Urgency, Urgency, message.urgency),
        since=_bound(message.since) if message.HasField("since") else None,
        until=_bound(message.until) if message.HasField("until") else None,
        due_before=checked_day(message.due_before),
        number=number,
        notation=notation,
    )


def _without_nul(text: str) -> str:
    return text.replace("\x00", "")  # no document has one, and PostgreSQL takes none


def _bound(message: Timestamp) -> datetime:
    try:
        return moment_from(message)
    except (ValueError, OverflowError) as error:
        raise RequestInvalidError("A time to look from or up to is no moment.") from error


def _lifetime(message: messages.SubmitHeader) -> timedelta | None:
    if not message.HasField("lifetime"):
        return None
    seconds = message.lifetime.seconds
    if not 0 < seconds <= timedelta(days=365).total_seconds():
        raise RequestInvalidError(f"A lifetime of {seconds} seconds is out of range.")
    return timedelta(seconds=seconds)


def _secrecy(number: "messages.Secrecy.ValueType") -> Secrecy:
    """What was declared; a value from a newer program is not taken for none."""
    if number == messages.SECRECY_UNSPECIFIED:
        return Secrecy.NONE
    found = _choice(messages.Secrecy, Secrecy, number)
    if found is None:
        raise RequestInvalidError(f"The secrecy {number} is not known here.")
    return found


def _send_time(message: messages.SubmitHeader) -> datetime | None:
    if not message.HasField("send_time"):
        return None
    try:
        return moment_from(message.send_time)
    except (ValueError, OverflowError) as error:
        raise RequestInvalidError("The time to send is no moment.") from error


def _choice(kind: EnumOfMessages, choices: type[Choice], number: int) -> Choice | None:
    """The own value of a number of a message's enum; None when it is not said or unknown."""
    if not number or number not in kind.values():
        return None
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    return choices[kind.Name(number).removeprefix(prefix)]
