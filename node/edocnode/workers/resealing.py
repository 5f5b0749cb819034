"""Seals again what was sealed under an earlier certificate of this node, when it is to be shown.

A seal counts only while its certificate holds. An envelope may wait for weeks, an answer may be
asked for again after months; so what is shown goes under the certificate in use. The bytes of the
statement stay the same, so their recipient knows it again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from edoccore.errors import SealerStoppedError
from edoccore.signing.seal import SealedStatement
from edocnode.domain.model import QueuedDelivery
from edocnode.domain.sealing import AGAIN_ENVELOPE, AGAIN_RECEIPT, is_under


class ResealingSealer(Protocol):
    """The part of the sealer that is needed here."""

    @property
    def certificate(self) -> str:
        """SHA-256 of the certificate that seals are made with."""

    @property
    def is_sealing(self) -> bool:
        """Whether it seals now."""

    def has_room(self) -> None:
        """A courier will soon have nothing left of what is sealed."""

    def check_seal(self) -> None:
        """Accepts the certificate in use, or raises SealerStoppedError."""

    async def seal_own(self, kind: str, data: bytes) -> SealedStatement:
        """Seals a statement with the next group."""


async def envelopes_to_show(
    sealer: ResealingSealer, items: Sequence[QueuedDelivery]
) -> Sequence[QueuedDelivery]:
    """Deliveries whose envelopes are under the certificate in use.

    Raises:
        SealerStoppedError: That certificate is of no use, or what is needed cannot be sealed now.
    """
    if not items:
        return items
    sealer.check_seal()
    old = [item for item in items if not is_under(item.envelope.seal, sealer.certificate)]
    if not old:
        return items
    if not sealer.is_sealing:
        raise SealerStoppedError("What waits is to be sealed with the new seal key first.")
    again = await _again(sealer, AGAIN_ENVELOPE, [item.envelope for item in old])
    fresh = {
        item.message_id: replace(item, envelope=sealed)
        for item, sealed in zip(old, again, strict=True)
    }
    return [fresh.get(item.message_id, item) for item in items]


async def receipts_to_show(
    sealer: ResealingSealer, receipts: Sequence[SealedStatement]
) -> Sequence[SealedStatement]:
    """Receipts under the certificate in use; as they are when nothing can be sealed now."""
    if not sealer.is_sealing:
        return receipts
    old = [item for item in receipts if not is_under(item.seal, sealer.certificate)]
    if not old:
        return receipts
    again = dict(zip(old, await _again(sealer, AGAIN_RECEIPT, old), strict=True))
    return [again.get(item, item) for item in receipts]


async def _again(
    sealer: ResealingSealer, kind: str, items: Sequence[SealedStatement]
) -> list[SealedStatement]:
    return await asyncio.gather(*(sealer.seal_own(kind, item.statement) for item in items))
