"""Gives up deliveries whose envelopes have ended, after a last question to the recipient.

Also asks again, when a peer is back, about what was given up while it could not be asked: a receipt
that comes late still makes a delivery delivered.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog

from edoccore.errors import EdocError, StorageFailedError
from edoccore.signing.seal import SALT_BYTES
from edocnode.domain.exchange import PeerLinks
from edocnode.domain.expiring import INQUIRIES, ExpiryStore, LastWord, inquiry_about, last_word
from edocnode.domain.model import DeliveryState, QueuedDelivery
from edocnode.domain.ports import Outbox
from edocnode.workers.answers import AnswerReader
from edocnode.workers.room import when_there_is_room

EVERY = timedelta(seconds=30)
ASKED_AT_ONCE = 32  # peers
ANSWERED = (DeliveryState.DELIVERED, DeliveryState.REJECTED)

log = structlog.get_logger(__name__)


class Expirer:
    """Ends what nobody answered."""

    def __init__(
        self,
        *,
        agency: str,
        store: ExpiryStore,
        outbox: Outbox,
        links: PeerLinks,
        reader: AnswerReader,
        wake_sealer: Callable[[], None],
        chance: Callable[[int], bytes],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            chance: So many random bytes.
        """
        self._held: Callable[[], Collection[int]] = frozenset
        self._chance = chance
        self._agency = agency
        self._store = store
        self._outbox = outbox
        self._links = links
        self._reader = reader
        self._wake_sealer = wake_sealer
        self._clock = clock
        self._back: set[str] = set()  # peers that answered again and may be asked now

    def leaves_out(self, held: Callable[[], Collection[int]]) -> None:
        """Says which deliveries couriers hold, by their places: answers may be on their way."""
        self._held = held

    def peer_met(self, agency: str) -> None:
        """A peer answered or said hello."""
        self._back.add(agency)

    async def run(self) -> None:
        """Ends deliveries until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("expiry", self.look)
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Gives up what has ended, and asks about what was given up unasked."""
        waits = asyncio.Semaphore(ASKED_AT_ONCE)
        while found := await self._store.ending(self._clock(), INQUIRIES, self._held()):
            by_node: dict[str, list[QueuedDelivery]] = {}
            for item in found:
                by_node.setdefault(item.to_node, []).append(item)
            turns = [self._give_up(node, items, waits) for node, items in by_node.items()]
            if not sum(await asyncio.gather(*turns)):
                return  # what is left waits for receipts that are being sealed
        back, self._back = self._back, set()
        await asyncio.gather(*(self._ask_late(agency, waits) for agency in back))

    async def _give_up(
        self, agency: str, items: Sequence[QueuedDelivery], waits: asyncio.Semaphore
    ) -> int:
        """Asks one peer, then ends what it does not hold; returns how many ended."""
        async with waits:
            left, held, trouble = await self._ask(agency, items)
        words = [self._word(item, trouble) for item in left]
        ended = await self._store.give_up(words, self._clock())
        self._wake_sealer()
        if words:
            log.warning("delivery.no_receipt", agency=agency, count=ended, trouble=trouble)
        return ended + held

    def _word(self, item: QueuedDelivery, trouble: str) -> LastWord:
        salt = self._chance(SALT_BYTES)
        return last_word(item, trouble=trouble, agency=self._agency, salt=salt, now=self._clock())

    async def _ask_late(self, agency: str, waits: asyncio.Semaphore) -> None:
        items = await self._store.never_asked(agency, INQUIRIES)
        if not items:
            return
        async with waits:
            left, held, trouble = await self._ask(agency, items)
        if trouble:
            self._back.add(agency)
            return
        message = f"{agency} was asked when it was back, and does not hold it."
        await self._store.asked_now([item.message_id for item in left], message)
        log.info("delivery.asked_late", agency=agency, held=held, not_held=len(left))
        if len(items) == INQUIRIES:
            self._back.add(agency)

    async def _ask(
        self, agency: str, items: Sequence[QueuedDelivery]
    ) -> tuple[list[QueuedDelivery], int, str]:
        """Asks a peer about deliveries and records its receipts.

        Returns:
            Those it does not hold; how many it holds under a receipt; why it could not be asked.
            Those it holds and has not sealed yet are in neither.
        """
        by_digest = {item.digest: item for item in items}
        try:
            answers = await self._links.link(agency).inquire([inquiry_about(i) for i in items])
        except StorageFailedError:
            raise
        except EdocError as error:
            return list(items), 0, error.message
        pairs = [
            (by_digest.pop(answer.envelope_digest), answer)
            for answer in answers
            if answer.envelope_digest in by_digest
        ]
        outcomes = await self._reader.read(pairs)
        proven = [outcome for outcome in outcomes if outcome.state in ANSWERED]
        await self._outbox.record(proven, self._clock())
        return list(by_digest.values()), len(proven), ""
