"""Messages of office/v1 as ``--json`` prints them, times in Viet Nam's zone."""

from typing import Any

from edoccore.errors import RequestInvalidError
from edoccore.signing.statements import uuid_text
from edockit.console import local_time
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.rpc.client_values import Json, enum_name
from edocnode.rpc.office_messages import moment_from
from edocnode.rpc.signature_client import signatures_json

SEND_SCHEMA = "edoc.send/v1"


def kept_json(answer: messages.SubmitResponse) -> Json:
    """What was kept for a submission, ``edoc.send/v1``."""
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


def received_json(item: messages.InboxDocument) -> Json:
    """A received document."""
    return {
        "document_id": uuid_text(item.document.document_id),
        "message_id": uuid_text(item.message_id),
        "sender": item.document.sender,
        "recipient": item.recipient,
        **_listing(item.document),
        "arrival_number": item.document.arrival_number or None,
        "duplicate_of": [uuid_text(each) for each in item.document.duplicate_of],
        "received_at": local_time(moment_from(item.receive_time)),
        "state": enum_name(messages.DocumentState, "DOCUMENT_STATE", item.state),
        "assignee": item.assignee,
        "last_step": step_json(item.last_step) if item.HasField("last_step") else None,
        "taken_back": _taken_back(item),
        "operation": enum_name(messages.Operation, "OPERATION", item.document.operation),
        "versions": [_version(version) for version in item.versions],
        "links": [_link(link) for link in item.links],
        "parts": _parts(item.document),
    }


def sent_json(item: messages.OutboxDocument) -> Json:
    """A document handed in here."""
    return {
        "document_id": uuid_text(item.document.document_id),
        "sender": item.document.sender,
        **_listing(item.document),
        "created_at": local_time(moment_from(item.create_time)),
        "expires_at": local_time(moment_from(item.expire_time)),
        "send_at": _optional_time(item, "send_time"),
        "taken_back": _taken_back(item),
        "operation": enum_name(messages.Operation, "OPERATION", item.document.operation),
        "links": [_link(link) for link in item.links],
        "counts": {_delivery_state(count.state): count.count for count in item.counts},
        "deliveries": [delivery_json(delivery) for delivery in item.deliveries],
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
        **signatures_json(document.signatures),
    }


def _parts(document: messages.Document) -> list[Json]:
    return [
        {
            "index": part.index,
            "name": part.name,
            "media_type": part.media_type,
            "size_bytes": part.size,
            "sha256": part.sha256.hex(),
            "encrypted": part.encrypted,
        }
        for part in document.parts
    ]


def delivery_json(item: messages.Delivery) -> Json:
    """A document on its way to one recipient."""
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
        "timeline": [step_json(step) for step in item.timeline],
        "revocation": _revocation_state(item.revocation),
        "revocation_at": _optional_time(item, "revocation_time"),
        "still_held": list(item.still_held),
        "decline_reason": item.decline_reason,
        "copies": [_copy(copy) for copy in item.copies],
    }


def _copy(item: messages.DocumentCopy) -> Json:
    return {
        "node": item.node,
        "state": enum_name(messages.CopyState, "COPY_STATE", item.state),
        "at": local_time(moment_from(item.time)),
        "reason": item.reason,
    }


def _version(item: messages.Version) -> Json:
    return {
        "message_id": uuid_text(item.message_id),
        "received_at": local_time(moment_from(item.receive_time)),
        "reason": item.reason,
        "state": enum_name(messages.VersionState, "VERSION_STATE", item.state),
    }


def _link(item: messages.Link) -> Json:
    kind = enum_name(messages.LinkKind, "LINK_KIND", item.kind)
    return {"kind": kind, "document_id": uuid_text(item.document_id)}


def _taken_back(item: messages.InboxDocument | messages.OutboxDocument) -> Json | None:
    if not item.HasField("taken_back"):
        return None
    found = item.taken_back
    return {
        "actor": found.actor,
        "reason": found.reason,
        "time": local_time(moment_from(found.time)),
        "state": _revocation_state(found.state),
    }


def _revocation_state(number: int) -> str:
    if not number:
        return ""
    return enum_name(messages.RevocationState, "REVOCATION_STATE", number)


def step_json(item: messages.Step) -> Json:
    """A step of a document at its recipient."""
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


def event_json(item: messages.Event) -> Json:
    """Something that happened."""
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


def _delivery_state(number: int) -> str:
    return enum_name(messages.DeliveryState, "DELIVERY_STATE", number)


def number_of(kind: Any, prefix: str, name: str) -> Any:  # noqa: ANN401 - as _name
    """The number of a name of an enum; 0 when it is empty.

    Raises:
        RequestInvalidError: There is no such name.
    """
    if not name:
        return 0
    key = f"{prefix}_{name.upper()}"
    if key not in kind.keys() or name == "unspecified":  # noqa: SIM118 - not a dict
        known = [item.removeprefix(f"{prefix}_").lower() for item in kind.keys()[1:]]
        raise RequestInvalidError(
            f"There is no state {name[:40]!r}.", hint=f"Use one of: {', '.join(known)}."
        )
    return kind.Value(key)
