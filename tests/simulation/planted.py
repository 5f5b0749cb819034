"""Bugs that the simulation must find: each takes the place of one part of the product.

Each is a mistake that somebody could make, as small as it can be. ``SEEDS`` is how many seeds may
pass before it is found.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.agency_errors import RecipientMovedError
from edoccore.directory.floor import NO_FLOOR
from edoccore.directory.loading import load
from edoccore.directory.view import Directory
from edoccore.errors import DiskFullError
from edoccore.signing.merkle import Frontier, leaf_hash
from edocnode.domain.checks import Standing
from edocnode.domain.forwarding import ForwardPlan, Stranded
from edocnode.domain.model import (
    Arrival,
    DeliveryState,
    KeepOutcome,
    QueuedDelivery,
    SealCommit,
    Submission,
    SubmissionResult,
    Unsealed,
)
from edocnode.domain.sealing import EpochState, OwnStatement
from edocnode.storage.store import NodeStore
from edocnode.workers.directory import DirectoryKeeper
from edocnode.workers.judging import Judging
from edocnode.workers.receiving import (
    Judged,
    ReceivingDesk,
    _arrival_answer,
    arrival_in,
)
from edocnode.workers.sealer import Sealer, SealerState
from tests.simulation.node import Kinds

SEEDS = 24
PAUSE_S = 5.0
DEAF_FOR = timedelta(seconds=35)
_TAKE_OUT = sa.text("UPDATE delivery SET state = 'held' WHERE message_id = :message_id")
_FORGET = sa.text(
    "UPDATE incoming SET message_id = CAST(substr(message_id, 1, 15) || x'00' AS BLOB)"
    " WHERE message_id = :message_id AND id IN (SELECT incoming_id FROM receipt_given)"
)


class AcknowledgesBeforeCommit(NodeStore):
    """Answers an office when its document is on its way to the disk."""

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document after having said so."""
        _later(super().submit(submission))
        return SubmissionResult(
            document_id=submission.document_id,
            deliveries=tuple(
                (item.message_id, item.recipient, DeliveryState.QUEUED)
                for item in submission.deliveries
            ),
            repeated=False,
            position=0,
        )


class AnswersBeforeSeal(Sealer):
    """Tells of a seal before it is committed."""

    async def _seal(
        self, state: EpochState, waiting: Unsealed, owns: Sequence[OwnStatement]
    ) -> SealCommit:
        commit, group = await asyncio.to_thread(self._sign, state, waiting, owns)
        self._tell(commit)
        await self._store.commit_seal(commit)
        state.committed(group)
        return commit


class SendsFailedSeal(Sealer):
    """Goes on with a seal whose commit failed."""

    async def _seal(
        self, state: EpochState, waiting: Unsealed, owns: Sequence[OwnStatement]
    ) -> SealCommit:
        commit, group = await asyncio.to_thread(self._sign, state, waiting, owns)
        try:
            await self._store.commit_seal(commit)
            state.committed(group)
        except DiskFullError:
            self._epoch = None
        return commit


class GoesOnInOldEpoch(Sealer):
    """Continues the last epoch at a start, seqs included, instead of opening a new one."""

    async def _open_epoch(self) -> None:
        head = await self._store.last_head(self._key.agency)
        if head is None:
            await super()._open_epoch()
            return
        seqs = dict(await self._store.last_seqs(self._key.agency))
        opening = await self._store.own_statement("epoch")
        frontier = Frontier()
        for data in await self._store._database.aread(  # type: ignore[attr-defined]
            lambda connection: list(
                connection.execute(
                    sa.text(
                        "SELECT data FROM seal WHERE agency = :agency AND epoch = :epoch"
                        " AND rank = 0 ORDER BY seal_index"
                    ),
                    {"agency": self._key.agency, "epoch": head.epoch},
                ).scalars()
            )
        ):
            frontier.append(leaf_hash(data))
        self._epoch = EpochState(
            epoch=head.epoch, next_index=head.size, frontier=frontier, seqs=seqs
        )
        self._opening = opening
        self.state = SealerState.SEALING
        self._opened.set()


class NoDedupe(NodeStore):
    """Forgets what was received as soon as it is answered."""

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        """Keeps arrivals as if none had come before."""

        def forget(connection: Connection) -> None:
            for arrival in arrivals:
                connection.execute(_FORGET, {"message_id": arrival.message_id})

        await self._database.awrite(forget)
        return await super().keep(arrivals)


