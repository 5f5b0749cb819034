"""The sealer: the one place where this agency signs.

Takes all that is kept and unsealed, signs outside any transaction, commits seal, proofs and
visibility in one transaction fenced by its epoch; only then is anybody told. A crash between
keeping and sealing is made good at the next start. After any commit that failed or is unknown,
the database is the truth: the sealer forgets what it signed and opens a new epoch.

Never signs for a superseded epoch: when a peer shows a newer opening that is not in this
database, another copy of the node is running; the sealer stops, raises an alarm, and goes on
only by ``takeover``.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

import structlog

from edoccore.errors import (
    DiskFullError,
    EdocError,
    EpochSupersededError,
    SealerStoppedError,
    StorageFailedError,
)
from edoccore.identity.keys import Signer
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import DirectoryMark, uuid_bytes, uuid_text
from edockit.pieces import in_pieces
from edocnode.domain.handing_on import Ahead
from edocnode.domain.model import (
    EnvelopeDraft,
    IncomingId,
    ReceiptDraft,
    SealCommit,
    SealedOwn,
    Unsealed,
)
from edocnode.domain.ports import Alarms, SealerStore
from edocnode.domain.sealing import (
    EpochState,
    OwnStatement,
    SealGroup,
    SealingKey,
    Worded,
    Wording,
    commit_of,
    next_epoch,
    only_answers,
    opening,
    prepare,
    to_be_read_again,
)
from edocnode.workers.awaited import AwaitedReceipts
from edocnode.workers.handed_over import HandedOver

RETRY = timedelta(seconds=1)  # after a signer or disk failed
LOOK_AGAIN = timedelta(seconds=5)  # idle; then for what was kept by whoever left untold
NOTHING = Unsealed(envelopes=(), receipts=(), effects=())

log = structlog.get_logger(__name__)


class SealerState(StrEnum):
    """Whether this node seals."""

    STARTING = "starting"
    SEALING = "sealing"
    FAILING = "failing"  # signer or disk fails; tried again
    SUPERSEDED = "superseded"  # another copy runs; only takeover goes on
    STOPPED = "stopped"


class Sealer:
    """Seals what is kept, group by group, in one epoch at a time."""

    def __init__(
        self,
        *,
        store: SealerStore,
        alarms: Alarms,
        signer: Signer,
        key: SealingKey,
        directory: Callable[[], DirectoryMark],
        clock: Callable[[], datetime],
        chance: Callable[[int], bytes] = secrets.token_bytes,
        problem: Callable[[SealingKey], str] = lambda _: "",
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            problem: Why nothing may be sealed with a key now; empty when it may.
            chance: So many random bytes, for the ids of epochs.
        """
        self._store = store
        self._alarms = alarms
        self._signer = signer
        self._key = key
        self._directory = directory
        self._clock = clock
        self._chance = chance
        self._problem = problem
        self._has_ended: Callable[[], bool] = lambda: False
        self._ahead = Ahead()
        self._is_new_seal = False
        self._epoch: EpochState | None = None
        self._opening: SealedStatement | None = None
        self._reason = "start"
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()  # a takeover waits for the group under way
        self._owns: list[tuple[OwnStatement, asyncio.Future[SealedStatement]]] = []
        self._awaited = AwaitedReceipts()
        self._over = HandedOver(store)
        self._listeners: list[Callable[[SealCommit], None]] = []
        self._on_takeover: list[Callable[[], None]] = []
        self._opened = asyncio.Event()
        self._highest_known = b""
        self.state = SealerState.STARTING
        self.problem = ""

    @property
    def opening(self) -> SealedStatement | None:
        """The sealed opening of the epoch in force; None while this node cannot seal."""
        return self._opening if self.state is not SealerState.SUPERSEDED else None

    @property
    def epoch(self) -> bytes:
        """The epoch in force, 16 bytes; empty before the first."""
        return self._epoch.epoch if self._epoch else b""

    def ends_when(self, has_ended: Callable[[], bool]) -> None:
        """Seals nothing new in the name of its agency once ``has_ended`` says so."""
        self._has_ended = has_ended

    def paced_by(self, have_enough: Callable[[Collection[str]], bool]) -> None:
        """Seals no further ahead of couriers than ``have_enough`` says, see ``Ahead``."""
        self._ahead = Ahead(have_enough)

    def has_room(self) -> None:
        """A courier will soon have nothing left of what is sealed."""
        self._wake.set()

    def on_sealed(self, listener: Callable[[SealCommit], None]) -> None:
        """Calls ``listener`` after each commit, on the event loop."""
        self._listeners.append(listener)

    def on_takeover(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` when an operator had this node go on in the place of another copy."""
        self._on_takeover.append(listener)

    def wake(self) -> None:
        """Tells that something was kept, to be found in the database."""
        self._over.look()
        self._wake.set()

    def kept(self, drafts: Sequence[ReceiptDraft]) -> None:
        """Hands over arrivals that were kept a moment ago, so that nobody reads them again."""
        self._over.add_receipts([each for each in drafts if each.incoming_id not in self._awaited])
        self._wake.set()

    def handed_in(self, drafts: Sequence[EnvelopeDraft]) -> None:
        """Hands over deliveries that were kept a moment ago, so that nobody reads them again."""
        self._over.add_envelopes(drafts)
        self._wake.set()

    async def opened(self) -> None:
        """Waits until an epoch is open."""
        await self._opened.wait()

    async def seal_own(self, kind: str, data: bytes) -> SealedStatement:
        """Seals a statement about this agency with the next group."""
        future: asyncio.Future[SealedStatement] = asyncio.get_running_loop().create_future()
        self._owns.append((OwnStatement(kind=kind, data=data), future))
        self.wake()
        return await future

    async def receipts(
        self, ids: Sequence[IncomingId], within: timedelta
    ) -> dict[IncomingId, SealedStatement]:
        """Waits for the receipts of kept arrivals; those not sealed in time are left out.

        Nobody waits while this node cannot seal.
        """
        found = self._awaited.known(ids)
        missing = {item for item in ids if item not in found}
        if missing and self.state in (SealerState.STARTING, SealerState.SEALING):
            await self._awaited.wait(missing, found, within)
        if missing:  # another worker may have sealed them
            found.update(await self._store.receipts(list(missing)))
        return found

    async def superseded(self, epoch: bytes, by: str) -> None:
        """Stops sealing: ``by`` showed the opening of a newer epoch of this agency."""
        if self._epoch is not None and epoch <= self._epoch.epoch:
            return
        self._highest_known = max(self._highest_known, epoch)
        if self.state is SealerState.SUPERSEDED:
            return
        self.state = SealerState.SUPERSEDED
        self._awaited.release()
        self.problem = (
            f"{by} knows epoch {uuid_text(epoch)}, which was opened by another copy of this "
            f"node. Stop the other copy, then run: edocnode takeover --yes"
        )
        await self._alarms.raise_alarm(
            EpochSupersededError.reason, self._key.agency, self.problem, self._clock()
        )
        log.error("sealer.superseded", by=by, epoch=uuid_text(epoch))

    async def takeover(self) -> None:
        """Goes on in a new epoch, above every epoch seen; an operator decided it."""
        async with self._turn:
            self._reason = "takeover"
            await self._open_epoch()
        await self._alarms.clear_alarm(EpochSupersededError.reason, self._key.agency)
        for listener in self._on_takeover:
            listener()

    @property
    def signer(self) -> Signer:
        """What seals are made with now; another one after ``change_seal``."""
        return self._signer

    @property
    def certificate(self) -> str:
        """SHA-256 of the certificate that seals are made with."""
        return self._key.certificates[0]

    @property
    def is_sealing(self) -> bool:
        """Whether it seals now."""
        return self.state is SealerState.SEALING

    def seal_problem(self) -> str:
        """Why the certificate in use is of no use now; empty when it holds."""
        return self._problem(self._key)

    def check_seal(self) -> None:
        """Accepts the certificate in use.

        Raises:
            SealerStoppedError: It was revoked, has ended or is not listed; says what to do.
        """
        if problem := self.seal_problem():
            raise SealerStoppedError(problem)

    async def change_seal(self, signer: Signer, key: SealingKey) -> None:
        """Goes on in a new epoch with another key; the group under way is finished with the old.

        The opening is shown to peers for as long as the epoch lasts, so it needs a key that does.
        """
        async with self._turn:
            self._signer, self._key = signer, key
            self._is_new_seal = self._epoch is not None
            self._awaited.clear()
        self.wake()

    async def run(self) -> None:
        """Seals until cancelled. A node that was superseded before its restart stays so.

        Raises:
            StorageFailedError: The disk failed to keep a write; the node must stop.
        """
        await self._recall()
        while True:
            if self.state is SealerState.SUPERSEDED:
                await self._sleep()
                continue
            try:
                async with self._turn:
                    busy = await self._work()
                if not busy:
                    await self._sleep()
            except EpochSupersededError as error:
                await self._lost_lease(error)
            except StorageFailedError:
                self.state = SealerState.STOPPED
                raise
            except SealerStoppedError as error:  # nothing was signed: the epoch goes on
                await self._failing(error)
            except DiskFullError as error:  # what was signed for this group must never be used
                self._epoch = None
                self._reason = "commit_unknown"
                await self._failing(error)

    async def _recall(self) -> None:
        alarms = {alarm.kind: alarm.message for alarm in await self._alarms.alarms()}
        self.problem = alarms.get(SealerStoppedError.reason, "")  # ends with the first seal
        if EpochSupersededError.reason in alarms:
            self.state = SealerState.SUPERSEDED
            self.problem = alarms[EpochSupersededError.reason]

    async def _open_epoch(self) -> None:
        previous = await self._store.last_head(self._key.agency)
        epoch = await self._take_lease(previous.epoch if previous else b"")
        state = EpochState(
            epoch=epoch,
            # Peers take a seal that is timed after a newer opening for another copy's.
            last_time=previous.time if previous else None,
            seqs=dict(await self._store.last_seqs(self._key.agency)),
        )
        own = opening(self._key, epoch, previous, reason=self._reason)
        commit = await self._seal(state, NOTHING, [own])
        self._epoch = state
        self._opening = _sealed(commit, commit.owns[0])
        self._reason = "start"
        self.state = SealerState.SEALING
        self._opened.set()
        log.info("sealer.epoch_opened", epoch=uuid_text(epoch))
        self.wake()
        await self._healed()

    async def _take_lease(self, previous: bytes) -> bytes:
        """Leases an epoch above every one seen.

        The lease in this database may be of a start that ended before its first seal, and the
        clock may have gone back since.
        """
        newest = max(previous, self._highest_known)
        epoch = next_epoch(self._clock(), newest, random=self._chance(10))
        try:
            await self._store.open_epoch(self._key.agency, epoch, self._clock())
        except EpochSupersededError as error:
            newest = uuid_bytes(error.fields["epoch"])
            epoch = next_epoch(self._clock(), newest, random=self._chance(10))
            await self._store.open_epoch(self._key.agency, epoch, self._clock())
        return epoch

    async def _work(self) -> bool:
        """Seals a group, in a new epoch when there is none. Returns False with nothing to do."""
        if self.state is SealerState.SUPERSEDED:  # told so since this turn was asked for
            return False
        self.check_seal()
        if self._is_new_seal:
            self._reason = "renewal"
        if self._epoch is None or self._is_new_seal:
            await self._open_epoch()
            self._is_new_seal = False
        return await self._seal_next()

    async def _seal_next(self) -> bool:
        """Seals what waits. Returns False when nothing did."""
        self._wake.clear()
        waiting = await self._next_group()
        if self._has_ended():
            self._over.envelopes.clear()  # the database has them all
            waiting = only_answers(waiting)
        if self.state is SealerState.SUPERSEDED:
            return False
        owns, self._owns = self._owns, []
        if not (owns or waiting.envelopes or waiting.receipts or waiting.effects):
            return False
        assert self._epoch is not None
        try:
            commit = await self._seal(self._epoch, waiting, [own for own, _ in owns])
        except BaseException:
            self._owns = owns + self._owns
            self._over.look()
            raise
        for (_, future), own in zip(owns, commit.owns, strict=True):
            if not future.done():
                future.set_result(_sealed(commit, own))
        self._tell(commit)
        if not self._is_superseded():  # told so while this group was signed
            self.state = SealerState.SEALING
            await self._healed()
        return True

    async def _next_group(self) -> Unsealed:
        """What to seal next; no envelopes while couriers have more than goes out soon."""
        if self._ahead.is_enough(self._over.envelopes, at=asyncio.get_running_loop().time()):
            return self._over.only_receipts()
        return await self._over.next_group()

    def _is_superseded(self) -> bool:
        """Asks anew: the state may have changed during any wait."""
        return self.state is SealerState.SUPERSEDED

    async def _seal(
        self, state: EpochState, waiting: Unsealed, owns: Sequence[OwnStatement]
    ) -> SealCommit:
        worded = await self._word(state, waiting)
        sign = partial(self._sign, state, waiting, owns, worded)
        commit, group = sign() if self._signer.is_quick else await asyncio.to_thread(sign)
        as_worded = await self._store.commit_seal(commit)
        state.committed(group)
        return commit if as_worded else to_be_read_again(commit)

    async def _word(self, state: EpochState, waiting: Unsealed) -> Worded:
        wording = Wording(state, self._key)
        return Worded(
            await in_pieces(waiting.envelopes, lambda _: 0, wording.envelopes),
            await in_pieces(waiting.receipts, lambda _: 0, wording.receipts),
            wording.seqs,
        )

    def _sign(
        self,
        state: EpochState,
        waiting: Unsealed,
        owns: Sequence[OwnStatement],
        worded: Worded | None = None,
    ) -> tuple[SealCommit, SealGroup]:
        mark, now = self._directory(), self._clock()
        group = prepare(state, self._key, waiting, owns, directory=mark, now=now, worded=worded)
        signature = self._signer.sign(group.draft.data)
        return commit_of(group, state, self._key, signature), group

    def _tell(self, commit: SealCommit) -> None:
        sealed = {
            item.draft.incoming_id: SealedStatement(item.data, item.leaf, item.proof, commit.seal)
            for item in commit.receipts
        }
        self._over.sealed(commit)
        self._ahead.sealed(commit.envelopes, at=asyncio.get_running_loop().time())
        self._awaited.add(sealed)
        for listener in self._listeners:
            listener(commit)

    async def _lost_lease(self, error: EdocError) -> None:
        self._epoch = None
        self._opening = None
        self.state = SealerState.SUPERSEDED
        self._awaited.release()
        self.problem = error.message
        await self._alarms.raise_alarm(error.reason, self._key.agency, error.message, self._clock())

    async def _failing(self, error: EdocError) -> None:
        if self.state is SealerState.SUPERSEDED:
            return
        self.state = SealerState.FAILING
        self._awaited.release()
        if self.problem != error.message:
            self.problem = error.message
            log.error("sealer.failing", reason=error.reason, message=error.message)
            await self._alarm_about(error)
        await asyncio.sleep(RETRY.total_seconds())

    async def _alarm_about(self, error: EdocError) -> None:
        """Alarms that this node cannot seal; on a full disk the log and ``problem`` say so."""
        kind, agency = SealerStoppedError.reason, self._key.agency
        try:
            await self._alarms.raise_alarm(kind, agency, error.message, self._clock())
        except DiskFullError as full:
            log.warning("alarm.not_kept", kind=kind, cause=full.message)

    async def _healed(self) -> None:
        if self.problem:
            self.problem = ""
            await self._alarms.clear_alarm(SealerStoppedError.reason, self._key.agency)

    async def _sleep(self) -> None:
        now, until = asyncio.get_running_loop().time(), self._ahead.until
        looks_at = now + LOOK_AGAIN.total_seconds()
        try:
            async with asyncio.timeout_at(until if now < until else looks_at):
                await self._wake.wait()
        except TimeoutError:
            if now >= until:
                self._over.look()
        self._wake.clear()


def _sealed(commit: SealCommit, own: SealedOwn) -> SealedStatement:
    return SealedStatement(own.data, own.leaf, own.proof, commit.seal)
