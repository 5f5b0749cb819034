"""Reckoning: says what is settled to peers, finds what never arrived from them, and asks for it.

Both sides at most once a minute for each peer, over a bounded number of envelopes.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from edoccore.errors import EdocError, StorageFailedError
from edoccore.signing.statements import uuid_text
from edocnode.domain.alarms import digest_of
from edocnode.domain.exchange import Hello, PeerLinks
from edocnode.domain.model import SealCommit
from edocnode.domain.numbers import (
    DOCUMENT_GONE,
    SEQUENCE_GAP,
    NumberAnswer,
    NumberState,
    NumberStore,
    Range,
    Settled,
    question,
    ranges_text,
)
from edocnode.domain.ports import Alarms
from edocnode.domain.setting_aside import Peer
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

EVERY = timedelta(minutes=1)
GREETED_AT_ONCE = 32

log = structlog.get_logger(__name__)


class Greets(Protocol):
    """Says hello to peers."""

    async def greet(self, agency: str) -> Hello:
        """Exchanges hellos with one peer."""


class Settler:
    """Tells peers what is settled, when it has changed."""

    def __init__(self, *, store: NumberStore, greeter: Greets, aside: SettingAside[Peer]) -> None:
        """Joins the parts; nothing happens before ``run``."""
        self._aside = aside
        self._store = store
        self._greeter = greeter
        self._active: set[str] = set()  # nodes to which something was sealed, not all told yet
        self._told: dict[str, Sequence[Settled]] = {}

    def on_sealed(self, commit: SealCommit) -> None:
        """Hears of freshly sealed envelopes."""
        self._active |= {envelope.draft.to_node for envelope in commit.envelopes}

    async def run(self) -> None:
        """Tells until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            await when_there_is_room("settled", partial(self._aside.look, self.look))

    async def look(self) -> None:
        """Tells all peers to which something was sealed since they were told."""
        places = asyncio.Semaphore(GREETED_AT_ONCE)

        async def one(agency: str) -> None:
            async with places:
                await self._aside.one(Peer(agency), partial(self._tell, agency))

        await asyncio.gather(*(one(agency) for agency in sorted(self._active)))

    async def _tell(self, agency: str) -> None:
        marks = await self._store.settled(agency)
        if marks == self._told.get(agency):
            self._active.discard(agency)  # nothing moved for a minute
            return
        try:
            await self._greeter.greet(agency)
        except StorageFailedError:
            raise
        except EdocError as error:  # told with the next hello
            log.info("settled.untold", agency=agency, reason=error.reason)
            return
        self._told[agency] = marks


class Reckoner:
    """Finds numbers of peers that never arrived, and asks what became of them."""

    def __init__(
        self,
        *,
        store: NumberStore,
        alarms: Alarms,
        links: PeerLinks,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts."""
        self._store = store
        self._alarms = alarms
        self._links = links
        self._clock = clock
        self._marks: dict[str, Sequence[Settled]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def heard(self, agency: str, marks: Sequence[Settled]) -> None:
        """Hears what is settled at a peer; looks in the background whether all of it arrived."""
        self._marks[agency] = marks
        running = self._running.get(agency)
        if running is None or running.done():
            self._running[agency] = asyncio.create_task(self._watch(agency))

    async def stop(self) -> None:
        """Ends what runs in the background; it is begun again at the next hello."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, agency: str) -> None:
        """Looks until nothing is missing up to the newest marks; asks once a minute."""
        try:
            while True:
                marks = self._marks[agency]
                missing = await self._missing(agency, marks)
                if not missing and marks is self._marks[agency]:
                    await self._alarms.clear_alarm(SEQUENCE_GAP, agency)
                    return
                await self._alarm(agency, missing)
                for mark, ranges in missing:
                    await self._ask(agency, mark, question(ranges))
                if await self._missing(agency, marks):
                    await asyncio.sleep(EVERY.total_seconds())
        except EdocError as error:  # StorageFailedError stops the node where documents are kept
            log.error("reckoning.stopped", agency=agency, reason=error.reason, why=error.message)
        except Exception:  # begun again at the next hello
            log.exception("reckoning.failed", agency=agency)

    async def _missing(
        self, agency: str, marks: Sequence[Settled]
    ) -> list[tuple[Settled, Sequence[Range]]]:
        found = [(mark, await self._store.missing(agency, mark)) for mark in marks]
        return [(mark, ranges) for mark, ranges in found if ranges]

    async def _alarm(self, agency: str, missing: Sequence[tuple[Settled, Sequence[Range]]]) -> None:
        if not missing:
            return
        told = "; ".join(
            f"{ranges_text(ranges)} of epoch {uuid_text(mark.epoch)}" for mark, ranges in missing
        )
        message = (
            f"{agency} says that these numbers of its envelopes to this node are settled, but they "
            f"never arrived or were lost here: {told}. It is asked what became of them once a "
            f"minute; what it still has is delivered again."
        )
        await self._alarms.raise_alarm(SEQUENCE_GAP, agency, message, self._clock())
        log.error("sequence.gap", agency=agency, numbers=told)

    async def _ask(self, agency: str, mark: Settled, ranges: Sequence[Range]) -> None:
        """Asks about numbers and notes what was said of those that will not come."""
        try:
            answers = await self._links.link(agency).reconcile(mark.epoch, ranges)
        except EdocError as error:
            log.info("reckoning.unanswered", agency=agency, reason=error.reason)
            return
        asked = {number for first, last in ranges for number in range(first, last + 1)}
        answers = [answer for answer in answers if answer.seq in asked]
        ended = [answer for answer in answers if await self._is_ended(agency, answer)]
        # First: what is noted is not asked for again, and a stop between the two would hide it.
        await self._tell_gone(agency, [a for a in ended if a.state is NumberState.GONE])
        await self._store.explain(agency, mark.epoch, ended, self._clock())
        counts = {state.value: 0 for state in NumberState}
        for answer in answers:
            counts[answer.state] += 1
        log.info("reckoning.answered", agency=agency, **counts)

    async def _is_ended(self, agency: str, answer: NumberAnswer) -> bool:
        """Whether nothing will come under a number any more."""
        match answer.state:
            case NumberState.COMING:
                return False
            case NumberState.ELSEWHERE:
                return bool(await self._store.messages_held(agency, [answer.message_id]))
            case _:
                return True

    async def _tell_gone(self, agency: str, answers: Sequence[NumberAnswer]) -> None:
        if not answers:
            return
        ids = ", ".join(uuid_text(answer.message_id) for answer in answers[:8])
        message = (
            f"Messages of {agency} that were acknowledged here are lost here, and {agency} can "
            f"offer them no more: {ids}. Restore them from a backup, or ask {agency} to send the "
            f"documents again."
        )
        proof = digest_of(*sorted(answer.message_id for answer in answers))
        await self._alarms.raise_alarm(DOCUMENT_GONE, agency, message, self._clock(), proof)
