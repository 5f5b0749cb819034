"""Calls a running node from a program on the same machine: office/v1 over its socket.

Synchronous, for command lines. Answers are plain values as ``--json`` prints them (times in Viet
Nam's zone), so that no message leaves this module.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError, RequestInvalidError
from edoccore.signing.statements import Urgency, uuid_text
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.rpc.client_values import CALL_TIMEOUT_S, Json, enum_name, node_errors
from edocnode.rpc.number_client import NumberCalls
from edocnode.rpc.office_messages import moment_from, optional_timestamp

SEND_SCHEMA = "edoc.send/v1"
INBOX_SCHEMA = "edoc.inbox/v1"
OUTBOX_SCHEMA = "edoc.outbox/v1"
SHOW_SCHEMA = "edoc.show/v1"
RETRY_SCHEMA = "edoc.retry/v1"
DECISION_SCHEMA = "edoc.decision/v1"
RETRY_TIMEOUT_S = 600.0  # of all that is held for an agency
CHUNK_BYTES = 960 * 1024
PAGE = 1000  # deliveries asked for at once
MOST = 5000  # deliveries of one document

_DECIDED = (
    *("document_id", "message_id", "sender", "recipient", "subject", "state"),
    *("assignee", "last_step"),
)  # what the answer to a decision tells of the document


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What a command line sends.

    Attributes:
        fields: Of the record, JSON.
        files: Name and size of each, in order; their bytes come separately.
        send_at: Not sent before this moment; None: at once.
        number_here: The node numbers it.
    """

    request_id: str
    sender: str
    recipients: tuple[str, ...]
    urgency: Urgency
    fields: bytes
    files: tuple[tuple[str, int], ...]
    send_at: datetime | None = None
    number_here: bool = False


