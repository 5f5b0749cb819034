"""Reads the answers of a peer: what is sealed is verified before it means anything.

What does not hold is no answer: the delivery is tried again and the fault is told by name.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, SealInvalidError
from edoccore.signing import canonical
from edoccore.signing.merkle import Proven
from edoccore.signing.seal import SealedStatement, SignedSeal, check_membership, open_seal
from edoccore.signing.statements import Envelope, Receipt, Seal
from edockit.pieces import in_pieces
from edockit.steps import of_each
from edocnode.domain.checks import is_same_document
from edocnode.domain.delivery import on_receipt, on_refused, on_try_later
from edocnode.domain.exchange import Answer, Duplicate, Received, Refused, TryLater
from edocnode.domain.model import DeliveryOutcome, QueuedDelivery

_Pair = tuple[QueuedDelivery, Answer]
_Seals = dict[SignedSeal, tuple[Seal, Proven]]  # verified, and what was proven to be under each


def _is_quick(answer: Answer) -> bool:
    """Whether its seals are verified in less than a change of threads takes."""
    match answer:
        case Received(receipt=receipt):
            return receipt.seal.is_quick
        case Duplicate(envelope=envelope, receipt=receipt):
            return envelope.seal.is_quick and receipt.seal.is_quick
    return True


class AnswerReader:
    """Turns answers into outcomes."""

    def __init__(
        self,
        *,
        network: str,
        agency: str,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Takes what seals are judged by.

        Args:
            jitter: Random, in [0, 1); spreads load.
        """
        self._network = network
        self._agency = agency
        self._directory = directory
        self._clock = clock
        self._jitter = jitter

    async def read(self, pairs: Sequence[_Pair]) -> list[DeliveryOutcome]:
        """One outcome for each answer."""
        seals: _Seals = {}

        def outcomes(piece: Sequence[_Pair]) -> list[DeliveryOutcome]:
            return self._outcomes(piece, seals)

        if all(_is_quick(answer) for _, answer in pairs):
            return await in_pieces(pairs, _size_of, outcomes)
        return await asyncio.to_thread(outcomes, pairs)

    def _outcomes(self, pairs: Sequence[_Pair], seals: _Seals) -> list[DeliveryOutcome]:
        step = partial(of_each, failures=EdocError)
        items, answers = [item for item, _ in pairs], [answer for _, answer in pairs]
        proven = step(partial(self._proven, seals), answers, items)
        receipts = step(_receipt, proven)
        found = step(self._outcome, receipts, items, answers)
        return [
            self._again(item, outcome) if isinstance(outcome, EdocError) else outcome
            for item, outcome in zip(items, found, strict=True)
        ]

    def _proven(self, seals: _Seals, answer: Answer, item: QueuedDelivery) -> bytes | None:
        """The receipt in an answer, which is proven to be under a seal of the peer; None: none."""
        match answer:
            case Received(receipt=receipt):
                self._check_seal(item.to_node, receipt, seals)
            case Duplicate(envelope=envelope, receipt=receipt):
                self._check_stored(item, envelope, seals)
                self._check_seal(item.to_node, receipt, seals)
            case _:
                return None
        return receipt.statement

    def _outcome(
        self, receipt: Receipt | None, item: QueuedDelivery, answer: Answer
    ) -> DeliveryOutcome:
        if receipt is not None and isinstance(answer, Received | Duplicate):
            self._check_parties(item, receipt)
            adopted = answer.envelope if isinstance(answer, Duplicate) else None
            digest = item.digest if adopted is None else sha256(adopted.statement).digest()
            return on_receipt(item, digest.hex(), receipt, answer.receipt, adopted=adopted)
        if isinstance(answer, Refused):
            return on_refused(item, answer.reason, answer.message)
        return self._later(item, answer)

    def _check_parties(self, item: QueuedDelivery, receipt: Receipt) -> None:
        stated = (receipt.network, receipt.from_, receipt.to)
        if stated != (self._network, item.recipient, item.sender):
            raise SealInvalidError(
                f"{item.to_node} answered message {receipt.message_id} with a receipt of "
                f"{receipt.from_} for {receipt.to}.",
                agency=item.to_node,
            )

    def _check_stored(self, item: QueuedDelivery, stored: SealedStatement, seals: _Seals) -> None:
        """The envelope that the peer kept must be one of ours and state the same document."""
        self._check_seal(self._agency, stored, seals)
        ours = canonical.decode(item.envelope.statement, Envelope)
        theirs = canonical.decode(stored.statement, Envelope)
        if not is_same_document(ours, theirs):
            raise SealInvalidError(
                f"{item.to_node} called message {ours.message_id} a duplicate of another document.",
                agency=item.to_node,
            )

    def _check_seal(self, signer: str, sealed: SealedStatement, seals: _Seals) -> None:
        if sealed.seal not in seals:
            verified = open_seal(
                sealed.seal, self._directory(), network=self._network, at=self._clock()
            )
            seals[sealed.seal] = verified.seal, {}
        seal, proven = seals[sealed.seal]
        if seal.signer != signer:
            raise SealInvalidError(
                f"A statement of {signer} came under a seal of {seal.signer}.", agency=signer
            )
        check_membership(seal, sealed.statement, sealed.leaf, sealed.proof, proven)

    def _later(self, item: QueuedDelivery, answer: Answer) -> DeliveryOutcome:
        reason, message, after = "PROCESSING_FAILED", "", None
        if isinstance(answer, TryLater):
            reason, message, after = answer.reason, answer.message, answer.after
        jitter = self._jitter()
        return on_try_later(item, reason, message, after=after, now=self._clock(), jitter=jitter)

    def _again(self, item: QueuedDelivery, error: EdocError) -> DeliveryOutcome:
        jitter = self._jitter()
        return on_try_later(
            item, error.reason, error.message, after=None, now=self._clock(), jitter=jitter
        )


def _receipt(statement: bytes | None) -> Receipt | None:
    return None if statement is None else canonical.decode(statement, Receipt)


def _size_of(pair: _Pair) -> int:
    """Bytes of the statements of an answer."""
    match pair[1]:
        case Received(receipt=receipt):
            return len(receipt.statement)
        case Duplicate(envelope=envelope, receipt=receipt):
            return len(envelope.statement) + len(receipt.statement)
    return 0
