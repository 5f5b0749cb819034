"""Numbers of envelopes: what a sender has settled, what is missing below that, what became of it.

A sender numbers its envelopes to each node without gaps in an epoch. So once it says that all
numbers up to one are settled (answered, given up, never used), whoever misses one below knows that
something was lost on its side or left out on the other, and asks. The mark is not sealed: it only
says when to ask; what proves a gap are the sealed envelopes around it.

Source: proto/README.md, section Repair.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from edoccore.errors import LimitExceededError, RequestInvalidError
from edocnode.domain.model import DeliveryState, MessageId

SEQUENCE_GAP = "SEQUENCE_GAP"  # alarm: numbers of an agency never arrived
DOCUMENT_GONE = "DOCUMENT_GONE"  # alarm: acknowledged here, lost here, and gone at its sender
MAX_RANGES = 64  # in one question
MAX_NUMBERS = 1_000  # in one question
RANGES_TOLD = 8  # in one alarm
SETTLED_AT_ONCE = 10_000  # envelopes looked at for one peer at a time
CHECKED_AT_ONCE = 10_000  # numbers looked at for one epoch of one peer at a time

_SETTLED = frozenset(
    {
        DeliveryState.DELIVERED,
        DeliveryState.REJECTED,
        DeliveryState.EXPIRED,
        DeliveryState.VOID,
    }
)

Range = tuple[int, int]  # first and last number, both included


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """All numbers of an epoch from ``first`` to ``last`` are settled; see ``Hello``."""

    epoch: bytes
    first: int
    last: int


class NumberState(StrEnum):
    """What became of a number, at the sender."""

    COMING = "coming"  # its envelope waits, is offered, or is offered again
    VOID = "void"  # no envelope has it
    EXPIRED = "expired"  # given up without a receipt
    ELSEWHERE = "elsewhere"  # its message arrived in an envelope with another number
    GONE = "gone"  # acknowledged, but it can be offered no more


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberAnswer:
    """What became of one number; ``message_id`` is empty when no message had it."""

    seq: int
    state: NumberState
    message_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedEnvelope:
    """An envelope of this node as far as its number is concerned.

    Attributes:
        in_force: No other envelope of the message was put in its place.
        can_be_offered: It has not ended, and all its parts are here.
    """

    seq: int
    message_id: MessageId
    state: DeliveryState
    in_force: bool
    can_be_offered: bool


def settled_up_to(last: int, envelopes: Iterable[NumberedEnvelope]) -> int:
    """How far an epoch is settled.

    Args:
        last: As known before.
        envelopes: Those after it, in order of number. A number between them that none has was
            never used, or lost in a restore.
    """
    for envelope in envelopes:
        if envelope.in_force and envelope.state not in _SETTLED:
            break
        last = envelope.seq
    return last


def answer_number(envelope: NumberedEnvelope) -> NumberAnswer:
    """What to say of the number of an envelope.

    With COMING, one that was acknowledged before must be offered again.
    """
    state = NumberState.COMING
    if not envelope.in_force:
        state = NumberState.ELSEWHERE
    elif envelope.state is DeliveryState.EXPIRED:
        state = NumberState.EXPIRED
    elif envelope.state is DeliveryState.VOID:
        state = NumberState.VOID
    elif envelope.state in _SETTLED and not envelope.can_be_offered:
        state = NumberState.GONE
    return NumberAnswer(seq=envelope.seq, state=state, message_id=envelope.message_id)


def missing_ranges(span: Range, present: Sequence[int]) -> list[Range]:
    """Ranges of the numbers of a span that are not among those present.

    Args:
        present: In order; may repeat and lie outside the span.
    """
    found: list[Range] = []
    following, last = span
    for number in present:
        if number > last:
            break
        if number > following:
            found.append((following, number - 1))
        following = max(following, number + 1)
    if following <= last:
        found.append((following, last))
    return found


def question(ranges: Sequence[Range]) -> list[Range]:
    """As many of the missing ranges as one question may have, the lowest first."""
    asked: list[Range] = []
    room = MAX_NUMBERS
    for first, last in ranges[:MAX_RANGES]:
        if not room:
            break
        asked.append((first, min(last, first + room - 1)))
        room -= asked[-1][1] - first + 1
    return asked


def check_question(epoch: bytes, ranges: Sequence[Range]) -> None:
    """Checks a question of a peer.

    Raises:
        RequestInvalidError: It names no epoch, or a range that is none.
        LimitExceededError: It asks for too many numbers.
    """
    if len(epoch) != 16:
        raise RequestInvalidError("The question names no epoch.")
    if any(not 1 <= first <= last < 1 << 53 for first, last in ranges):
        raise RequestInvalidError("The question has a range that is none.")
    total = sum(last - first + 1 for first, last in ranges)
    if len(ranges) > MAX_RANGES or total > MAX_NUMBERS:
        raise LimitExceededError(
            f"The question is about {total} numbers in {len(ranges)} ranges; at most "
            f"{MAX_NUMBERS} in {MAX_RANGES} are answered at a time."
        )


def ranges_text(ranges: Sequence[Range]) -> str:
    """Ranges for a person: ``3, 7 to 9``; the first few of many."""
    told = [f"{first}" if first == last else f"{first} to {last}" for first, last in ranges]
    more = ", ..." if len(told) > RANGES_TOLD else ""
    return ", ".join(told[:RANGES_TOLD]) + more


class NumberStore(Protocol):
    """What storage keeps of numbers; each method is one atomic transaction."""

    async def settled(self, to_node: str) -> Sequence[Settled]:
        """What is settled of the envelopes to a node, by epoch, the newest first; at most 65.

        Looks at no more than ``SETTLED_AT_ONCE`` envelopes that were not looked at before; the
        others count the next time.
        """

    async def missing(self, agency: str, mark: Settled) -> Sequence[Range]:
        """Numbers up to a mark that never arrived and were not explained, in order.

        Looks at no more than ``CHECKED_AT_ONCE`` numbers that were not looked at before.
        """

    async def answer_numbers(
        self, to_node: str, epoch: bytes, ranges: Sequence[Range], at: datetime
    ) -> Sequence[NumberAnswer]:
        """What became of numbers; what was acknowledged and can be offered is queued again."""

    async def explain(
        self, agency: str, epoch: bytes, answers: Sequence[NumberAnswer], at: datetime
    ) -> None:
        """Remembers what the sender said of numbers that never arrived."""

    async def messages_held(self, agency: str, message_ids: Sequence[bytes]) -> set[bytes]:
        """Which messages of an agency were received here."""
