"""Answers revocations of senders and removes the files of what was destroyed.

What waits is in the database and is looked at again and again, so a restart needs no care of its
own: a document becomes inaccessible in one transaction with its answer, its files go afterwards.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from edoccore.directory.view import Directory
from edoccore.signing.records import StatusStep
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edockit.blobs import BlobFolder
from edocnode.domain.model import MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import InboxEntry
from edocnode.domain.repair import RepairStore
from edocnode.domain.revoking import ReceivedRevocation, ReceivedRevocations, plan_answer
from edocnode.domain.setting_aside import Waiting
from edocnode.domain.workflow import Decision
from edocnode.workers.room import when_there_is_room
from edocnode.workers.scheduling import Wakes
from edocnode.workers.setting_aside import SettingAside

LOOK_AGAIN = timedelta(seconds=0.5)
FILES_LATER = timedelta(seconds=2)  # when some could not go yet
AT_ONCE = 50
ACTOR = "edocnode"  # who agrees when nobody is asked
ID_RANDOM_BYTES = 10

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator chose.

    Attributes:
        asks: A person answers for documents that are here.
        still_held: Copies that this node cannot destroy, in words for the sender.
    """

    asks: bool
    still_held: Sequence[str]


class RevocationDesk:
    """Answers what senders take back."""

    def __init__(
        self,
        *,
        agency: str,
        store: ReceivedRevocations,
        sealer: Wakes,
        directory: Callable[[], Directory],
        policy: Policy,
        aside: SettingAside[Waiting],
        clock: Callable[[], datetime],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Joins the parts; nothing happens before ``run``."""
        self._aside = aside
        self._agency = agency
        self._store = store
        self._sealer = sealer
        self._directory = directory
        self._policy = policy
        self._clock = clock
        self._random = random

    async def run(self) -> None:
        """Answers until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            if not await when_there_is_room("revocations", self._look):
                await asyncio.sleep(LOOK_AGAIN.total_seconds())

    async def answer_open(self) -> int:
        """Agrees to what waits and asks nobody; returns how many answers were kept."""
        without = self._aside.left_out()
        found = await self._store.open_revocations(AT_ONCE, asks=self._policy.asks, without=without)
        done = [await self._aside.one(item, partial(self._agree, item)) for item in found]
        return sum(map(bool, done))

    async def revocation_of(self, entry: InboxEntry) -> ReceivedRevocation | None:
        """The newest revocation of a received document; None when there is none."""
        return await self._store.revocation_of(entry)

    async def _look(self) -> int | None:
        return await self._aside.look(self.answer_open)

    async def _agree(self, item: Waiting) -> bool:
        revocation = await self._store.revocation_at(item.place)
        if revocation is None:
            return False
        return await self.answer(revocation, Decision(step=StatusStep.AGREED, actor=ACTOR))

    async def answer(self, revocation: ReceivedRevocation, decision: Decision) -> bool:
        """Answers one revocation; False when something changed meanwhile."""
        now = self._clock()
        answer = plan_answer(
            revocation,
            decision,
            self._directory(),
            agency=self._agency,
            message_id=MessageId(new_id(now, self._random(ID_RANDOM_BYTES))),
            now=now,
            still_held=self._policy.still_held,
        )
        kept = await self._store.answer_revocation(answer, self._random(SALT_BYTES))
        if kept:
            self._sealer.wake()
            log.info(
                "revocation.answered",
                document_id=uuid_text(revocation.document_id),
                agency=revocation.sender,
                step=decision.step.value,
                was_here=revocation.entry is not None,
            )
        return kept


class Remover:
    """Removes the files of what was destroyed."""

    def __init__(
        self,
        *,
        store: ReceivedRevocations,
        needs: RepairStore,
        blobs: BlobFolder,
        aside: SettingAside[Waiting],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            needs: Knows which files documents need.
        """
        self._store = store
        self._needs = needs
        self._blobs = blobs
        self._aside = aside

    async def run(self) -> None:
        """Removes until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            left = await when_there_is_room("removal", self._look)
            await asyncio.sleep((FILES_LATER if left else LOOK_AGAIN).total_seconds())

    async def look(self) -> int:
        """Removes files that nobody else needs; returns of how many documents some must wait.

        Looks at all of them, some at a time: those that must wait are in nobody's way.
        """
        left, after = 0, 0
        while found := await self._store.to_be_removed(
            after, AT_ONCE, without=self._aside.left_out()
        ):
            gone = {
                item: await self._aside.one(item, partial(self._all_gone, item)) for item in found
            }
            await self._aside.many([item for item in found if gone[item]], self._note)
            left += len([item for item in found if gone[item] is False])
            after = found[-1].place
        return left

    async def _look(self) -> int | None:
        return await self._aside.look(self.look)

    async def _note(self, items: Sequence[Waiting]) -> None:
        await self._store.removed([item.place for item in items])

    async def _all_gone(self, item: Waiting) -> bool:
        digests = await self._store.destroyed_files(item.place)
        return all([await self._gone(digest) for digest in digests])

    async def _gone(self, digest: str) -> bool:
        """Whether a file is gone, or is another document's by now.

        One that somebody put there may be about to be needed: it is looked at again.
        """
        mark = await asyncio.to_thread(self._blobs.removal_mark, digest)
        if mark is None:
            return False
        if not await self._needs.unused([digest]):
            return True
        return await asyncio.to_thread(self._blobs.remove_all, digest, mark)
