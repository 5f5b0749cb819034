"""The way of one document through the office of one recipient, and what its sender knows of it.

A pure machine. The recipient takes steps, numbered 1, 2, ... for each document it received; each is
told to the sender under seal. The sender puts what it was told in order: statuses may arrive in any
order, twice, or not yet, and the highest number says where the document stands. So both sides
agree as soon as everything has arrived, whatever happened on the way.

Source: Decision 28/2018/QD-TTg, Articles 9 and 10(h); codes of edXML: 02 to 06, 15, 16.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from edoccore.signing.records import DocumentState, StatusStep

_TAKEN_IN = frozenset(
    {
        DocumentState.ACCEPTED,
        DocumentState.ASSIGNED,
        DocumentState.PROCESSING,
        DocumentState.FINISHED,
    }
)
_UNDER_WAY = _TAKEN_IN - {DocumentState.FINISHED}

LEADS_TO = {
    StatusStep.ACCEPTED: DocumentState.ACCEPTED,
    StatusStep.REJECTED: DocumentState.REJECTED,
    StatusStep.ASSIGNED: DocumentState.ASSIGNED,
    StatusStep.PROCESSING: DocumentState.PROCESSING,
    StatusStep.FINISHED: DocumentState.FINISHED,
}  # what a clerk decides; agreed and declined answer the sender and are not here
_FROM = {
    StatusStep.ACCEPTED: frozenset({DocumentState.RECEIVED}),
    StatusStep.REJECTED: frozenset({DocumentState.RECEIVED}),
    StatusStep.ASSIGNED: _UNDER_WAY,  # to somebody else, also while it is being dealt with
    StatusStep.PROCESSING: frozenset({DocumentState.ACCEPTED, DocumentState.ASSIGNED}),
    StatusStep.FINISHED: _UNDER_WAY,
}
_DONE_IN = {
    StatusStep.ACCEPTED: _TAKEN_IN,
    StatusStep.REJECTED: frozenset({DocumentState.REJECTED}),
    StatusStep.ASSIGNED: _TAKEN_IN - {DocumentState.ACCEPTED},
    StatusStep.PROCESSING: frozenset({DocumentState.PROCESSING, DocumentState.FINISHED}),
    StatusStep.FINISHED: frozenset({DocumentState.FINISHED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody in an office decided.

    Attributes:
        assignee: Unit or person it is given to, with ASSIGNED; empty otherwise.
        code: Reason code, with REJECTED and DECLINED, like ``reason``; empty otherwise.
    """

    step: StatusStep
    actor: str
    assignee: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that was taken at the recipient.

    Attributes:
        order: 1, 2, ... over all steps of the document at this recipient.
        state: Where the document stands after it.
        answers: Digest of the envelope of what is agreed to or declined; None otherwise.
        still_held: Copies of a revoked document that could not be destroyed.
    """

    order: int
    step: StatusStep
    state: DocumentState
    actor: str
    at: datetime
    assignee: str = ""
    code: str = ""
    reason: str = ""
    answers: bytes | None = None
    still_held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Where a document stands at a recipient.

    Attributes:
        order: Of the last step; 0: none was taken.
        assignee: Whom it was given to last; empty: nobody.
        code, reason: Of the rejection, while it is rejected.
    """

    state: DocumentState
    order: int
    assignee: str
    code: str
    reason: str


class Verdict(Enum):
    """What a decision means for a document as it stands."""

    NEXT = "next"
    REPEATED = "repeated"
    CONFLICT = "conflict"


def timeline(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Steps in their order, each once.

    Of two under one number, which only a recipient that was restored from a backup says, the later
    one counts.
    """
    known: dict[int, Step] = {}
    for item in sorted(steps, key=_age):
        known[item.order] = item
    return tuple(known[order] for order in sorted(known))


def workflow_of(steps: Iterable[Step]) -> Workflow:
    """Where a document stands after steps, which may come in any order, twice, or with gaps."""
    known = timeline(steps)
    last = known[-1] if known else None
    given = [item.assignee for item in known if item.step is StatusStep.ASSIGNED]
    rejected = last is not None and last.step is StatusStep.REJECTED
    return Workflow(
        state=DocumentState.RECEIVED if last is None else last.state,
        order=0 if last is None else last.order,
        assignee=given[-1] if given else "",
        code=last.code if last is not None and rejected else "",
        reason=last.reason if last is not None and rejected else "",
    )


def answer_to(steps: Iterable[Step], request: bytes) -> Step | None:
    """The last answer to what a sender asked for, named by its envelope; None: none is here."""
    answers = [item for item in timeline(steps) if item.answers == request]
    return answers[-1] if answers else None


def judge(now: Workflow, decision: Decision) -> Verdict:
    """Whether a clerk's decision is the next step, was taken before, or contradicts what was.

    Repeating counts by what was decided, not by who says it again.
    """
    if now.state in _DONE_IN[decision.step] and _is_same(now, decision):
        return Verdict.REPEATED
    return Verdict.NEXT if now.state in _FROM[decision.step] else Verdict.CONFLICT


def step_after(now: Workflow, decision: Decision, at: datetime) -> Step:
    """The step that a clerk's decision is, after ``judge`` found it the next one."""
    return Step(
        order=now.order + 1,
        step=decision.step,
        state=LEADS_TO[decision.step],
        actor=decision.actor,
        at=at,
        assignee=decision.assignee,
        code=decision.code,
        reason=decision.reason,
    )


def _is_same(now: Workflow, decision: Decision) -> bool:
    if decision.step is StatusStep.ASSIGNED:
        return now.assignee == decision.assignee
    if decision.step is StatusStep.REJECTED:
        return (now.code, now.reason) == (decision.code, decision.reason)
    return True


def _age(step: Step) -> tuple[datetime, str, str, str]:
    return step.at, step.step.value, step.actor, step.assignee