class OfficeClient(NumberCalls):
    """The office's calls to one node."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_office`` makes one."""
        super().__init__(services.OfficeServiceStub(channel))

    def submit(self, outgoing: Outgoing, content: Iterable[bytes]) -> tuple[Json, int]:
        """Hands a document in.

        Args:
            content: Bytes of all files in order, in chunks of at most 960 KiB.

        Returns:
            ``edoc.send/v1``, and the position to watch from.

        Raises:
            EdocError: As the node says.
        """
        with node_errors():
            answer = self.stub.Submit(_requests(outgoing, content))
        return _kept(answer), answer.position

    def inbox(self, *, agency: str, state: str, limit: int, after: str) -> Json:
        """A page of the inbox, ``edoc.inbox/v1``.

        Raises:
            RequestInvalidError: There is no such state, or the cursor is none.
            EdocError: As the node says.
        """
        request = messages.ListInboxRequest(
            agency=agency,
            state=_number(messages.DocumentState, "DOCUMENT_STATE", state),
            limit=limit,
            after=after,
        )
        with node_errors():
            answer = self.stub.ListInbox(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": INBOX_SCHEMA,
            "documents": [_received(item) for item in answer.documents],
            "next": answer.next,
        }

    def outbox(self, *, agency: str, state: str, limit: int, after: str) -> Json:
        """A page of the outbox, ``edoc.outbox/v1``.

        Raises:
            RequestInvalidError: There is no such state, or the cursor is none.
            EdocError: As the node says.
        """
        request = messages.ListOutboxRequest(
            agency=agency,
            state=_number(messages.DeliveryState, "DELIVERY_STATE", state),
            limit=limit,
            after=after,
        )
        with node_errors():
            answer = self.stub.ListOutbox(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": OUTBOX_SCHEMA,
            "documents": [_sent(item) for item in answer.documents],
            "next": answer.next,
        }

    def deliveries(self, text: str, *, state: str = "", limit: int = MOST) -> Json:
        """Deliveries of a document sent from here: ``document_id`` and ``deliveries``.

        Args:
            text: Id of the document or of one of its messages.
            state: Only in this state; empty: all.
            limit: At most this many.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names no sent document, or several.
            RequestInvalidError: There is no such state.
        """
        wanted = _number(messages.DeliveryState, "DELIVERY_STATE", state)
        found: list[Json] = []
        after = ""
        while True:
            request = messages.ListDeliveriesRequest(
                id=text, state=wanted, limit=min(limit - len(found), PAGE), after=after
            )
            with node_errors():
                answer = self.stub.ListDeliveries(request, timeout=CALL_TIMEOUT_S)
            found += map(_delivery, answer.deliveries)
            after = answer.next
            if not after or len(found) >= limit:
                return {"document_id": uuid_text(answer.document_id), "deliveries": found}

    def document(self, text: str) -> Json:
        """All that is known of a document, ``edoc.show/v1``; of many deliveries some.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
        """
        with node_errors():
            request = messages.GetDocumentRequest(id=text)
            answer = self.stub.GetDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": SHOW_SCHEMA,
            "received": [
                {**_received(item), "steps": [_step(step) for step in item.steps]}
                for item in answer.received
            ],
            "sent": _sent(answer.sent) if answer.HasField("sent") else None,
            "history": [_event(item) for item in answer.history],
        }

    def part(self, text: str, index: int) -> Iterator[bytes]:
        """The bytes of a part; 0 is the record.

        Raises:
            EdocError: As the node says; also while iterating.
        """
        with node_errors():
            for answer in self.stub.GetPart(messages.GetPartRequest(id=text, index=index)):
                yield answer.chunk

    def accept(self, text: str, actor: str) -> Json:
        """Takes a received document in, ``edoc.decision/v1``.

        Raises:
            DecisionConflictError: It was rejected before.
        """
        return self._decide(messages.DecideRequest(id=text, actor=actor, accept=messages.Accept()))

    def assign(self, text: str, actor: str, *, assignee: str) -> Json:
        """Gives a received document to a unit or person, ``edoc.decision/v1``.

        Raises:
            DecisionConflictError: It was not accepted, or has been finished.
        """
        given = messages.Assign(assignee=assignee)
        return self._decide(messages.DecideRequest(id=text, actor=actor, assign=given))

    def process(self, text: str, actor: str) -> Json:
        """Begins to deal with a received document, ``edoc.decision/v1``.

        Raises:
            DecisionConflictError: It was not accepted.
        """
        begun = messages.Process()
        return self._decide(messages.DecideRequest(id=text, actor=actor, process=begun))

    def finish(self, text: str, actor: str) -> Json:
        """Ends dealing with a received document, ``edoc.decision/v1``.

        Raises:
            DecisionConflictError: It was not accepted.
        """
        return self._decide(messages.DecideRequest(id=text, actor=actor, finish=messages.Finish()))

    def reject(self, text: str, actor: str, *, code: str, reason: str) -> Json:
        """Gives a received document back, ``edoc.decision/v1``.

        Raises:
            DecisionConflictError: Another decision was taken before.
            RequestInvalidError: The code is none of the list, or the reason is too short.
        """
        rejection = messages.Reject(code=code, reason=reason)
        return self._decide(messages.DecideRequest(id=text, actor=actor, reject=rejection))

    def retry(self, text: str, recipient: str, *, all_of: str, actor: str) -> Json:
        """Queues held deliveries again, ``edoc.retry/v1``.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
            DecisionConflictError: The delivery has ended.
            EnvelopeExpiredError, StorageDamagedError: It cannot be offered any more.
        """
        request = messages.RetryRequest(id=text, recipient=recipient, all_of=all_of, actor=actor)
        with node_errors():
            answer = self.stub.Retry(request, timeout=RETRY_TIMEOUT_S)
        return {"schema": RETRY_SCHEMA, "queued": answer.queued, "left": answer.left}

    def changes(self, document_id: str, after: int, timeout_s: float) -> Iterator[tuple[str, str]]:
        """Deliveries of a document that reach another state, as it happens.

        Ends when the time is over.

        Yields:
            Message id and state.

        Raises:
            EdocError: As the node says.
        """
        request = messages.WatchRequest(after=after, document_id=_id_bytes(document_id))
        try:
            for answer in self.stub.Watch(request, timeout=timeout_s):
                yield from (
                    (uuid_text(event.message_id), event.state)
                    for event in answer.events
                    if event.kind == messages.EVENT_KIND_DELIVERY_CHANGED
                )
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise raise_for(error, unreachable=NodeNotRunningError) from error

    def _decide(self, request: messages.DecideRequest) -> Json:
        with node_errors():
            answer = self.stub.Decide(request, timeout=CALL_TIMEOUT_S)
        shown = _received(answer.document)
        return {
            "schema": DECISION_SCHEMA,
            **{name: shown[name] for name in _DECIDED},
            "repeated": answer.repeated_request,
        }


@contextlib.contextmanager
def open_office(socket: Path) -> Iterator[OfficeClient]:
    """Opens the office's side of the node at a socket, for a block."""
    with unix_channel_sync(socket) as channel:
        yield OfficeClient(channel)


def _requests(outgoing: Outgoing, content: Iterable[bytes]) -> Iterator[messages.SubmitRequest]:
    header = messages.SubmitHeader(
        request_id=outgoing.request_id,
        sender=outgoing.sender,
        recipients=outgoing.recipients,
        urgency=messages.Urgency.Value(f"URGENCY_{outgoing.urgency.name}"),
        record_size=len(outgoing.fields),
        parts=[messages.PartDeclaration(name=name, size=size) for name, size in outgoing.files],
        send_time=optional_timestamp(outgoing.send_at),
        number_here=outgoing.number_here,
    )
    yield messages.SubmitRequest(header=header)
    for start in range(0, len(outgoing.fields), CHUNK_BYTES):
        yield messages.SubmitRequest(chunk=outgoing.fields[start : start + CHUNK_BYTES])
    for chunk in content:
        yield messages.SubmitRequest(chunk=chunk)


