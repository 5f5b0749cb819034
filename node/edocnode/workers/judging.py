"""Judges parcels: their seals are verified, then every check of the domain is run on them.

What several peers send at the same moment is judged together, check by check: a peer that sends
its documents one by one must not cost more than one that sends many.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256

import structlog

from edoccore.directory.state import judge
from edoccore.directory.view import Directory
from edoccore.errors import EdocError, PoisonMessageError, SealCertificateError
from edoccore.signing.merkle import Proven
from edoccore.signing.seal import SignedSeal, VerifiedSeal, open_seal
from edoccore.signing.statements import DirectoryMark
from edockit.gathering import Gathering
from edockit.pieces import in_pieces
from edockit.steps import of_each
from edocnode.domain.checks import Standing
from edocnode.domain.exchange import Parcel, Refused, TryLater
from edocnode.domain.receiving import Judged, certificate_error, judge_parcels, parcel_answer
from edocnode.workers.keeping import SMALL, TOGETHER
from edocnode.workers.sessions import Sessions

SEAL_CACHE = 2_000  # verified seals remembered, for one directory

_Seals = dict[SignedSeal, tuple[VerifiedSeal, Proven]]  # of one batch, nearly always one

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one peer sent in one message."""

    peer: str
    parcels: Sequence[Parcel]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A parcel and whose node sent it."""

    peer: str
    parcel: Parcel


class Judging:
    """Judges the parcels of other nodes by the directory in force."""

    def __init__(
        self,
        *,
        network: str,
        agency: str,
        sessions: Sessions,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts.

        Args:
            agency: That owns this node.
            sessions: Know the newest start of each peer.
        """
        self._network = network
        self._agency = agency
        self._sessions = sessions
        self._directory = directory
        self._clock = clock
        self._seals: tuple[Directory | None, dict[bytes, VerifiedSeal]] = None, {}
        self._on_directory: list[Callable[[str, DirectoryMark], None]] = []
        self._together: Gathering[_Batch, list[Judged]] = Gathering(
            self._judge_batches,
            weight=lambda batch: len(batch.parcels),
            most=TOGETHER,
        )

    def on_directory(self, listener: Callable[[str, DirectoryMark], None]) -> None:
        """Calls ``listener(agency, mark)`` when a seal names another directory than this node's."""
        self._on_directory.append(listener)

    async def judge(self, peer: str, parcels: Sequence[Parcel]) -> list[Judged]:
        """What becomes of the parcels of one peer, in order; nothing of them is kept."""
        if not all(parcel.envelope.seal.is_quick for parcel in parcels):
            judged = await asyncio.to_thread(self._in_one_go, peer, parcels)
        elif len(parcels) > SMALL:
            judged = await self._piece_by_piece([_Sent(peer, parcel) for parcel in parcels])
        else:
            judged = await self._together.one(_Batch(peer, parcels))
        self._tell_directory(peer, parcels)
        return judged

    def _in_one_go(self, peer: str, parcels: Sequence[Parcel]) -> list[Judged]:
        sent = [_Sent(peer, parcel) for parcel in parcels]
        return self._judge_piece(sent, self._directory(), {})

    async def _judge_batches(self, batches: Sequence[_Batch]) -> list[list[Judged]]:
        sent = [_Sent(batch.peer, parcel) for batch in batches for parcel in batch.parcels]
        judged = iter(await self._piece_by_piece(sent))
        return [[next(judged) for _ in batch.parcels] for batch in batches]

    async def _piece_by_piece(self, sent: Sequence[_Sent]) -> list[Judged]:
        seals: _Seals = {}
        seals_by: Directory | None = None

        def judged(piece: Sequence[_Sent]) -> list[Judged]:
            nonlocal seals, seals_by
            directory = self._directory()
            if directory is not seals_by:  # revocations count from the moment they are known
                seals, seals_by = {}, directory
            return self._judge_piece(piece, directory, seals)

        return await in_pieces(sent, lambda item: len(item.parcel.parts), judged)

    def _judge_piece(
        self, sent: Sequence[_Sent], directory: Directory, seals: _Seals
    ) -> list[Judged]:
        now = self._clock()
        parcels = [item.parcel for item in sent]
        try:
            judge(directory, now).require_usable()
        except EdocError as error:
            return [parcel_answer(parcel, error) for parcel in parcels]
        by_peer = {item.peer: self._standing(item.peer, directory, now) for item in sent}
        standings = [by_peer[item.peer] for item in sent]
        opened = of_each(partial(self._opened, directory, now, seals), parcels, failures=Exception)
        judged = judge_parcels(parcels, opened, standings)
        return [
            _refused(parcel, item, standing) if isinstance(item, Exception) else item
            for parcel, item, standing in zip(parcels, judged, standings, strict=True)
        ]

    def _standing(self, peer: str, directory: Directory, now: datetime) -> Standing:
        return Standing(
            network=self._network, agency=self._agency, peer=peer, directory=directory, now=now
        )

    def _opened(
        self, directory: Directory, now: datetime, seals: _Seals, parcel: Parcel
    ) -> tuple[VerifiedSeal, Proven]:
        signed = parcel.envelope.seal
        if signed not in seals:
            seals[signed] = self._verified(signed, directory, now), {}
        self._sessions.check_seal(seals[signed][0])
        return seals[signed]

    def _verified(self, signed: SignedSeal, directory: Directory, now: datetime) -> VerifiedSeal:
        judged_by, cache = self._seals  # one read: other threads may hold another directory
        if judged_by is not directory:  # revocations count from the moment they are known
            cache = {}
            self._seals = directory, cache
        key = sha256(signed.data + signed.signature).digest()
        if (known := cache.get(key)) is not None:
            return known
        verified = open_seal(signed, directory, network=self._network, at=now)
        if len(cache) >= SEAL_CACHE:
            cache.clear()
        cache[key] = verified
        return verified

    def _tell_directory(self, peer: str, parcels: Sequence[Parcel]) -> None:
        """Has another directory looked at when a verified seal names one."""
        for signed in {parcel.envelope.seal for parcel in parcels}:
            known = self._seals[1].get(sha256(signed.data + signed.signature).digest())
            if known and known.seal.directory != self._directory().mark:
                for listener in self._on_directory:
                    listener(peer, known.seal.directory)


def _refused(parcel: Parcel, error: Exception, standing: Standing) -> Refused | TryLater:
    if isinstance(error, SealCertificateError):
        return parcel_answer(parcel, certificate_error(parcel, error, standing))
    if isinstance(error, EdocError):
        return parcel_answer(parcel, error)
    log.error("parcel.processing_failed", peer=standing.peer, exc_info=error)
    return parcel_answer(parcel, PoisonMessageError())
