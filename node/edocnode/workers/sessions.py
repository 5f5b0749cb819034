"""Meeting other nodes: what this node says of itself, what follows from what they say.

One place for both directions, since a hello means the same whether it came as a call or as an
answer. What was decided is committed before the hello counts.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import (
    EpochSupersededError,
    HelloMissingError,
    PeerNotTrustedError,
    SealCertificateError,
    SealInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import (
    SealedStatement,
    SignedSeal,
    VerifiedSeal,
    check_membership,
    open_seal,
)
from edoccore.signing.statements import DirectoryMark, EpochOpening, uuid_text
from edocnode.domain.consistency import TWO_HISTORIES, rivals, two_histories
from edocnode.domain.exchange import EARLIER_OPENINGS, Hello
from edocnode.domain.numbers import NumberStore, Settled
from edocnode.domain.ports import Alarms, Journals, Outbox
from edocnode.domain.sessions import (
    HelloKind,
    OpenedEpoch,
    is_after_successor,
    judge_hello,
    left_out,
    read_opening,
)
from edocnode.workers.sealer import Sealer

MAX_SKEW = timedelta(minutes=5)  # beyond it, an alarm says whose clock to look at
TAIL_LOST = "TAIL_LOST"
OWN_TAIL_LOST = "OWN_TAIL_LOST"
CLOCK_SKEW = "CLOCK_SKEW"

log = structlog.get_logger(__name__)


class SessionStore(Journals, NumberStore, Protocol):
    """What is known of the journals of all agencies, and what is settled with each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What came of a hello.

    Attributes:
        epoch: The peer's epoch, 16 bytes; empty while it cannot seal.
        tail_lost: The peer was restored and has not fetched what it lost yet.
    """

    agency: str
    epoch: bytes
    tail_lost: bool


class Sessions:
    """Says hello and judges hellos."""

    def __init__(
        self,
        *,
        network: str,
        agency: str,
        journals: SessionStore,
        outbox: Outbox,
        alarms: Alarms,
        sealer: Sealer,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts."""
        self._network = network
        self._agency = agency
        self._journals = journals
        self._outbox = outbox
        self._alarms = alarms
        self._sealer = sealer
        self._directory = directory
        self._clock = clock
        self._epochs: dict[str, bytes] = {}
        self._openings: dict[str, OpenedEpoch] = {}
        self._lost: dict[str, tuple[OpenedEpoch, ...]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._on_met: list[Callable[[str], None]] = []
        self._on_settled: list[Callable[[str, Sequence[Settled]], None]] = []
        self._on_own_loss: list[Callable[[str], None]] = []
        self._on_directory: list[Callable[[str, DirectoryMark], None]] = []

    def on_met(self, listener: Callable[[str], None]) -> None:
        """Calls ``listener(agency)`` after a peer answered or said hello."""
        self._on_met.append(listener)

    def on_own_loss(self, listener: Callable[[str], None]) -> None:
        """Calls ``listener(agency)`` when a peer says that this node's tail was lost."""
        self._on_own_loss.append(listener)

    def on_settled(self, listener: Callable[[str, Sequence[Settled]], None]) -> None:
        """Calls ``listener(agency, marks)`` when a peer says what is settled.

        Only with epochs whose sealed openings were shown: nobody can make up others.
        """
        self._on_settled.append(listener)

    def on_directory(self, listener: Callable[[str, DirectoryMark], None]) -> None:
        """Calls ``listener(agency, mark)`` with the directory that a peer says that it holds."""
        self._on_directory.append(listener)

    @property
    def own_epoch(self) -> bytes:
        """The epoch from which this node speaks, 16 bytes; empty before the first."""
        return self._sealer.epoch

    async def hello_to(self, agency: str) -> Hello:
        """What this node says to a peer."""
        known = await self._journals.journal_of(agency)
        openings = await self._journals.own_statements("epoch", EARLIER_OPENINGS + 1)
        return Hello(
            agency=self._agency,
            opening=self._sealer.opening,
            earlier=tuple(openings[1:]),
            known=known.highest,
            known_opening=known.opening,
            directory=self._directory().mark,
            time=self._clock(),
            tail_lost=agency in self._lost or await self._lost_before_start(agency),
            settled=tuple(await self._journals.settled(agency)),
        )

    async def meet(self, agency: str, hello: Hello) -> Meeting:
        """Judges a peer's hello and does what follows from it.

        Args:
            agency: Agency of the TLS certificate at the other end.

        Raises:
            PeerNotTrustedError: The hello speaks for another agency.
            EdocError: The opening is not sealed as it must be.
        """
        if hello.agency != agency:
            raise PeerNotTrustedError(
                f"{agency} said hello as {hello.agency}; a node speaks only for its own agency.",
                agency=agency,
            )
        await self._hear_of_self(agency, hello)
        async with self._locks.setdefault(agency, asyncio.Lock()):
            meeting = await self._judge(agency, hello)
        await self._journals.peer_answered(agency, self._clock())
        await self._watch_clock(agency, hello)
        for listener in self._on_met:
            listener(agency)
        for told in self._on_directory:
            told(agency, hello.directory)
        return meeting

    async def remember_epoch(self, agency: str) -> None:
        """Recalls an agency's newest epoch when it said no hello since this node started."""
        if agency not in self._epochs:
            known = await self._journals.journal_of(agency)
            self._epochs.setdefault(agency, known.epoch)

    def check_epoch(self, agency: str, epoch: bytes) -> None:
        """Lets a call go on only while its epoch is the newest of its agency.

        Args:
            epoch: 16 bytes; empty while the agency cannot seal, which is let through.

        Raises:
            EpochSupersededError: A newer start of the agency is known.
        """
        newest = self._epochs.get(agency, b"")
        if epoch and newest > epoch:
            raise EpochSupersededError(
                f"A newer start of the node of {agency} is known: epoch {uuid_text(newest)}.",
                hint="Stop the other copy, then run: edocnode takeover --yes",
                agency=agency,
                epoch=uuid_text(newest),
            )

    def check_seal(self, seal: VerifiedSeal) -> None:
        """Refuses a seal that was made in an epoch after its successor was opened.

        Raises:
            EpochSupersededError: Two copies of the signer's node run, or its data was altered.
        """
        newest = self._openings.get(seal.seal.signer)
        if newest is not None and is_after_successor(seal, newest):
            raise EpochSupersededError(
                f"{seal.seal.signer} sealed in epoch {seal.seal.epoch} after it had opened epoch "
                f"{uuid_text(newest.epoch)}: another copy of its node is running.",
                agency=seal.seal.signer,
            )

    async def lost_tail_of(self, agency: str) -> Sequence[OpenedEpoch]:
        """The openings with which a restored peer left out seals known here; none if it did not.

        Raises:
            HelloMissingError: It did before this node started, and was not met since.
        """
        if agency not in self._lost and await self._lost_before_start(agency):
            # To answer "nothing" would be believed, and end the loss for good.
            raise HelloMissingError(
                f"What {agency} lost is known here only after its hello: this node has just "
                f"started.",
                hint=f"The node of {agency} says hello and asks again by itself.",
                agency=agency,
            )
        return self._lost.get(agency, ())

    async def gave_back(self, agency: str) -> None:
        """Notes that a restored peer fetched all it had lost."""
        if self._lost.pop(agency, None) is not None:
            await self._alarms.clear_alarm(TAIL_LOST, agency)

    async def _two_histories(self, agency: str, first: SignedSeal, second: SignedSeal) -> None:
        """Alarms about two different seals of one place in an agency's journal."""
        message = two_histories(agency, first, second)
        proof = rivals(first, second)
        await self._alarms.raise_alarm(TWO_HISTORIES, agency, message, self._clock(), proof)

    async def _judge(self, agency: str, hello: Hello) -> Meeting:
        if hello.opening is None:
            return Meeting(agency=agency, epoch=b"", tail_lost=False)
        chain = await asyncio.to_thread(self._read_chain, agency, hello.opening, hello.earlier)
        opened = chain[0]
        # Receipts may have come under the new epoch before its opening did: they lose nothing.
        known = await self._journals.journal_of(agency, opened.epoch)
        kind = judge_hello(known, opened)
        if kind is HelloKind.SUPERSEDED:
            self._epochs[agency] = known.epoch
            return Meeting(agency=agency, epoch=opened.epoch, tail_lost=False)
        if kind is not HelloKind.SAME:
            lost = await self._left_out(agency, chain, since=known.epoch)
            if lost:
                await self._note_lost_tail(agency, lost)
        if known.opening is None or known.opening.seal.data != hello.opening.seal.data:
            rival = await self._journals.note_seal(agency, hello.opening.seal, self._clock())
            if rival is not None:
                await self._two_histories(agency, rival, hello.opening.seal)
        if kind is not HelloKind.SAME:
            await self._journals.note_opening(agency, hello.opening, self._clock())
        if agency not in self._lost and await self._has_alarm(TAIL_LOST, agency):
            await self._recall_lost_tail(agency, chain)
        self._epochs[agency] = opened.epoch
        self._openings[agency] = opened
        self._tell_settled(agency, hello, {each.epoch for each in chain})
        return Meeting(agency=agency, epoch=opened.epoch, tail_lost=agency in self._lost)

    def _tell_settled(self, agency: str, hello: Hello, shown: set[bytes]) -> None:
        marks = [mark for mark in hello.settled if mark.epoch in shown and mark.first <= mark.last]
        for listener in self._on_settled if marks else ():
            listener(agency, marks)

    async def _note_lost_tail(self, agency: str, lost: Sequence[OpenedEpoch]) -> None:
        """A restored peer: what it acknowledged and lost is offered again, before all else."""
        # What it lost before is still to be given back if it did not fetch it yet.
        self._lost[agency] = (*lost, *self._lost.get(agency, ()))
        again = 0
        for opened in lost:
            again += await self._outbox.requeue_lost(
                agency, kept=opened.previous, epoch=opened.epoch
            )
        message = (
            f"Tail lost at restore: the journal of {agency} continues without seals that are "
            f"known here. {again} documents it had acknowledged are delivered again; what it had "
            f"sent is given back when it asks."
        )
        await self._alarms.raise_alarm(TAIL_LOST, agency, message, self._clock())
        log.warning("peer.tail_lost", agency=agency, again=again)

    async def _recall_lost_tail(self, agency: str, chain: Sequence[OpenedEpoch]) -> None:
        """After a restart here: finds again which opening left seals out, to give them back."""
        lost = await self._left_out(agency, chain, since=b"")
        if lost:
            self._lost[agency] = lost

    async def _left_out(
        self, agency: str, chain: Sequence[OpenedEpoch], *, since: bytes
    ) -> tuple[OpenedEpoch, ...]:
        """The openings that leave out seals which are known here, the newest first.

        Each is compared with the seals before it: one that was not shown at its time, because its
        node said hello before its sealer was open, is hidden by what was sealed under it since.

        Args:
            since: The newest epoch that was judged; older ones of the chain were, too. If it is
                not in the chain it was itself left out, and any of them may be new here: a node
                restored twice has more than one that leaves something out.
        """
        lost: dict[bytes, OpenedEpoch] = {}
        for place, opened in enumerate(chain):
            if opened.epoch == since:
                break
            known = await self._journals.journal_of(agency, opened.epoch)
            if known.highest is None:
                break  # nor is anything known before
            if (found := left_out(known, chain[place:])) is not None:
                lost.setdefault(found.epoch, found)
        return tuple(lost.values())

    async def _lost_before_start(self, agency: str) -> bool:
        """Whether a peer that was not met since this start had not fetched what it lost."""
        return agency not in self._openings and await self._has_alarm(TAIL_LOST, agency)

    async def _hear_of_self(self, agency: str, hello: Hello) -> None:
        """What the peer knows of this node: a newer copy of it, or a tail it has lost."""
        if hello.known_opening is not None:
            await self._hear_of_newer_copy(agency, hello.known_opening)
        if not hello.tail_lost:
            await self._alarms.clear_alarm(OWN_TAIL_LOST, agency)
            return
        message = (
            f"Tail lost at restore: {agency} knows seals of this node that its journal does "
            f"not continue. What {agency} holds is being given back."
        )
        await self._alarms.raise_alarm(OWN_TAIL_LOST, agency, message, self._clock())
        log.warning("own.tail_lost", told_by=agency)
        for listener in self._on_own_loss:
            listener(agency)

    async def _hear_of_newer_copy(self, agency: str, statement: SealedStatement) -> None:
        """Steps back for another copy of this node; not for one whose seal does not hold."""
        try:
            opened = await asyncio.to_thread(self._read_opening, self._agency, statement)
        except SealCertificateError as error:
            log.info("own.opening_of_old_seal", told_by=agency, cause=error.message)
            return
        if self._sealer.epoch and opened.epoch > self._sealer.epoch:
            await self._sealer.superseded(opened.epoch, agency)

    async def _watch_clock(self, agency: str, hello: Hello) -> None:
        now = self._clock()
        skew = abs(hello.time - now)
        if skew <= MAX_SKEW:
            await self._alarms.clear_alarm(CLOCK_SKEW, agency)
            return
        message = (
            f"The clock of {agency} differs from this one by {int(skew.total_seconds())} s; "
            f"one of the two is wrong. Check time synchronisation here first."
        )
        await self._alarms.raise_alarm(CLOCK_SKEW, agency, message, now)

    async def _has_alarm(self, kind: str, subject: str) -> bool:
        return any(
            alarm.kind == kind and alarm.subject == subject for alarm in await self._alarms.alarms()
        )

    def _read_chain(
        self, agency: str, opening: SealedStatement, earlier: Sequence[SealedStatement]
    ) -> list[OpenedEpoch]:
        """The openings, the newest first.

        Earlier ones end where a certificate does not hold any more: how a journal went on before
        the key was changed is known from the time when it did.
        """
        chain = [self._read_opening(agency, opening)]
        for statement in earlier:
            try:
                chain.append(self._read_opening(agency, statement))
            except SealCertificateError:
                break
        return chain

    def _read_opening(self, agency: str, statement: SealedStatement) -> OpenedEpoch:
        seal = open_seal(statement.seal, self._directory(), network=self._network, at=self._clock())
        if seal.seal.signer != agency:
            raise SealInvalidError(
                f"The opening shown for {agency} was sealed by {seal.seal.signer}.", agency=agency
            )
        check_membership(seal.seal, statement.statement, statement.leaf, statement.proof)
        opening = canonical.decode(statement.statement, EpochOpening)
        return read_opening(opening, statement, seal)
