"""Copies of sent documents at nodes that were passed over.

A node that was silent when its agency had ended may have taken a document whose receipt never came;
the document went on to the successor all the same. What is known of that copy is written down, so
that a revocation goes to it as well, and a person is told when it cannot be reached any more.

Source: proto/README.md, section Delivery.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edoccore.signing.records import StatusStep
from edocnode.domain.model import MessageId

NOT_REACHED = "COPY_NOT_REACHED"  # reason of a revocation that came too late for a silent node


class CopyState(StrEnum):
    """What is known of a copy at a node that was passed over."""

    MAY_BE_THERE = "may_be_there"  # it has said nothing
    THERE = "there"  # its office has dealt with it
    ASKED = "asked"  # taken back: it is told as soon as it answers
    DESTROYED = "destroyed"  # taken back, and it said so
    KEPT = "kept"  # taken back, and it declined
    NOT_REACHED = "not_reached"  # taken back, and its node is not heard any more


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A node that was passed over, as far as it is written down.

    Attributes:
        recipient: For whom it was offered the document; another than now if a person chose one.
        envelope: Digest of the envelope that it was offered.
        since: When the document went on without it.
        step: The newest that it said of the copy; None: nothing.
        is_destroyed: It said that the copy is.
        answers: Digest of the envelope that this step answers, if it answers one.
        at: When it said so.
    """

    message_id: MessageId
    node: str
    recipient: str
    envelope: bytes
    since: datetime
    step: StatusStep | None
    is_destroyed: bool
    answers: bytes | None
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """A revocation of a copy.

    Attributes:
        envelope: Digest of its envelope; empty while there is none.
        in_time: It waits for the node or reached it; else it came when nobody heard that any more.
    """

    envelope: bytes
    in_time: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyView:
    """A copy as an office sees it.

    Attributes:
        node: The agency whose node was passed over.
        at: Since when it is so.
        reason: With KEPT: why.
    """

    node: str
    state: CopyState
    at: datetime
    reason: str = ""


def copy_view(item: PassedOver, *, taken_back: bool, order: CopyOrder | None) -> CopyView:
    """What an office sees of a copy.

    Args:
        taken_back: The delivery was.
        order: By which the copy was as well; None: nobody heard its node any more.
    """
    at = item.since if item.at is None else item.at
    if item.is_destroyed:
        state = CopyState.DESTROYED
    elif not taken_back:
        state = CopyState.MAY_BE_THERE if item.step is None else CopyState.THERE
    elif order is None or not order.in_time:
        state = CopyState.NOT_REACHED
    elif item.step is StatusStep.DECLINED and item.answers == order.envelope:
        return CopyView(node=item.node, state=CopyState.KEPT, at=at, reason=item.reason)
    else:
        state = CopyState.ASKED
    return CopyView(node=item.node, state=state, at=at)
