"""The receiving desk: has parcels judged, keeps them, waits for the sealer, answers.

Order, always: verify; parts on disk; one transaction with envelope and dedupe key; the sealer;
only then the answer. One bad parcel never stops the others of its batch or the stream: whatever
happens to it becomes its own answer.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from edoccore.agency_errors import RecipientMovedError
from edoccore.directory.view import Directory
from edoccore.errors import EdocError, PoisonMessageError, StorageFailedError
from edoccore.signing.statements import Result
from edocnode.domain.checks import is_sealed_answer
from edocnode.domain.exchange import Answer, Need, Parcel, Refused, TryLater
from edocnode.domain.model import INLINE_PART_BYTES, Arrival, KeepKind, KeepOutcome
from edocnode.domain.ports import Inbox
from edocnode.domain.receiving import (
    Judged,
    Offered,
    arrival_in,
    error_answer,
    final_answer,
    is_new_word,
    receipt_draft,
    rejected,
)
from edocnode.workers.judging import Judging
from edocnode.workers.keeping import KeepingTogether
from edocnode.workers.resealing import receipts_to_show
from edocnode.workers.sealer import Sealer
from edocnode.workers.staging import Staging

RECEIPT_WAIT = timedelta(seconds=20)  # for the sealer; afterwards: try later, the parcel is kept

log = structlog.get_logger(__name__)


class ReceivingDesk:
    """Answers the parcels of other nodes."""

    def __init__(
        self,
        *,
        agency: str,
        judging: Judging,
        inbox: Inbox,
        staging: Staging,
        sealer: Sealer,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts."""
        self._agency = agency
        self._judging = judging
        self._inbox = inbox
        self._keeping = KeepingTogether(inbox)
        self._staging = staging
        self._sealer = sealer
        self._directory = directory
        self._clock = clock
        self._on_repeated: list[Callable[[Arrival], None]] = []

    def on_repeated(self, listener: Callable[[Arrival], None]) -> None:
        """Calls ``listener(arrival)`` for each message that was here already."""
        self._on_repeated.append(listener)

    async def answer(self, peer: str, parcels: Sequence[Parcel]) -> list[Answer]:
        """Answers a batch of one peer, in any order, one answer for each parcel that has an id.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        judged = await self._judging.judge(peer, parcels)
        if (why := self._why_ended()) and any(map(arrival_in, judged)):
            judged = await self._turn_away(judged, why)
        answers: list[Answer] = [item for item in judged if isinstance(item, Refused | TryLater)]
        arrivals: list[Arrival] = []
        put: list[str] = []
        for parcel, item in zip(parcels, judged, strict=True):
            if isinstance(item, Arrival):
                failed = None
                if len(parcel.parts) > INLINE_PART_BYTES:  # none of the parts is larger otherwise
                    failed = await self._store_large(item, parcel.parts, put)
                arrivals += [item] if failed is None else []
                answers += [] if failed is None else [failed]
        offers = [item for item in judged if isinstance(item, Offered)]
        answers += await self._keep(arrivals)
        self._staging.kept(put)
        if offers:
            twins, offers = await self._staging.twins(peer, offers)
            answers += await self._keep(twins)
        for offer in offers:
            answers.append(await self._answer_offer(peer, offer))
        return answers

    def _why_ended(self) -> str:
        """How the agency of this node ended; empty while it has not."""
        directory = self._directory()
        if not directory.has_ended(self._agency, self._clock()):
            return ""
        return directory.how_it_ended(self._agency)

    async def _turn_away(self, judged: Sequence[Judged], why: str) -> list[Judged]:
        """Takes no new document for an agency that has ended; what is here is answered as ever."""
        error = RecipientMovedError(f"{why}; new documents are not taken here any more.")
        new = [a for item in judged if (a := arrival_in(item)) and is_new_word(a.operation)]
        known = await self._inbox.known([(item.sender, item.message_id) for item in new])
        moved = {id(item) for item in new if (item.sender, item.message_id) not in known}
        return [
            _arrival_answer(arrival, error)
            if (arrival := arrival_in(item)) and id(arrival) in moved
            else item
            for item in judged
        ]

    async def _store_large(self, arrival: Arrival, joined: bytes, put: list[str]) -> Answer | None:
        """Puts large parts that came inline on disk; the answer when that is not possible now.

        Args:
            put: Gets the digests of what was put there.
        """
        try:
            put += await self._staging.store_large(arrival, joined)
        except StorageFailedError:
            raise
        except EdocError as error:
            return _arrival_answer(arrival, error)
        return None

    async def _keep(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        if not arrivals:
            return []
        kept, answers = await self._keep_what_can_be(arrivals)
        self._hand_over(kept)
        return answers + await self._answers(kept)

    def _hand_over(self, kept: Sequence[tuple[Arrival, KeepOutcome]]) -> None:
        """Gives the sealer what was kept now; the rest that waits it finds in the database."""
        new = [pair for pair in kept if pair[1].kind is KeepKind.NEW]
        self._sealer.kept([receipt_draft(item, outcome.known.incoming_id) for item, outcome in new])
        if len(new) == len(kept):
            return
        if any(o.kind is not KeepKind.NEW and o.known.receipt is None for _, o in kept):
            self._sealer.wake()
        for arrival, outcome in kept:
            if outcome.kind in (KeepKind.SAME, KeepKind.EQUAL):
                for listener in self._on_repeated:
                    listener(arrival)

    async def _keep_what_can_be(
        self, arrivals: Sequence[Arrival]
    ) -> tuple[list[tuple[Arrival, KeepOutcome]], list[Answer]]:
        """Keeps arrivals together; those that fail are found by halving and answered alone."""
        try:
            return list(zip(arrivals, await self._keeping.keep(arrivals), strict=True)), []
        except StorageFailedError:
            raise
        except EdocError as error:
            return [], [_arrival_answer(arrival, error) for arrival in arrivals]
        except Exception:
            if len(arrivals) == 1:
                log.exception("arrival.keep_failed", message_id=arrivals[0].message_id.hex())
                return [], [_arrival_answer(arrivals[0], PoisonMessageError())]
        half = len(arrivals) // 2
        first, second = (
            await self._keep_what_can_be(arrivals[:half]),
            await self._keep_what_can_be(arrivals[half:]),
        )
        return first[0] + second[0], first[1] + second[1]

    async def _answers(self, kept: Sequence[tuple[Arrival, KeepOutcome]]) -> list[Answer]:
        waiting = [o.known.incoming_id for _, o in kept if o.known.receipt is None]
        found = await self._sealer.receipts(waiting, RECEIPT_WAIT) if waiting else {}
        known = {o.known.incoming_id: o.known.receipt for _, o in kept if o.known.receipt}
        if known:  # given before, maybe under a certificate that is not in use any more
            shown = await receipts_to_show(self._sealer, list(known.values()))
            found = {**found, **dict(zip(known, shown, strict=True))}
        return [
            final_answer(arrival, outcome.kind, outcome.known, found.get(outcome.known.incoming_id))
            for arrival, outcome in kept
        ]

    async def _answer_offer(self, peer: str, offer: Offered) -> Answer:
        arrival = offer.arrival
        try:
            if arrival.result is Result.REJECTED:
                return (await self._keep([arrival]))[0]
            key = (arrival.sender, arrival.message_id)
            if key in await self._inbox.known([key]):  # decided already: no part is needed
                return (await self._keep([arrival]))[0]
            staged = await self._staging.offer(peer, arrival)
            wanted = self._staging.wanted(staged)
            if wanted:
                return Need(
                    message_id=arrival.message_id,
                    envelope_digest=arrival.envelope_digest,
                    parts=wanted,
                )
            complete = await self._staging.complete(peer, offer)
            answer = (await self._keep([complete]))[0]
            await self._staging.finished(peer, complete)
        except StorageFailedError:
            raise
        except EdocError as error:
            if is_sealed_answer(error):
                return (await self._keep([rejected(arrival, error)]))[0]
            return _arrival_answer(arrival, error)
        except Exception:
            log.exception("offer.processing_failed", peer=peer)
            return _arrival_answer(arrival, PoisonMessageError())
        return answer


def _arrival_answer(arrival: Arrival, error: EdocError) -> Refused | TryLater:
    return error_answer(arrival.message_id, arrival.envelope_digest, error)