class LosesLanes(NodeStore):
    """Gives out what waits in the order in which it was handed in."""

    async def due(
        self, to_node: str, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[QueuedDelivery]:
        """Finds deliveries, the oldest first."""
        found = await super().due(to_node, now, limit, held)
        return sorted(found, key=lambda item: item.message_id)


class RetriesUnderNewId(NodeStore):
    """Takes every repetition of a request for a new one."""

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document, whether or not it was handed in before."""
        fresh = f"{submission.request_id}-{submission.document_id.hex()}"[:64]
        return await super().submit(replace(submission, request_id=fresh))


class TakesLowerDirectory(DirectoryKeeper):
    """Takes every directory that is signed, older ones too."""

    def _verify(self, files: dict[str, bytes]) -> Directory:
        return load(files, self._current.chain.anchor, NO_FLOOR)


class ForwardsInTwoSteps(NodeStore):
    """Takes what goes to another node out of its queue, and puts it there a while later."""

    async def forward(
        self, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Forgets at a restart what it was about to send on."""

        def take_out(connection: Connection) -> None:
            for plan in plans:
                connection.execute(_TAKE_OUT, {"message_id": plan.message_id})

        await self._database.awrite(take_out)
        await asyncio.sleep(PAUSE_S)
        return await super().forward(plans, salts, at)


class DropsAtTheEnd(NodeStore):
    """Ends what its agency had not sealed in time, and tells nobody."""

    async def hold_unsealed(
        self, items: Sequence[Stranded], *, reason: str, message: str, at: datetime
    ) -> int:
        """Gives documents up without a reason."""
        return await super().hold_unsealed(items, reason="", message="", at=at)


class TurnsAwayWhatItHas(ReceivingDesk):
    """Says of every document that it came after the end of its agency."""

    async def _turn_away(self, judged: Sequence[Judged], why: str) -> list[Judged]:
        error = RecipientMovedError(f"{why}; nothing is taken here any more.")
        return [
            item if (arrival := arrival_in(item)) is None else _arrival_answer(arrival, error)
            for item in judged
        ]


class HearsLateOfItsEnd(DirectoryKeeper):
    """The node of an ended agency goes on for a while; that alone is for its peers to stop."""

    def _verify(self, files: dict[str, bytes]) -> Directory:
        newer = super()._verify(files)
        end = newer.end_of(self._agency)
        is_deaf = end is not None and self._clock() < end + DEAF_FOR
        return self._current if is_deaf else newer


class TakesWhatWasSealedLate(Judging):
    """Does not compare the time of a seal with the end of its agency."""

    def _standing(self, peer: str, directory: Directory, now: datetime) -> Standing:
        return super()._standing(peer, cast(Directory, _Endless(directory)), now)


class _Endless:
    """A directory in which the end of no agency is said, and all else as it is."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._directory, name)

    def end_of(self, owner: str) -> None:
        return None


def _later(work: Coroutine[Any, Any, Any]) -> None:
    asyncio.ensure_future(work).add_done_callback(lambda done: done.cancelled() or done.exception())


@dataclass(frozen=True)
class Planted:
    """A bug, and what must be seen of it: the beginnings of violations.

    ``first``: the seed to begin with, near the first that shows it. ``reform``: agencies end.
    """

    kinds: Kinds
    seen: tuple[str, ...]
    first: int = 0
    reform: bool = False


PLANTED: Mapping[str, Planted] = {
    "acknowledge before commit": Planted(Kinds(store=AcknowledgesBeforeCommit), ("I1",)),
    "answer before seal": Planted(Kinds(sealer=AnswersBeforeSeal), ("I4", "I5"), 20),
    "no dedupe": Planted(Kinds(store=NoDedupe), ("I2",)),
    "seq reused after restore": Planted(Kinds(sealer=GoesOnInOldEpoch), ("seq",)),
    "lower directory version accepted": Planted(Kinds(keeper=TakesLowerDirectory), ("I8",), 5),
    "lane order lost": Planted(Kinds(store=LosesLanes), ("order",)),
    "retry under a new id": Planted(Kinds(store=RetriesUnderNewId), ("I2",), 5),
    "signature of a failed commit sent": Planted(Kinds(sealer=SendsFailedSeal), ("I4", "I5")),
    "ended node forgets what it has": Planted(
        Kinds(desk=TurnsAwayWhatItHas), ("I1", "I4", "I10"), 62, reform=True
    ),
    "forwarding forgotten at a restart": Planted(
        Kinds(store=ForwardsInTwoSteps), ("I1",), 4, reform=True
    ),
    "not told of what was unsealed at the end": Planted(
        Kinds(store=DropsAtTheEnd), ("I1",), 5, reform=True
    ),
    "sealed after the end taken": Planted(
        Kinds(keeper=HearsLateOfItsEnd, judging=TakesWhatWasSealedLate), ("I11",), 52, reform=True
    ),
}
