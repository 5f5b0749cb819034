"""What goes from the office to the sealer, and from there to a courier, without being read again.

The database is the truth and has all of it. What is in memory is taken only as long as nothing else
can wait for the same peer: a courier looks once, takes all that waits, and from then on hears of
each seal. Whatever it may have missed, what is too much, or waits for longer than a moment, makes
it forget what it heard and look again.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain.lanes import ByLane
from edocnode.domain.model import (
    EnvelopeDraft,
    Lane,
    MessageId,
    QueuedDelivery,
    SealedEnvelope,
    Submission,
)

INLINE_BYTES = 16 * 1024  # a document with more in its small parts is read again
MOST = 800  # envelopes in memory for one peer: as many as may be under way to it
AHEAD_S = 0.1  # sealing waits no longer for couriers that stand still
FOR_S = 1.0  # what changed in the database meanwhile is seen after so long


def envelope_drafts(submission: Submission, places: Sequence[int]) -> list[EnvelopeDraft]:
    """What the sealer needs of the deliveries of a submission that was kept in these rows."""
    inline = submission.inline if len(submission.inline) <= INLINE_BYTES else None
    return [
        EnvelopeDraft(
            message_id=item.message_id,
            document_id=submission.document_id,
            sender=submission.sender,
            recipient=item.recipient,
            to_node=item.to_node,
            urgency=submission.urgency,
            operation=submission.operation,
            about=submission.about,
            created=submission.created,
            expires=submission.expires,
            parts=submission.parts,
            place=place,
            inline=inline,
        )
        for item, place in zip(submission.deliveries, places, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Heard:
    envelope: SealedEnvelope
    seal: SignedSeal
    at: float


class Fresh:
    """What was sealed for one peer after all that waits for it was taken from the database."""

    def __init__(self) -> None:
        """Knows nothing: the database is to be looked at."""
        self._waiting: ByLane[MessageId, _Heard] = ByLane()
        self._is_whole = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing else can wait for this peer, so that no look is needed."""
        return self._is_whole

    def __len__(self) -> int:
        """Envelopes that wait here."""
        return len(self._waiting)

    def places(self) -> Iterator[int]:
        """Rows of the deliveries that wait here."""
        drafts = (heard.envelope.draft for heard in self._waiting)
        return (draft.place for draft in drafts if draft.place is not None)

    def look_begins(self) -> None:
        """All that was sealed before is in the database, where a look finds it now."""
        self._waiting.clear()
        self._is_whole = True

    def forget(self) -> None:
        """Something may wait that was not heard of: the database is to be looked at."""
        self._waiting.clear()
        self._is_whole = False

    def hear(self, envelopes: Sequence[SealedEnvelope], seal: SignedSeal, *, at: float) -> None:
        """Takes what was committed for this peer under one seal.

        Args:
            at: Seconds of any clock that never goes back.
        """
        if not self._is_whole:
            return
        if len(self._waiting) + len(envelopes) > MOST or not all(map(_is_handed_on, envelopes)):
            self.forget()
            return
        for envelope in envelopes:
            draft = envelope.draft
            heard = _Heard(envelope, seal, at)
            self._waiting.add(Lane.of(draft.urgency), draft.to_node, draft.message_id, heard)

    def take(self, limit: int, *, now: datetime, at: float) -> list[QueuedDelivery] | None:
        """Takes at most ``limit``, urgent lanes first; None when the database is to be looked at.

        What has ended stays for who gives up deliveries.
        """
        if not self._is_whole:
            return None
        taken = self._waiting.first(limit)
        for heard in taken:
            self._waiting.drop(heard.envelope.draft.message_id)
        if any(at - heard.at > FOR_S for heard in taken):
            self.forget()
            return None
        return [
            _queued(heard.envelope, heard.seal)
            for heard in taken
            if heard.envelope.draft.expires > now
        ]


class Ahead:
    """How far sealing is ahead of couriers: enough for them to go on, and little more.

    What is further ahead could not be handed on, and would be read again.
    """

    def __init__(self, have_enough: Callable[[Collection[str]], bool] = lambda _: False) -> None:
        """Begins with nothing sealed.

        Args:
            have_enough: Whether the couriers of all these agencies have enough to carry.
        """
        self._have_enough = have_enough
        self._agencies: frozenset[str] = frozenset()  # of the last group's envelopes
        self.until = 0.0  # when sealing goes on, whatever couriers do

    def sealed(self, envelopes: Sequence[SealedEnvelope], *, at: float) -> None:
        """A group was committed; times as in ``Fresh``."""
        if envelopes:
            self._agencies = frozenset([envelope.draft.to_node for envelope in envelopes])
            self.until = at + AHEAD_S

    def is_enough(self, waiting: ByLane[MessageId, EnvelopeDraft], *, at: float) -> bool:
        """Whether envelopes wait for couriers now, and none of them is urgent or for others."""
        if at >= self.until or not self._have_enough(self._agencies):
            return False
        return waiting.only(Lane.NORMAL, self._agencies)


def _is_handed_on(envelope: SealedEnvelope) -> bool:
    return envelope.draft.place is not None and envelope.draft.inline is not None


def _queued(envelope: SealedEnvelope, seal: SignedSeal) -> QueuedDelivery:
    draft = envelope.draft
    assert draft.place is not None  # as heard
    assert draft.inline is not None
    return QueuedDelivery(
        place=draft.place,
        message_id=draft.message_id,
        document_id=draft.document_id,
        sender=draft.sender,
        recipient=draft.recipient,
        to_node=draft.to_node,
        lane=Lane.of(draft.urgency),
        envelope=SealedStatement(envelope.data, envelope.leaf, envelope.proof, seal),
        parts=draft.parts,
        inline=draft.inline,
        attempts=0,
        digest_failures=0,
    )
