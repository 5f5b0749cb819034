"""Parts that an agency delivered here a moment ago need not come again for its next recipient.

A document goes to each recipient as a message of its own with the same parts. For those behind one
node they came with the first; the small ones, such as the record, are remembered for a few minutes
and the large ones lie in the folder of parts. Only for the agency that delivered them: otherwise
anyone could probe what a node holds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from edoccore.errors import RecordInvalidError
from edoccore.signing.statements import Part, Result
from edockit.blobs import BlobFolder
from edocnode.domain.model import INLINE_PART_BYTES, Arrival
from edocnode.domain.receiving import Offered, with_parts

REMEMBERED = 16  # documents
MAX_INLINE_BYTES = 256 * 1024  # of a document's small parts; more is asked for again

_Key = tuple[str, tuple[Part, ...]]


class Twins:
    """What agencies delivered lately, by whom and with which parts."""

    def __init__(self, blobs: BlobFolder) -> None:
        """Takes the folder of parts."""
        self._blobs = blobs
        self._inline: OrderedDict[_Key, bytes] = OrderedDict()

    def delivered(self, agency: str, arrival: Arrival) -> None:
        """Remembers a document whose parts all came from an agency and were verified."""
        small = len(arrival.inline) <= MAX_INLINE_BYTES
        # Of a record that lies in the folder the content would have to be read again each time.
        if arrival.result is Result.RECEIVED and small and _is_small(arrival.parts[0]):
            self._inline[agency, arrival.parts] = arrival.inline
            self._inline.move_to_end((agency, arrival.parts))
            if len(self._inline) > REMEMBERED:
                self._inline.popitem(last=False)

    def forget(self) -> None:
        """Forgets all; called now and then, so that nothing stays in memory for long."""
        self._inline.clear()

    async def complete(
        self, agency: str, offers: Sequence[Offered]
    ) -> tuple[list[Arrival], list[Offered]]:
        """Completes offers whose parts are here.

        Returns:
            What is complete, and the offers whose parts must be asked for, or judged as others.
        """
        known = {
            offer.arrival.parts
            for offer in offers
            if offer.arrival.result is Result.RECEIVED
            and (agency, offer.arrival.parts) in self._inline
        }
        if not known:
            return [], list(offers)
        here = await asyncio.to_thread(lambda: {parts for parts in known if self._holds(parts)})
        complete, missing = [], []
        for offer in offers:
            arrival = self._completed(agency, offer) if offer.arrival.parts in here else None
            if arrival is None:
                missing.append(offer)
            else:
                complete.append(arrival)
        return complete, missing

    def _completed(self, agency: str, offer: Offered) -> Arrival | None:
        inline = self._inline.get((agency, offer.arrival.parts))
        if inline is None or offer.arrival.result is not Result.RECEIVED:
            return None
        try:
            return with_parts(offer.arrival, offer.envelope, _cut(offer.arrival.parts, inline))
        except RecordInvalidError:  # the parts of another document: answered under seal elsewhere
            return None

    def _holds(self, parts: Sequence[Part]) -> bool:
        return all(_is_small(part) or self._blobs.holds(part.sha256, part.size) for part in parts)


def _is_small(part: Part) -> bool:
    return part.size <= INLINE_PART_BYTES


def _cut(parts: Sequence[Part], inline: bytes) -> list[bytes]:
    """The small parts, cut; large ones are empty."""
    pieces, start = [], 0
    for part in parts:
        size = part.size if _is_small(part) else 0
        pieces.append(inline[start : start + size])
        start += size
    return pieces
