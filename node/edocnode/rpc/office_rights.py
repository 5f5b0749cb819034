"""Which right each call of office/v1 needs on the office's socket, and how it is written down.

A call that is not in this table is refused there: whoever adds one decides here who may make it,
and a test compares the table with the schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from edocnode.domain.access import Right
from edocnode.domain.access_log import Access


@dataclass(frozen=True, slots=True)
class CallRule:
    """What a call needs.

    Attributes:
        action: What is written down of it.
        agency_field: Field of the request with the agency in whose name it acts, with dots for
            fields of fields; empty: it has none, or what it acts on was found among what the
            account sees.
    """

    right: Right
    action: Access
    agency_field: str = ""


def right_of(rule: CallRule, request: Message) -> Right:
    """The right that a request needs; to begin and to finish with a document needs less."""
    if rule.action is not Access.DECIDED:
        return rule.right
    step = request.WhichOneof("decision")
    return Right.PROCESS if step in ("process", "finish") else rule.right


CALLS: Mapping[str, CallRule] = {
    "Submit": CallRule(Right.SEND, Access.SUBMITTED),
    "SubmitMany": CallRule(Right.SEND, Access.SUBMITTED),
    "ListInbox": CallRule(Right.READ, Access.LISTED),
    "ListOutbox": CallRule(Right.READ, Access.LISTED),
    "ListDeliveries": CallRule(Right.READ, Access.SHOWN),
    "GetDocument": CallRule(Right.READ, Access.SHOWN),
    "GetPart": CallRule(Right.READ, Access.PART_READ),
    "Decide": CallRule(Right.DECIDE, Access.DECIDED),
    "Retry": CallRule(Right.SEND, Access.RETRIED),
    "Revoke": CallRule(Right.SEND, Access.REVOKED),
    "GetRegister": CallRule(Right.READ, Access.LISTED),
    "ReserveNumbers": CallRule(Right.SEND, Access.NUMBERED, "series.agency"),
    "ListNumbers": CallRule(Right.READ, Access.LISTED, "series.agency"),
    "VoidNumber": CallRule(Right.SEND, Access.NUMBERED, "series.agency"),
    "ListLate": CallRule(Right.READ, Access.LISTED),
    "FetchInbox": CallRule(Right.READ, Access.LISTED),
    "AcknowledgeInbox": CallRule(Right.READ, Access.LISTED),
    "Watch": CallRule(Right.READ, Access.WATCHED),
    "CheckSignatures": CallRule(Right.DECIDE, Access.CHECKED),
    "GetStatistics": CallRule(Right.STATISTICS, Access.COUNTED, "agency"),
}
