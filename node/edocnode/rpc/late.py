"""Messages of what is late, from the node's own types and, for command lines, to plain values."""

from collections.abc import Mapping

from edoccore.signing.statements import uuid_text
from edockit.console import local_time
from edocnet.admin.v1 import admin_service_pb2 as admin_messages
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.late import LateItem, LateKind, LateReport, LateRequest, urgency_of
from edocnode.rpc.client_values import Json, node_errors
from edocnode.rpc.office_client import OfficeClient
from edocnode.rpc.office_messages import fitting, limit_from, moment_from, timestamp

LATE_SCHEMA = "edoc.late/v1"
CALL_TIMEOUT_S = 30.0


def late_request(message: messages.ListLateRequest) -> LateRequest:
    """What is asked for."""
    kinds = tuple(kind for kind in LateKind if _kind(kind) in message.kinds)
    return LateRequest(
        kinds=kinds or tuple(LateKind), agency=message.agency, limit=limit_from(message.limit)
    )


def late_response(report: LateReport) -> messages.ListLateResponse:
    """What is late."""
    shown, _ = fitting([(_document(item), place) for place, item in enumerate(report.items)], "")
    return messages.ListLateResponse(
        documents=shown,
        counts=[
            messages.LateCount(kind=_kind(kind), count=count)
            for kind, count in report.counts.items()
        ],
    )


def late_counts(counts: Mapping[LateKind, int]) -> admin_messages.LateCounts:
    """How many documents are late, for ``status``."""
    return admin_messages.LateCounts(**{kind.value: count for kind, count in counts.items()})


def list_late(office: OfficeClient, *, agency: str, kinds: list[LateKind], limit: int) -> Json:
    """Asks a node what is late, ``edoc.late/v1``.

    Raises:
        EdocError: As the node says.
    """
    request = messages.ListLateRequest(agency=agency, kinds=map(_kind, kinds), limit=limit)
    with node_errors():
        answer = office.stub.ListLate(request, timeout=CALL_TIMEOUT_S)
    return {
        "schema": LATE_SCHEMA,
        "documents": [_plain(item) for item in answer.documents],
        "counts": {_kind_name(count.kind): count.count for count in answer.counts},
    }


def _kind(kind: LateKind) -> "messages.LateKind.ValueType":
    return messages.LateKind.Value(f"LATE_KIND_{kind.name}")


def _kind_name(number: "messages.LateKind.ValueType") -> str:
    return messages.LateKind.Name(number).removeprefix("LATE_KIND_").lower()


def _document(item: LateItem) -> messages.LateDocument:
    row = item.row
    return messages.LateDocument(
        kind=_kind(row.kind),
        document_id=row.document_id,
        message_id=row.message_id,
        agency=row.agency,
        peer=row.peer,
        urgency=messages.Urgency.Value(f"URGENCY_{urgency_of(row.lane).name}"),
        subject=row.subject,
        number=row.number,
        notation=row.notation,
        due_date=row.due_date,
        since=timestamp(row.since),
        deadline=messages.Deadline.Value(f"DEADLINE_{item.deadline.name}"),
        due_time=timestamp(item.due),
        state=row.state,
        reason=row.reason,
        advice=item.advice,
    )


def _plain(item: messages.LateDocument) -> Json:
    return {
        "kind": _kind_name(item.kind),
        "document_id": uuid_text(item.document_id),
        "message_id": uuid_text(item.message_id),
        "agency": item.agency,
        "peer": item.peer,
        "urgency": messages.Urgency.Name(item.urgency).removeprefix("URGENCY_").lower(),
        "subject": item.subject,
        "number": item.number,
        "notation": item.notation,
        "due_date": item.due_date,
        "since": local_time(moment_from(item.since)),
        "deadline": messages.Deadline.Name(item.deadline).removeprefix("DEADLINE_").lower(),
        "due_at": local_time(moment_from(item.due_time)),
        "state": item.state,
        "reason": item.reason,
        "advice": item.advice,
    }
