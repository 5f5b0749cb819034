"""What is late and waits for somebody: documents on their way out and documents that came in.

A deadline never ends sooner for what began later. So all that is late began before one moment,
which is found from the rules alone; the database then needs an index on beginnings, and nothing
else is looked at (``late_cuts``). What it finds is judged one by one (``late_item``).

A few documents name the time at which they must be in the recipient's hands (``deliver_by``, hỏa
tốc hẹn giờ). For their delivery this time holds instead of the limit in the settings. For the
clerk's first step, here and there, it holds beside the limits: whichever ends first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from edoccore.signing.statements import Urgency
from edocnode.domain.dead_letters import what_to_do
from edocnode.domain.deadlines import DeadlineKind, DeadlineRules, latest_over
from edocnode.domain.model import DeliveryState, DocumentId, Lane, MessageId

COUNTED = 10_000  # more are not counted
UPDATE_PENDING = "update pending"  # state of a newer version that a clerk has not answered
REVOCATION_PENDING = "revocation pending"  # of one that is to be destroyed, if the clerk agrees


class LateKind(StrEnum):
    """Who is late with what."""

    UNDELIVERED = "undelivered"  # sent from here, not at the recipient's node
    UNANSWERED = "unanswered"  # delivered, but nobody there has accepted or refused it
    UNDECIDED = "undecided"  # received, but nobody here has accepted or refused it; also updates
    OVERDUE = "overdue"  # received, not finished on its due date


OUTGOING = (LateKind.UNDELIVERED, LateKind.UNANSWERED)
INCOMING = (LateKind.UNDECIDED, LateKind.OVERDUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCuts:
    """What began until these moments, by lane, is late; and the latest due date that is over.

    Attributes:
        now: What was to be there before it is late, whenever it began.
    """

    undelivered: Mapping[Lane, datetime]
    unanswered: Mapping[Lane, datetime]
    undecided: Mapping[Lane, datetime]
    overdue: date
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRequest:
    """What is asked for.

    Attributes:
        agency: Own agency: sender of what went out, recipient of what came in; empty: any.
        limit: At most this many of each kind, the oldest.
    """

    kinds: Sequence[LateKind] = tuple(LateKind)
    agency: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRow:
    """A late document as it is stored.

    Attributes:
        place: Row of the delivery, or position in the inbox; grows.
        agency: Own agency.
        peer: The other one.
        since: When it was sealed (handed in, while it is not), delivered, or received; for what an
            update changed before anybody accepted it, when the update was received.
        due_date: ISO; empty when the document has none.
        deliver_by: When its sender wants it in the recipient's hands; None: at no given time.
        state: A ``DeliveryState`` of what went out, a ``DocumentState`` of what came in, or
            ``UPDATE_PENDING`` or ``REVOCATION_PENDING``.
        reason: Why it is not delivered; empty otherwise.
    """

    kind: LateKind
    place: int
    message_id: MessageId
    document_id: DocumentId
    agency: str
    peer: str
    lane: Lane
    since: datetime
    subject: str
    number: str
    notation: str
    due_date: str
    state: str
    reason: str
    deliver_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LateItem:
    """A late document, judged.

    Attributes:
        deadline: The one that is over; of several the last.
        advice: What a person can do: a clause without capital letter and full stop.
    """

    row: LateRow
    deadline: DeadlineKind
    due: datetime
    late_by: timedelta
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateReport:
    """What is late, judged, and how many there are of each kind (see ``LateStore``)."""

    items: tuple[LateItem, ...]
    counts: Mapping[LateKind, int]


class LateLook(Protocol):
    """Tells what is late now."""

    async def late(self, wanted: LateRequest) -> LateReport:
        """What is late, the oldest of each kind first, and how many there are."""

    async def counts(self) -> Mapping[LateKind, int]:
        """How many documents are late, by kind."""


class LateStore(Protocol):
    """Where late documents are found; each method is one transaction."""

    async def late(self, cuts: LateCuts, wanted: LateRequest) -> Sequence[LateRow]:
        """The oldest of each kind, by kind and age."""

    async def late_counts(self, cuts: LateCuts, agency: str) -> Mapping[LateKind, int]:
        """How many there are of each kind, at most ``COUNTED`` + 1, which means more."""


def urgency_of(lane: Lane) -> Urgency:
    """The urgency that travels in a lane."""
    return Urgency[lane.name]


def late_cuts(rules: DeadlineRules, now: datetime) -> LateCuts:
    """Until when what is late now began."""
    return LateCuts(
        undelivered={lane: _undelivered_cut(rules, lane, now) for lane in Lane},
        unanswered={lane: _undecided_cut(rules, lane, now) for lane in Lane},
        undecided={lane: _undecided_cut(rules, lane, now) for lane in Lane},
        overdue=rules.overdue_on(now),
        now=now,
    )


def late_item(row: LateRow, rules: DeadlineRules, now: datetime) -> LateItem | None:
    """Judges a row; None when it is not late after all."""
    over = [(kind, due) for kind, due in _deadlines(row, rules) if due < now]
    if not over:
        return None
    deadline, due = over[-1]
    return LateItem(row=row, deadline=deadline, due=due, late_by=now - due, advice=_advice(row))


def _undelivered_cut(rules: DeadlineRules, lane: Lane, now: datetime) -> datetime:
    return latest_over(lambda began: rules.deliver_by(began, urgency_of(lane)), now)


def _undecided_cut(rules: DeadlineRules, lane: Lane, now: datetime) -> datetime:
    """Of acknowledging and accepting, whichever ends first."""
    urgency = urgency_of(lane)
    return max(
        latest_over(lambda began: rules.acknowledge_by(began, urgency), now),
        latest_over(lambda began: rules.accept_by(began, urgency), now),
    )


def _deadlines(row: LateRow, rules: DeadlineRules) -> list[tuple[DeadlineKind, datetime]]:
    """The deadlines of a row, the earliest first."""
    urgency = urgency_of(row.lane)
    if row.kind is LateKind.UNDELIVERED:
        due = row.deliver_by or rules.deliver_by(row.since, urgency)
        return [(DeadlineKind.DELIVER, due)]
    if row.kind is LateKind.OVERDUE:
        return [(DeadlineKind.FINISH, rules.finish_by(date.fromisoformat(row.due_date)))]
    ends = [
        (DeadlineKind.ACKNOWLEDGE, rules.acknowledge_by(row.since, urgency)),
        (DeadlineKind.ACCEPT, rules.accept_by(row.since, urgency)),
    ]
    ends += [(DeadlineKind.DELIVER, row.deliver_by)] if row.deliver_by is not None else []
    return sorted(ends, key=lambda end: end[1])


def _advice(row: LateRow) -> str:
    if row.kind is LateKind.UNANSWERED:
        return f"ask the clerk of {row.peer} by telephone; it has been there since it was delivered"
    if row.state == UPDATE_PENDING:
        return "compare the new version and answer it: edocnode agree ID, edocnode decline ID"
    if row.state == REVOCATION_PENDING:
        return "its sender takes it back, answer that: edocnode agree ID, edocnode decline ID"
    if row.kind is LateKind.UNDECIDED:
        return "check it and take it in or give it back: edocnode accept ID, edocnode reject ID"
    if row.kind is LateKind.OVERDUE:
        if row.state == "received":
            return "take it in, or give it back, and tell its sender by when it will be done"
        return "finish it, or agree on a later day with its sender"
    state = DeliveryState(row.state)
    if state is DeliveryState.HELD:
        return what_to_do(state, row.reason)
    return f"see whether its node answers: edocnode ping {row.peer}; if not, telephone its operator"
