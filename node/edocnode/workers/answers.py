"""Reads the answers of a peer: what is sealed is verified before it means anything.

What does not hold is no answer: the delivery is tried again and the fault is told by name.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, SealInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, VerifiedSeal, check_membership, open_seal
from edoccore.signing.statements import Envelope, Receipt
from edockit.pieces import in_pieces
from edocnode.domain.checks import is_same_document
from edocnode.domain.delivery import on_receipt, on_refused, on_try_later
from edocnode.domain.exchange import Answer, Duplicate, Need, Received, Refused, TryLater
from edocnode.domain.model import DeliveryOutcome, QueuedDelivery

_Pair = tuple[QueuedDelivery, Answer]


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
        seals: dict[bytes, VerifiedSeal] = {}

        def outcomes(piece: Sequence[_Pair]) -> list[DeliveryOutcome]:
            return [self._outcome(item, answer, seals) for item, answer in piece]

        if all(_is_quick(answer) for _, answer in pairs):
            return await in_pieces(pairs, _size_of, outcomes)
        return await asyncio.to_thread(outcomes, pairs)

    def _outcome(
        self, item: QueuedDelivery, answer: Answer, seals: dict[bytes, VerifiedSeal]
    ) -> DeliveryOutcome:
        try:
            match answer:
                case Received(receipt=receipt):
                    return self._received(item, item.envelope, receipt, seals)
                case Duplicate(envelope=envelope, receipt=receipt):
                    self._check_stored(item, envelope, seals)
                    return self._received(item, envelope, receipt, seals)
                case Refused(reason=reason, message=message):
                    return on_refused(item, reason, message)
                case TryLater() | Need():
                    return self._later(item, answer)
        except EdocError as error:
            return self._again(item, error)

    def _received(
        self,
        item: QueuedDelivery,
        envelope: SealedStatement,
        receipt: SealedStatement,
        seals: dict[bytes, VerifiedSeal],
    ) -> DeliveryOutcome:
        self._check_seal(item.to_node, receipt, seals)
        statement = canonical.decode(receipt.statement, Receipt)
        stated = (statement.network, statement.from_, statement.to)
        if stated != (self._network, item.recipient, item.sender):
            raise SealInvalidError(
                f"{item.to_node} answered message {statement.message_id} with a receipt of "
                f"{statement.from_} for {statement.to}.",
                agency=item.to_node,
            )
        adopted = None if envelope is item.envelope else envelope
        digest = item.digest if adopted is None else sha256(adopted.statement).digest()
        return on_receipt(item, digest.hex(), statement, receipt, adopted=adopted)

    def _check_stored(
        self, item: QueuedDelivery, stored: SealedStatement, seals: dict[bytes, VerifiedSeal]
    ) -> None:
        """The envelope that the peer kept must be one of ours and state the same document."""
        self._check_seal(self._agency, stored, seals)
        ours = canonical.decode(item.envelope.statement, Envelope)
        theirs = canonical.decode(stored.statement, Envelope)
        if not is_same_document(ours, theirs):
            raise SealInvalidError(
                f"{item.to_node} called message {ours.message_id} a duplicate of another document.",
                agency=item.to_node,
            )

    def _check_seal(
        self, signer: str, sealed: SealedStatement, seals: dict[bytes, VerifiedSeal]
    ) -> None:
        key = sealed.seal.data + sealed.seal.signature
        seal = seals.get(key)
        if seal is None:
            seal = seals[key] = open_seal(
                sealed.seal, self._directory(), network=self._network, at=self._clock()
            )
        if seal.seal.signer != signer:
            raise SealInvalidError(
                f"A statement of {signer} came under a seal of {seal.seal.signer}.", agency=signer
            )
        check_membership(seal.seal, sealed.statement, sealed.leaf, sealed.proof)

    def _later(self, item: QueuedDelivery, answer: TryLater | Need) -> DeliveryOutcome:
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


def _size_of(pair: _Pair) -> int:
    """Bytes of the statements of an answer."""
    match pair[1]:
        case Received(receipt=receipt):
            return len(receipt.statement)
        case Duplicate(envelope=envelope, receipt=receipt):
            return len(envelope.statement) + len(receipt.statement)
    return 0