def _kept(answer: messages.SubmitResponse) -> Json:
    deliveries = [
        {
            "recipient": item.recipient,
            "message_id": uuid_text(item.message_id),
            "state": _delivery_state(item.state),
        }
        for item in answer.deliveries
    ]
    document_id = uuid_text(answer.document_id)
    return {
        "schema": SEND_SCHEMA,
        "document_id": document_id,
        "number": answer.number,
        "deliveries": deliveries,
    }


def _received(item: messages.InboxDocument) -> Json:
    return {
        "document_id": uuid_text(item.document.document_id),
        "message_id": uuid_text(item.message_id),
        "sender": item.document.sender,
        "recipient": item.recipient,
        **_listing(item.document),
        "arrival_number": item.document.arrival_number or None,
        "received_at": local_time(moment_from(item.receive_time)),
        "state": _document_state(item.state),
        "assignee": item.assignee,
        "last_step": _step(item.last_step) if item.HasField("last_step") else None,
        "parts": _parts(item.document),
    }


def _sent(item: messages.OutboxDocument) -> Json:
    return {
        "document_id": uuid_text(item.document.document_id),
        "sender": item.document.sender,
        **_listing(item.document),
        "created_at": local_time(moment_from(item.create_time)),
        "expires_at": local_time(moment_from(item.expire_time)),
        "send_at": _optional_time(item, "send_time"),
        "counts": {_delivery_state(count.state): count.count for count in item.counts},
        "deliveries": [_delivery(delivery) for delivery in item.deliveries],
        "parts": _parts(item.document),
    }


def _listing(document: messages.Document) -> Json:
    return {
        "document_code": document.document_code,
        "number": document.number,
        "notation": document.notation,
        "type": document.document_type,
        "subject": document.subject,
        "urgency": enum_name(messages.Urgency, "URGENCY", document.urgency),
        "issued_date": document.issued_date,
        "due_date": document.due_date,
    }


def _parts(document: messages.Document) -> list[Json]:
    return [
        {
            "index": part.index,
            "name": part.name,
            "media_type": part.media_type,
            "size_bytes": part.size,
            "sha256": part.sha256.hex(),
        }
        for part in document.parts
    ]


def _delivery(item: messages.Delivery) -> Json:
    told = item.recipient_state
    return {
        "recipient": item.recipient,
        "message_id": uuid_text(item.message_id),
        "state": _delivery_state(item.state),
        "since": local_time(moment_from(item.state_time)),
        "attempts": item.attempts,
        "reason": item.reason,
        "message": item.message,
        "advice": item.advice,
        "next_attempt_at": _optional_time(item, "next_attempt_time"),
        "peer_down_since": _optional_time(item, "peer_down_time"),
        "recipient_state": enum_name(messages.DocumentState, "DOCUMENT_STATE", told)
        if told
        else "",
        "recipient_reason": item.recipient_reason,
        "assignee": item.assignee,
        "timeline": [_step(step) for step in item.timeline],
    }


def _step(item: messages.Step) -> Json:
    return {
        "order": item.order,
        "step": enum_name(messages.StepKind, "STEP_KIND", item.kind),
        "edxml_code": item.edxml_code,
        "state": enum_name(messages.DocumentState, "DOCUMENT_STATE", item.state),
        "actor": item.actor,
        "time": local_time(moment_from(item.time)),
        "assignee": item.assignee,
        "code": item.code,
        "reason": item.reason,
        "still_held": list(item.still_held),
    }


def _event(item: messages.Event) -> Json:
    return {
        "position": item.position,
        "kind": enum_name(messages.EventKind, "EVENT_KIND", item.kind),
        "message_id": uuid_text(item.message_id),
        "agency": item.agency,
        "state": item.state,
        "time": local_time(moment_from(item.time)),
    }


def _optional_time(item: messages.Delivery | messages.OutboxDocument, name: str) -> str | None:
    if not item.HasField(name):  # type: ignore[arg-type]  # generated stubs list literal names
        return None
    return local_time(moment_from(getattr(item, name)))


def _document_state(number: int) -> str:
    return enum_name(messages.DocumentState, "DOCUMENT_STATE", number)


def _delivery_state(number: int) -> str:
    return enum_name(messages.DeliveryState, "DELIVERY_STATE", number)


def _number(kind: Any, prefix: str, name: str) -> Any:  # noqa: ANN401 - as _name
    if not name:
        return 0
    key = f"{prefix}_{name.upper()}"
    if key not in kind.keys() or name == "unspecified":  # noqa: SIM118 - not a dict
        known = [item.removeprefix(f"{prefix}_").lower() for item in kind.keys()[1:]]
        raise RequestInvalidError(
            f"There is no state {name[:40]!r}.", hint=f"Use one of: {', '.join(known)}."
        )
    return kind.Value(key)


def _id_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
