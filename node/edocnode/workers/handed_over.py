"""What waits to be sealed: handed over a moment ago, or to be found in the database.

Whoever keeps something hands it over, so that nobody reads it again; the database has all of it,
so what is held here may be forgotten at any time.
"""

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from edocnode.domain.lanes import ByLane, room_for_envelopes
from edocnode.domain.model import (
    EnvelopeDraft,
    IncomingId,
    Lane,
    MessageId,
    ReceiptDraft,
    SealCommit,
    Unsealed,
)
from edocnode.domain.ports import SealerStore
from edocnode.workers.awaited import RECENT

GROUP = 400  # statements under one seal; more wait for the next
KEPT = 10_000  # arrivals, and deliveries, held in memory until they are sealed
WITH_CONTENT = 1_000  # of them, deliveries whose small parts are held for the courier


class HandedOver:
    """Holds what was handed over until it is sealed, and finds the rest."""

    def __init__(self, store: SealerStore) -> None:
        """Holds nothing: all that waits is in the database."""
        self._store = store
        self._receipts: ByLane[IncomingId, ReceiptDraft] = ByLane()
        self.envelopes: ByLane[MessageId, EnvelopeDraft] = ByLane()
        self._looked_up_to: dict[Lane, str] = {}  # in the database, by lane: behind which node
        self._enveloped: OrderedDict[MessageId, None] = OrderedDict()  # sealed a moment ago
        self._look = True  # something may wait in the database that was not handed over

    def look(self) -> None:
        """Has the next group read from the database: something may wait only there."""
        self._look = True

    def add_receipts(self, drafts: Sequence[ReceiptDraft]) -> None:
        """Holds arrivals that were kept a moment ago and have no receipt yet."""
        for draft in drafts:
            self._receipts.add(draft.lane, draft.signer, draft.incoming_id, draft)
        if len(self._receipts) > KEPT:  # the signer is away; the database has them all
            self._receipts.clear()
            self._look = True

    def add_envelopes(self, drafts: Sequence[EnvelopeDraft]) -> None:
        """Holds deliveries that were kept a moment ago."""
        for draft in drafts:
            # A look into the database meanwhile may have had it sealed already.
            if draft.message_id not in self._enveloped:
                lane = Lane.of(draft.urgency)
                if len(self.envelopes) >= WITH_CONTENT:
                    draft = msgspec.structs.replace(draft, inline=None)  # noqa: PLW2901
                self.envelopes.add(lane, draft.to_node, draft.message_id, draft)
        if len(self.envelopes) > KEPT:
            self.envelopes.clear()
            self._look = True

    async def next_group(self) -> Unsealed:
        """What to seal next: from the database after a start or a fault, else what was kept."""
        if self._look:
            self._look = False
            waiting = await self._store.unsealed(GROUP, self._looked_up_to)
            full = len(waiting.envelopes) + len(waiting.receipts) >= GROUP
            self._look = self._look or full or len(waiting.effects) >= GROUP
            return waiting
        receipts = self._receipts.first(GROUP)
        envelopes = self.envelopes.first(room_for_envelopes(len(receipts), GROUP))
        rest = receipts[: GROUP - len(envelopes)]
        return Unsealed(envelopes=tuple(envelopes), receipts=tuple(rest), effects=())

    def only_receipts(self) -> Unsealed:
        """Of what was handed over the arrivals to answer next."""
        receipts = self._receipts.first(GROUP)
        return Unsealed(envelopes=(), receipts=tuple(receipts), effects=())

    def sealed(self, commit: SealCommit) -> None:
        """Lets go of what was sealed."""
        for receipt in commit.receipts:
            self._receipts.drop(receipt.draft.incoming_id)
        for envelope in commit.envelopes:
            self.envelopes.drop(envelope.draft.message_id)
            self._enveloped[envelope.draft.message_id] = None
        while len(self._enveloped) > RECENT:
            self._enveloped.popitem(last=False)
