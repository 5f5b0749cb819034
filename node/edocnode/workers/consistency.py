"""Proves to peers that the own journal only grows, and has them prove it of theirs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edoccore.directory_errors import JournalTooShortError
from edoccore.errors import EdocError, RequestInvalidError, StorageFailedError
from edoccore.signing.merkle import leaf_hash
from edoccore.signing.merkle_table import MerkleTable
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import uuid_text
from edocnode.domain.alarms import Alarm
from edocnode.domain.consistency import (
    JOURNAL_ALTERED,
    HeldSeals,
    JournalHead,
    JournalProof,
    Refuted,
    accused,
    altered,
    check_grown,
    head_of,
    heads_to_check,
    refutation,
)
from edocnode.domain.exchange import Hello, PeerLinks
from edocnode.domain.ports import Alarms, Peers
from edocnode.domain.sessions import speaks_from

EVERY = timedelta(minutes=1)  # for each peer
EPOCH_BYTES = 16
READ_AT_ONCE = 5_000  # seals
KEPT_EPOCHS = 2  # of the own journal, whose trees are held

log = structlog.get_logger(__name__)


class JournalProver:
    """Proves that the own journal only grows."""

    def __init__(self, agency: str, seals: HeldSeals) -> None:
        """Takes whose journal it is; it is read when somebody asks."""
        self._agency = agency
        self._seals = seals
        self._tables: dict[bytes, MerkleTable] = {}
        self._turn = asyncio.Lock()

    async def prove(self, epoch: bytes, first: int, second: int) -> JournalProof:
        """The proof between two sizes of an epoch.

        Raises:
            RequestInvalidError: There can be no such proof.
            JournalTooShortError: This node has not so many seals of that epoch.
        """
        if len(epoch) != EPOCH_BYTES or not 0 <= first < second:
            raise RequestInvalidError("A proof is between a smaller and a larger size of an epoch.")
        async with self._turn:
            table = await self._table(epoch, second)
        if table.size < second:
            raise JournalTooShortError(
                f"{self._agency} has {table.size} seals of epoch {uuid_text(epoch)}, not {second}.",
                agency=self._agency,
            )
        return JournalProof(
            consistency=tuple(table.consistency(first, second)),
            inclusion=tuple(table.inclusion(first, second)),
        )

    async def _table(self, epoch: bytes, size: int) -> MerkleTable:
        """The tree of an epoch, read on as far as is asked for."""
        table = self._tables.pop(epoch, None) or MerkleTable()
        while table.size < size:
            read = await self._seals.seals_from(self._agency, epoch, table.size, READ_AT_ONCE)
            if not read:
                break
            await asyncio.to_thread(_append, table, read)
        if table.size:
            self._tables[epoch] = table
        while len(self._tables) > KEPT_EPOCHS:
            del self._tables[next(iter(self._tables))]
        return table


def _append(table: MerkleTable, seals: list[bytes]) -> None:
    for data in seals:
        table.append(leaf_hash(data))


class WatchStore(Peers, Alarms, Protocol):
    """What is known of peers, and where people are told."""

    async def alarms_about(self, kind: str, subject: str) -> Sequence[Alarm]:
        """The alarms of a kind and subject, those that were acknowledged too, oldest first."""


class JournalWatch:
    """Has each peer prove that its journal continues the seals that are here, after a hello."""

    def __init__(
        self,
        *,
        store: WatchStore,
        seals: HeldSeals,
        links: PeerLinks,
        greet: Callable[[str], Awaitable[Hello]],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``met``.

        Args:
            greet: Exchanges hellos with a peer; returns the peer's.
        """
        self._store = store
        self._seals = seals
        self._links = links
        self._greet = greet
        self._clock = clock
        self._asked: dict[str, datetime] = {}
        self._proven: dict[tuple[str, bytes], SignedSeal] = {}
        self._refuted: dict[tuple[str, bytes], str] = {}  # the alarm's proof; nothing proven since
        self._running: dict[str, asyncio.Task[None]] = {}

    def met(self, agency: str) -> None:
        """Hears that a peer was met; looks at its journal in the background, once a minute."""
        last, now = self._asked.get(agency), self._clock()
        if last is not None and timedelta(0) <= now - last < EVERY:
            return
        running = self._running.get(agency)
        if running is None or running.done():
            self._asked[agency] = now
            self._running[agency] = asyncio.create_task(self._watch(agency))

    async def stop(self) -> None:
        """Ends what runs in the background; it is begun again at the next hello."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, agency: str) -> None:
        try:
            await self.look(agency)
        except StorageFailedError:
            log.exception("journal_watch.failed", agency=agency)  # what is kept stops the node
        except EdocError as error:
            log.info("journal_watch.unanswered", agency=agency, reason=error.reason)

    async def look(self, agency: str) -> None:
        """Compares the newest heads of a peer with the seals that are here.

        Raises:
            EdocError: The peer does not answer; it is asked again at a later hello.
        """
        known = await self._store.journal_of(agency)
        for head in heads_to_check(known):
            current = head.epoch == known.epoch
            older = await self._older(agency, head, current=current)
            if older is not None and head_of(older).size < head.size:
                await self._have_proven(agency, older, head, current=current)

    async def _older(self, agency: str, head: JournalHead, *, current: bool) -> SignedSeal | None:
        """The seal that a head must continue.

        In the newest epoch the head is the newest seal, which covers all since the one proven last.
        Where a head was refuted, the journal goes on from there: what was wrong before is told, and
        whoever alters it once more is found again.
        Of the epoch before it is what the peer says now: that must cover the newest seal before
        its end. After a restore it ends earlier, but what it kept is what it was.
        """
        if not current:
            return await self._seals.seal_below(agency, head.epoch, head.size)
        proven = self._proven.get((agency, head.epoch))
        proven = proven or await self._refuted_seal(agency, head.epoch)
        return proven or await self._seals.first_seal(agency, head.epoch)

    async def _refuted_seal(self, agency: str, epoch: bytes) -> SignedSeal | None:
        """The newest seal of an epoch of which an alarm says that it continues nothing."""
        for alarm in reversed(await self._store.alarms_about(JOURNAL_ALTERED, agency)):
            digest, size = accused(alarm.proof)
            seal = await self._seals.seal_below(agency, epoch, size + 1)
            if seal is not None and seal.digest().hex() == digest:
                return seal
        return None

    async def _have_proven(
        self, agency: str, older: SignedSeal, newer: JournalHead, *, current: bool
    ) -> None:
        first = head_of(older).size
        try:
            proof = await self._links.link(agency).consistency(newer.epoch, first, newer.size)
            await asyncio.to_thread(check_grown, older, newer, proof)
        except JournalTooShortError as error:
            # Nobody loses seals of the epoch from which he speaks. Whoever was restored speaks from
            # another: an older one too, if what he lost was sealed under a clock that was ahead.
            # Asked once more, since he may have been restored after the hello that led here.
            if current and speaks_from(await self._greet(agency), newer.epoch):
                await self._tell_altered(agency, older, newer, error.message)
            else:
                log.info("journal_watch.too_short", agency=agency, why=error.message)
        except Refuted as error:
            await self._tell_altered(agency, older, newer, error.message)
        else:
            log.debug("journal_watch.grown", agency=agency, first=first, second=newer.size)
            self._refuted.pop((agency, newer.epoch), None)
            if current:
                self._proven[agency, newer.epoch] = newer.stated_by

    async def _tell_altered(
        self, agency: str, older: SignedSeal, newer: JournalHead, why: str
    ) -> None:
        log.error("journal.altered", agency=agency, why=why)
        place = agency, newer.epoch
        # Whoever cannot prove one head proves no later one either: that is the same alarm.
        proof = self._refuted.get(place) or refutation(older, newer)
        self._refuted[place] = proof
        self._proven.pop(place, None)
        message = altered(agency, older, newer, why)
        await self._store.raise_alarm(JOURNAL_ALTERED, agency, message, self._clock(), proof)
