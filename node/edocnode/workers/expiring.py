"""Gives up deliveries whose envelopes have ended, after a last question to the recipient.

Also asks again, when a peer is back, about what was given up while it could not be asked: a receipt
that comes late still makes a delivery delivered.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from edoccore.errors import EdocError, StorageFailedError
from edoccore.signing.seal import SALT_BYTES
from edocnode.domain.exchange import Answer, Inquiry, PeerLinks
from edocnode.domain.expiring import (
    INQUIRIES,
    Ending,
    ExpiryStore,
    LastWord,
    inquiry_about,
    last_word,
)
from edocnode.domain.model import DeliveryState, QueuedDelivery
from edocnode.domain.ports import Outbox
from edocnode.domain.setting_aside import Peer
from edocnode.workers.answers import AnswerReader
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

EVERY = timedelta(seconds=30)
ASKED_AT_ONCE = 32  # peers
ANSWERED = (DeliveryState.DELIVERED, DeliveryState.REJECTED)
Item = Ending | Peer  # what may be set aside: a delivery, or the peer that is asked

log = structlog.get_logger(__name__)


class Store(ExpiryStore, Outbox, Protocol):
    """What is needed of storage."""


class Expirer:
    """Ends what nobody answered."""

    def __init__(
        self,
        *,
        agency: str,
        store: Store,
        links: PeerLinks,
        reader: AnswerReader,
        wake_sealer: Callable[[], None],
        chance: Callable[[int], bytes],
        aside: SettingAside[Item],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            chance: So many random bytes.
        """
        self._held: Callable[[], Collection[int]] = frozenset
        self._chance = chance
        self._aside = aside
        self._agency = agency
        self._store = store
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
            await when_there_is_room("expiry", partial(self._aside.look, self.look))
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Gives up what has ended, and asks about what was given up unasked."""
        waits = asyncio.Semaphore(ASKED_AT_ONCE)
        while found := await self._store.ending(self._clock(), INQUIRIES, self._left_alone()):
            by_node: dict[str, list[Ending]] = {}
            for item in found:
                by_node.setdefault(item.to_node, []).append(item)
            turns = [self._give_up(node, items, waits) for node, items in by_node.items()]
            if not sum(await asyncio.gather(*turns)):
                return  # what is left waits for receipts that are being sealed
        back, self._back = self._back, set()
        await asyncio.gather(*(self._ask_late(agency, waits) for agency in back))

    def _left_alone(self) -> set[int]:
        """Places of what couriers hold, and of what is set aside."""
        left_out = self._aside.left_out()
        return {*self._held(), *(item.place for item in left_out if isinstance(item, Ending))}

    async def _give_up(self, agency: str, items: Sequence[Ending], waits: asyncio.Semaphore) -> int:
        """Asks one peer, then ends what it does not hold; returns how many ended."""
        left, held, trouble = await self._ask(agency, items, waits)

        async def end(part: Sequence[Item]) -> int:
            words = [self._word(left[item], trouble) for item in part]
            return await self._store.give_up(words, self._clock())

        ended = sum(await self._aside.many(list(left), end))
        self._wake_sealer()
        if left:
            log.warning("delivery.no_receipt", agency=agency, count=ended, trouble=trouble)
        return ended + held

    def _word(self, item: QueuedDelivery, trouble: str) -> LastWord:
        salt = self._chance(SALT_BYTES)
        return last_word(item, trouble=trouble, agency=self._agency, salt=salt, now=self._clock())

    async def _ask_late(self, agency: str, waits: asyncio.Semaphore) -> None:
        items = await self._store.never_asked(agency, INQUIRIES, self._left_alone())
        if not items:
            return
        left, held, trouble = await self._ask(agency, items, waits)
        if trouble:
            self._back.add(agency)
            return
        message = f"{agency} was asked when it was back, and does not hold it."

        async def note(part: Sequence[Item]) -> None:
            await self._store.asked_now([left[item].message_id for item in part], message)

        await self._aside.many(list(left), note)
        log.info("delivery.asked_late", agency=agency, held=held, not_held=len(left))
        if len(items) == INQUIRIES:
            self._back.add(agency)

    async def _ask(
        self, agency: str, items: Sequence[Item], waits: asyncio.Semaphore
    ) -> tuple[dict[Item, QueuedDelivery], int, str]:
        """Asks a peer about deliveries and records its receipts.

        Returns:
            Those it does not hold; how many it holds under a receipt; why it could not be asked.
            Those it holds and has not sealed yet are in neither.
        """
        asked: dict[Item, tuple[QueuedDelivery, Inquiry]] = {}
        for part in await self._aside.many(items, self._questions, last=False):
            asked |= part
        left = {item: delivery for item, (delivery, _) in asked.items()}
        if not left:
            return {}, 0, ""
        async with waits:
            ask = partial(self._inquire, agency, [inquiry for _, inquiry in asked.values()])
            told = await self._aside.one(Peer(agency), ask)
        if told is None:
            return left, 0, "this program met a fault when it asked"
        answers, trouble = told
        answered = [item for item in left if left[item].digest in answers]

        async def record(part: Sequence[Item]) -> int:
            pairs = [(left[item], answers[left[item].digest]) for item in part]
            return await self._record(pairs)

        held = sum(await self._aside.many(answered, record))
        for item in answered:
            del left[item]
        return left, held, trouble

    async def _questions(self, items: Sequence[Item]) -> dict[Item, tuple[QueuedDelivery, Inquiry]]:
        """Reads deliveries, and words the questions about them."""
        by_place = {item.place: item for item in items if isinstance(item, Ending)}
        found = await self._store.ending_at(list(by_place), self._clock())
        return {by_place[each.place]: (each, inquiry_about(each)) for each in found}

    async def _inquire(
        self, agency: str, inquiries: Sequence[Inquiry]
    ) -> tuple[dict[bytes, Answer], str]:
        """The answers of a peer by digests of envelopes; or why it could not be asked."""
        try:
            answers = await self._links.link(agency).inquire(inquiries)
        except StorageFailedError:
            raise
        except EdocError as error:
            return {}, error.message
        return {answer.envelope_digest: answer for answer in answers}, ""

    async def _record(self, pairs: Sequence[tuple[QueuedDelivery, Answer]]) -> int:
        """Records what the receipts in answers prove; returns how many there were."""
        outcomes = await self._reader.read(pairs)
        proven = [outcome for outcome in outcomes if outcome.state in ANSWERED]
        await self._store.record(proven, self._clock())
        return len(proven)
