"""What an office is told of a copy at a node that was passed over."""

from datetime import datetime, timedelta

import pytest

from edoccore.signing.records import StatusStep
from edocnode.domain.copies import CopyOrder, CopyState, PassedOver, copy_view
from edocnode.domain.model import MessageId
from tests.unit.edoccore.directory.conftest import NOW

LATER = NOW + timedelta(days=1)


IN_TIME = CopyOrder(envelope=b"o" * 32, in_time=True)
TOO_LATE = CopyOrder(envelope=b"o" * 32, in_time=False)


def passed_over(
    step: StatusStep | None, *, is_destroyed: bool = False, answers: bytes | None = None
) -> PassedOver:
    return PassedOver(
        message_id=MessageId(bytes(16)),
        node="H26",
        recipient="H26",
        envelope=bytes(32),
        since=NOW,
        step=step,
        is_destroyed=is_destroyed,
        answers=answers,
        reason="Luật khác",
        at=None if step is None else LATER,
    )


SILENT = passed_over(None)
ACCEPTED = passed_over(StatusStep.ACCEPTED)
DESTROYED = passed_over(StatusStep.AGREED, is_destroyed=True, answers=IN_TIME.envelope)
UPDATED = passed_over(StatusStep.AGREED, answers=b"u" * 32)
REFUSED = passed_over(StatusStep.DECLINED, answers=IN_TIME.envelope)
UPDATE_REFUSED = passed_over(StatusStep.DECLINED, answers=b"u" * 32)


@pytest.mark.parametrize(
    ("item", "order", "state"),
    [
        (SILENT, IN_TIME, CopyState.ASKED),
        (ACCEPTED, IN_TIME, CopyState.ASKED),
        (SILENT, TOO_LATE, CopyState.NOT_REACHED),
        (SILENT, None, CopyState.NOT_REACHED),
        (ACCEPTED, None, CopyState.NOT_REACHED),
        (DESTROYED, IN_TIME, CopyState.DESTROYED),
        (UPDATED, IN_TIME, CopyState.ASKED),
        (REFUSED, IN_TIME, CopyState.KEPT),
        (UPDATE_REFUSED, IN_TIME, CopyState.ASKED),
    ],
)
def test_a_copy_that_was_taken_back_is_destroyed_only_when_its_node_said_so(
    item: PassedOver, order: CopyOrder | None, state: CopyState
) -> None:
    view = copy_view(item, taken_back=True, order=order)
    assert (view.node, view.state) == ("H26", state)
    assert view.reason == ("Luật khác" if state is CopyState.KEPT else "")


@pytest.mark.parametrize(
    ("item", "state", "at"),
    [(SILENT, CopyState.MAY_BE_THERE, NOW), (UPDATED, CopyState.THERE, LATER)],
)
def test_a_copy_that_was_not_taken_back_may_be_there_until_its_node_has_dealt_with_it(
    item: PassedOver, state: CopyState, at: datetime
) -> None:
    view = copy_view(item, taken_back=False, order=None)
    assert (view.state, view.at) == (state, at)
