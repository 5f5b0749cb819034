"""Answers updates of senders: what waits is in the database and is looked at again and again."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from edoccore.directory.view import Directory
from edoccore.signing.records import StatusStep
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.model import MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import InboxEntry
from edocnode.domain.setting_aside import Waiting
from edocnode.domain.updating import ReceivedUpdate, ReceivedUpdates, plan_update_answer
from edocnode.domain.workflow import Decision
from edocnode.workers.revoking import ACTOR, AT_ONCE, ID_RANDOM_BYTES, LOOK_AGAIN
from edocnode.workers.room import when_there_is_room
from edocnode.workers.scheduling import Wakes
from edocnode.workers.setting_aside import SettingAside

MOVES_ON = timedelta(seconds=0.1)  # after an answer that something else overtook

log = structlog.get_logger(__name__)


class UpdateDesk:
    """Puts newer versions of documents in force."""

    def __init__(
        self,
        *,
        agency: str,
        store: ReceivedUpdates,
        sealer: Wakes,
        directory: Callable[[], Directory],
        asks: bool,
        aside: SettingAside[Waiting],
        clock: Callable[[], datetime],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            asks: A person answers for documents that are here.
        """
        self._agency = agency
        self._store = store
        self._sealer = sealer
        self._directory = directory
        self._asks = asks
        self._aside = aside
        self._clock = clock
        self._random = random

    async def run(self) -> None:
        """Answers until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            answered = await when_there_is_room("updates", self._look)
            await asyncio.sleep((MOVES_ON if answered else LOOK_AGAIN).total_seconds())

    async def answer_open(self) -> int:
        """Agrees to what waits and asks nobody; returns how many answers were kept."""
        without = self._aside.left_out()
        found = await self._store.open_updates(AT_ONCE, asks=self._asks, without=without)
        done = [await self._aside.one(item, partial(self._settle, item)) for item in found]
        return sum(map(bool, done))

    async def update_of(self, entry: InboxEntry) -> ReceivedUpdate | None:
        """The newest update of a received document that a person may answer."""
        return await self._store.update_of(entry)

    async def answer(self, update: ReceivedUpdate, entry: InboxEntry, decision: Decision) -> bool:
        """Answers one update of a document; False when something changed meanwhile."""
        now = self._clock()
        answer = plan_update_answer(
            update,
            entry,
            decision,
            self._directory(),
            agency=self._agency,
            message_id=MessageId(new_id(now, self._random(ID_RANDOM_BYTES))),
            now=now,
        )
        kept = await self._store.answer_update(answer, self._random(SALT_BYTES))
        if kept:
            self._sealer.wake()
            log.info(
                "update.answered",
                document_id=uuid_text(update.document_id),
                agency=update.sender,
                step=decision.step.value,
            )
        return kept

    async def _look(self) -> int | None:
        return await self._aside.look(self.answer_open)

    async def _settle(self, item: Waiting) -> bool:
        update = await self._store.update_at(item.place)
        if update is None:
            return False
        if update.entry is None:
            return await self._store.take_as_document(update, self._clock())
        agree = Decision(step=StatusStep.AGREED, actor=ACTOR)
        return await self.answer(update, update.entry, agree)
