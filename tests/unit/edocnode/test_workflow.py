"""The way of a document through an office: which step follows which, and what a sender knows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing.records import DocumentState, StatusStep
from edocnode.domain.workflow import (
    Decision,
    Step,
    Verdict,
    Workflow,
    judge,
    step_after,
    timeline,
    workflow_of,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ACCEPT = Decision(step=StatusStep.ACCEPTED, actor="Lan")
PROCESS = Decision(step=StatusStep.PROCESSING, actor="Hà")
FINISH = Decision(step=StatusStep.FINISHED, actor="Hà")
REJECT = Decision(step=StatusStep.REJECTED, actor="Lan", code="DUPLICATE", reason="Đã nhận hôm qua")


def assign(to: str) -> Decision:
    return Decision(step=StatusStep.ASSIGNED, actor="Lan", assignee=to)


def steps(*decisions: Decision) -> list[Step]:
    """The steps that decisions are, each the next one, a minute apart."""
    taken: list[Step] = []
    for decision in decisions:
        now = workflow_of(taken)
        assert judge(now, decision) is Verdict.NEXT
        taken.append(step_after(now, decision, NOW + timedelta(minutes=len(taken))))
    return taken


def after(*decisions: Decision) -> Workflow:
    return workflow_of(steps(*decisions))


def test_document_goes_from_its_arrival_to_its_end() -> None:
    states = [step.state for step in steps(ACCEPT, assign("Phòng A"), PROCESS, FINISH)]
    assert states == ["accepted", "assigned", "processing", "finished"]
    assert workflow_of([]).state is DocumentState.RECEIVED


@pytest.mark.parametrize(
    ("before", "decision"),
    [
        ((), ACCEPT),
        ((), REJECT),
        ((ACCEPT,), assign("Phòng A")),
        ((ACCEPT,), PROCESS),
        ((ACCEPT,), FINISH),
        ((ACCEPT, assign("Phòng A")), PROCESS),
        ((ACCEPT, assign("Phòng A")), FINISH),
        ((ACCEPT, assign("Phòng A")), assign("Phòng B")),
        ((ACCEPT, assign("Phòng A"), PROCESS), assign("Phòng B")),
        ((ACCEPT, PROCESS), assign("Phòng B")),
        ((ACCEPT, PROCESS), FINISH),
        ((ACCEPT, assign("Phòng A"), PROCESS, assign("Phòng B")), PROCESS),
    ],
)
def test_step_that_the_rules_allow_is_taken(before: tuple, decision: Decision) -> None:
    assert judge(after(*before), decision) is Verdict.NEXT


@pytest.mark.parametrize(
    ("before", "decision"),
    [
        ((ACCEPT,), ACCEPT),
        ((ACCEPT, PROCESS, FINISH), ACCEPT),
        ((REJECT,), REJECT),
        ((ACCEPT, assign("Phòng A")), assign("Phòng A")),
        ((ACCEPT, assign("Phòng A"), PROCESS), assign("Phòng A")),
        ((ACCEPT, assign("Phòng A"), FINISH), assign("Phòng A")),
        ((ACCEPT, PROCESS), PROCESS),
        ((ACCEPT, PROCESS, FINISH), PROCESS),
        ((ACCEPT, FINISH), FINISH),
    ],
)
def test_step_that_was_taken_is_not_taken_again(before: tuple, decision: Decision) -> None:
    assert judge(after(*before), decision) is Verdict.REPEATED


@pytest.mark.parametrize(
    ("before", "decision"),
    [
        ((), assign("Phòng A")),
        ((), PROCESS),
        ((), FINISH),
        ((ACCEPT,), REJECT),
        ((REJECT,), ACCEPT),
        ((REJECT,), PROCESS),
        ((REJECT,), replace(REJECT, reason="Một lý do khác hẳn")),
        ((REJECT,), FINISH),
        ((ACCEPT, FINISH), assign("Phòng A")),
        ((ACCEPT, assign("Phòng A"), FINISH), assign("Phòng B")),
        ((ACCEPT, FINISH), REJECT),
    ],
)
def test_step_that_contradicts_is_a_conflict(before: tuple, decision: Decision) -> None:
    assert judge(after(*before), decision) is Verdict.CONFLICT


@pytest.mark.parametrize("decision", [ACCEPT, REJECT, assign("Phòng A"), PROCESS, FINISH])
def test_nothing_follows_on_a_revocation(decision: Decision) -> None:
    agreed = Step(order=1, step=StatusStep.AGREED, state=DocumentState.REVOKED, actor="Lan", at=NOW)
    assert judge(workflow_of([agreed]), decision) is Verdict.CONFLICT


DECISIONS = st.sampled_from([ACCEPT, REJECT, assign("Phòng A"), assign("Phòng B"), PROCESS, FINISH])


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """What an office may do with one document: of all that it tries, what the rules allow."""
    taken: list[Step] = []
    for decision in draw(st.lists(DECISIONS, min_size=1, max_size=12)):
        now = workflow_of(taken)
        if judge(now, decision) is Verdict.NEXT:
            taken.append(step_after(now, decision, NOW + timedelta(minutes=len(taken))))
    return taken


@given(histories(), st.data())
def test_both_sides_agree_once_everything_arrived_in_any_order_and_number(
    taken: list[Step], data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(taken), max_size=10)) if taken else []
    told = data.draw(st.permutations([*taken, *repeated]))
    assert workflow_of(told) == workflow_of(taken)
    assert list(timeline(told)) == taken


@given(histories(), st.data())
def test_sender_never_goes_back_and_never_shows_a_state_that_was_not_reached(
    taken: list[Step], data: st.DataObject
) -> None:
    told = data.draw(st.permutations(taken))
    highest = 0
    for count in range(len(told) + 1):
        seen = workflow_of(told[:count])
        assert seen.order >= highest
        highest = seen.order
        assert seen.order == 0 or seen == replace(
            workflow_of(taken[: seen.order]),
            assignee=seen.assignee,  # that status may be on its way still
        )


@given(histories(), st.data())
def test_lost_statuses_change_nothing_but_the_gaps_in_the_timeline(
    taken: list[Step], data: st.DataObject
) -> None:
    here = [step for step in taken if data.draw(st.booleans()) or step is taken[-1]]
    assert workflow_of(here).state is workflow_of(taken).state
    assert [step.order for step in timeline(here)] == [step.order for step in here]


@given(histories(), DECISIONS)
def test_repeating_a_decision_at_once_changes_nothing(
    taken: list[Step], decision: Decision
) -> None:
    now = workflow_of(taken)
    if judge(now, decision) is Verdict.NEXT:
        later = workflow_of([*taken, step_after(now, decision, NOW + timedelta(days=1))])
        assert judge(later, decision) is Verdict.REPEATED


def test_of_two_steps_under_one_number_the_later_one_counts() -> None:
    """Only a recipient that was restored from a backup says two."""
    first, *_ = steps(ACCEPT)
    again = replace(steps(REJECT)[0], at=NOW + timedelta(hours=1))
    for told in ([first, again], [again, first]):
        assert workflow_of(told).state is DocumentState.REJECTED
