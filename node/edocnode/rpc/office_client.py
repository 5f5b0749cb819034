"""Calls a running node from a program on the same machine: office/v1 over its socket.

Synchronous, for command lines. Answers are plain values as ``--json`` prints them (times in Viet
Nam's zone), so that no message leaves this module.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import grpc

from edoccore.errors import NodeNotRunningError, PartDigestError
from edoccore.signing.statements import Operation, Urgency, uuid_text
from edoccore.wire.status import raise_for
from edockit.grpc_client import unix_channel_sync
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.rpc.client_values import CALL_TIMEOUT_S, Json, node_errors
from edocnode.rpc.introducing import NOBODY, Introduction, introduced
from edocnode.rpc.number_client import NumberCalls
from edocnode.rpc.office_json import (
    delivery_json,
    event_json,
    kept_json,
    number_of,
    received_json,
    sent_json,
    step_json,
)
from edocnode.rpc.office_messages import optional_timestamp

INBOX_SCHEMA = "edoc.inbox/v1"
OUTBOX_SCHEMA = "edoc.outbox/v1"
SHOW_SCHEMA = "edoc.show/v1"
RETRY_SCHEMA = "edoc.retry/v1"
REVOCATION_SCHEMA = "edoc.revocation/v1"
DECISION_SCHEMA = "edoc.decision/v1"
RECHECK_SCHEMA = "edoc.recheck/v1"
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
        operation: NEW; UPDATE or REPLACE of the document ``earlier``.
        encrypt: The node encrypts the files to the recipients' nodes.
    """

    request_id: str
    sender: str
    recipients: tuple[str, ...]
    urgency: Urgency
    fields: bytes
    files: tuple[tuple[str, int], ...]
    send_at: datetime | None = None
    number_here: bool = False
    operation: Operation = Operation.NEW
    earlier: str = ""
    encrypt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What documents of a list must be; see ``DocumentFilter`` of the schema."""

    text: str = ""
    other_agency: str = ""
    document_types: tuple[str, ...] = ()
    urgency: Urgency | None = None
    since: datetime | None = None
    until: datetime | None = None
    due_before: str = ""
    number: str = ""


ANY = Wanted()


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
        return kept_json(answer), answer.position

    def inbox(
        self, *, agency: str, state: str, limit: int, after: str, wanted: Wanted = ANY
    ) -> Json:
        """A page of the inbox, ``edoc.inbox/v1``.

        Raises:
            RequestInvalidError: There is no such state, or the cursor is none.
            EdocError: As the node says.
        """
        request = messages.ListInboxRequest(
            agency=agency,
            state=number_of(messages.DocumentState, "DOCUMENT_STATE", state),
            limit=limit,
            after=after,
            filter=_filter(wanted),
        )
        with node_errors():
            answer = self.stub.ListInbox(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": INBOX_SCHEMA,
            "documents": [received_json(item) for item in answer.documents],
            "next": answer.next,
        }

    def outbox(
        self, *, agency: str, state: str, limit: int, after: str, wanted: Wanted = ANY
    ) -> Json:
        """A page of the outbox, ``edoc.outbox/v1``.

        Raises:
            RequestInvalidError: There is no such state, or the cursor is none.
            EdocError: As the node says.
        """
        request = messages.ListOutboxRequest(
            agency=agency,
            state=number_of(messages.DeliveryState, "DELIVERY_STATE", state),
            limit=limit,
            after=after,
            filter=_filter(wanted),
        )
        with node_errors():
            answer = self.stub.ListOutbox(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": OUTBOX_SCHEMA,
            "documents": [sent_json(item) for item in answer.documents],
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
        wanted = number_of(messages.DeliveryState, "DELIVERY_STATE", state)
        found: list[Json] = []
        after = ""
        while True:
            request = messages.ListDeliveriesRequest(
                id=text, state=wanted, limit=min(limit - len(found), PAGE), after=after
            )
            with node_errors():
                answer = self.stub.ListDeliveries(request, timeout=CALL_TIMEOUT_S)
            found += map(delivery_json, answer.deliveries)
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
                {**received_json(item), "steps": [step_json(step) for step in item.steps]}
                for item in answer.received
            ],
            "sent": sent_json(answer.sent) if answer.HasField("sent") else None,
            "updates": [sent_json(item) for item in answer.updates],
            "history": [event_json(item) for item in answer.history],
        }

    def part(self, text: str, index: int, *, encrypted: bool = False) -> Iterator[bytes]:
        """The bytes of a part; 0 is the record.

        Args:
            encrypted: It is kept encrypted; its content comes, which is good only at the end.

        Raises:
            PartDigestError: The content did not come whole.
            EdocError: As the node says; also while iterating.
        """
        digest, told = sha256(), b""
        with node_errors():
            for answer in self.stub.GetPart(messages.GetPartRequest(id=text, index=index)):
                digest.update(answer.chunk)
                told = answer.sha256
                yield answer.chunk
        if encrypted and told != digest.digest():
            raise PartDigestError(
                f"Part {index} of document {text} is encrypted; its content did not come whole.",
                hint="Nothing of it is to be trusted; run it again, then tell the operator.",
            )

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

    def agree(self, text: str, actor: str) -> Json:
        """Destroys a document that its sender took back, ``edoc.decision/v1``.

        Raises:
            DocumentUnknownError: Nobody took it back.
        """
        return self._decide(messages.DecideRequest(id=text, actor=actor, agree=messages.Agree()))

    def decline(self, text: str, actor: str, *, code: str, reason: str) -> Json:
        """Keeps a document that its sender took back, ``edoc.decision/v1``.

        Raises:
            DocumentUnknownError: Nobody took it back.
            DecisionConflictError: It was destroyed already.
            RequestInvalidError: The code is none of the list, or the reason is too short.
        """
        declined = messages.Decline(code=code, reason=reason)
        return self._decide(messages.DecideRequest(id=text, actor=actor, decline=declined))

    def revoke(self, text: str, recipients: Sequence[str], *, actor: str, reason: str) -> Json:
        """Takes a sent document back, ``edoc.revocation/v1``.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
            DecisionConflictError: It was taken back for another reason.
        """
        request = messages.RevokeRequest(id=text, recipients=recipients, actor=actor, reason=reason)
        with node_errors():
            answer = self.stub.Revoke(request, timeout=RETRY_TIMEOUT_S)
        return {
            "schema": REVOCATION_SCHEMA,
            "document_id": uuid_text(answer.document_id),
            "taken_back": answer.taken_back,
            "not_reached": list(answer.not_reached),
            "repeated": answer.repeated_request,
        }

    def retry(
        self, text: str, recipient: str, *, all_of: str, actor: str, instead: str = ""
    ) -> Json:
        """Queues held deliveries again, ``edoc.retry/v1``.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
            DecisionConflictError: The delivery has ended.
            AgencyEndedError: Its recipient has ended, and nobody chose who gets it instead.
            EnvelopeExpiredError, StorageDamagedError: It cannot be offered any more.
        """
        request = messages.RetryRequest(
            id=text, recipient=recipient, all_of=all_of, actor=actor, instead=instead
        )
        with node_errors():
            answer = self.stub.Retry(request, timeout=RETRY_TIMEOUT_S)
        return {"schema": RETRY_SCHEMA, "queued": answer.queued, "left": answer.left}

    def recheck(self, text: str, *, every: bool) -> Json:
        """Lets signatures be checked again, ``edoc.recheck/v1``.

        Raises:
            DocumentUnknownError, IdAmbiguousError: The id names none or several.
        """
        request = messages.CheckSignaturesRequest(id=text, all=every)
        with node_errors():
            answer = self.stub.CheckSignatures(request, timeout=RETRY_TIMEOUT_S)
        return {"schema": RECHECK_SCHEMA, "checks": answer.checks}

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
        shown = received_json(answer.document)
        return {
            "schema": DECISION_SCHEMA,
            **{name: shown[name] for name in _DECIDED},
            "repeated": answer.repeated_request,
        }


@contextlib.contextmanager
def open_office(socket: Path, who: Introduction = NOBODY) -> Iterator[OfficeClient]:
    """Opens the office's side of the node at a socket, for a block."""
    with unix_channel_sync(socket) as channel:
        yield OfficeClient(introduced(channel, who))


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
        operation=messages.Operation.Value(f"OPERATION_{outgoing.operation.name}"),
        earlier=outgoing.earlier,
        encrypt=outgoing.encrypt,
    )
    yield messages.SubmitRequest(header=header)
    for start in range(0, len(outgoing.fields), CHUNK_BYTES):
        yield messages.SubmitRequest(chunk=outgoing.fields[start : start + CHUNK_BYTES])
    for chunk in content:
        yield messages.SubmitRequest(chunk=chunk)


def _filter(wanted: Wanted) -> messages.DocumentFilter:
    urgency = "UNSPECIFIED" if wanted.urgency is None else wanted.urgency.name
    return messages.DocumentFilter(
        text=wanted.text,
        other_agency=wanted.other_agency,
        document_types=wanted.document_types,
        urgency=messages.Urgency.Value(f"URGENCY_{urgency}"),
        since=optional_timestamp(wanted.since),
        until=optional_timestamp(wanted.until),
        due_before=wanted.due_before,
        number=wanted.number,
    )


def _id_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
