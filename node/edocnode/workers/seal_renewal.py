"""Keeps the seal certificate of the node fresh: asks for the next in time, and changes over.

The change comes only when the directory in force lists the new certificate and all peers must have
it; from then on a new epoch is sealed with it, and what still waits under the old one is sealed
again as it is offered.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from msgspec import UNSET

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, StorageFailedError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import SealRenewal, time_text
from edocnode.domain.ports import Alarms
from edocnode.domain.seal_life import (
    ENDS_SOON,
    RETRY,
    Renewed,
    SealKey,
    SealKeyStore,
    SealStep,
    by_hand,
    leaves_authority,
    seal_step,
)
from edocnode.workers.sealer import Sealer, SealerState

LOOK_EVERY = timedelta(minutes=1)
SEAL_ENDS = "SEAL_ENDS"  # kind of the alarm
OFFICERS_WANTED = "SEAL_WAITS_FOR_OFFICERS"
RENEWAL = "renewal"  # kind of the own statement

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRenewalParts:
    """What the renewal of a seal needs.

    Attributes:
        in_token: The key in use is in a token.
        renew: Has the registry issue the certificate that a sealed statement asks for.
    """

    network: str
    agency: str
    keys: SealKeyStore
    in_token: bool
    sealer: Sealer
    renew: Callable[[SealedStatement], Awaitable[Renewed]]
    alarms: Alarms
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]


class SealKeeper:
    """Looks once a minute, and at each new directory, what is due."""

    def __init__(self, parts: SealRenewalParts) -> None:
        """Takes the parts; nothing happens before ``run`` or ``look``."""
        self._parts = parts
        self._keys = parts.keys
        self._wake = asyncio.Event()
        self._ask_from: datetime | None = None

    def wake(self, _: Directory) -> None:
        """Has it look soon, and the sealer too: there is a new directory."""
        self._wake.set()
        self._parts.sealer.wake()

    async def run(self) -> None:
        """Looks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        await self._parts.sealer.opened()
        while True:
            self._wake.clear()
            try:
                while await self.look():
                    pass
            except StorageFailedError:
                raise
            except EdocError as error:
                self._ask_from = self._parts.clock() + RETRY
                log.warning("seal.not_renewed", reason=error.reason, cause=error.message)
            try:
                async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> bool:
        """Does what is due now. Returns whether there was anything.

        Raises:
            EdocError: The registry does not answer or refuses, or the disk is full.
            StorageFailedError: The disk failed.
        """
        now, directory, agency = self._parts.clock(), self._parts.directory(), self._parts.agency
        current, following = self._keys.current(), self._keys.following()
        if following is not None and self._is_listed(directory, following.sha256):
            await asyncio.to_thread(self._keys.note_listed, following.sha256, now)
            following = self._keys.following()
        revoked = directory.revocations.find
        advice = by_hand(directory, agency, current.sha256, in_token=self._parts.in_token)
        step = seal_step(
            current,
            following,
            is_revoked=lambda sha256: revoked(sha256) is not None,
            leaves_authority=leaves_authority(directory, agency, current.sha256, now),
            is_weaker=self._keys.is_weaker(),
            by_hand=bool(advice),
            now=now,
        )
        await self._tell(step, current, advice, now)
        return await self._do(step, now)

    async def _do(self, step: SealStep, now: datetime) -> bool:
        if step is SealStep.ASK:
            return await self._ask(now)
        if step is SealStep.DROP_NEXT:
            await asyncio.to_thread(self._keys.drop_next)
            return True
        if step is SealStep.TAKE_OVER:
            await asyncio.to_thread(self._keys.take_over)
            await self._parts.sealer.change_seal(*self._keys.signer())
            log.info("seal.changed", sha256=self._keys.current().sha256)
            return True
        return False

    async def _ask(self, now: datetime) -> bool:
        """Asks for the next certificate, unless the registry failed to answer a moment ago."""
        sealer = self._parts.sealer
        if sealer.state is not SealerState.SEALING or (self._ask_from and now < self._ask_from):
            return False
        request = await asyncio.to_thread(self._keys.next_request)
        word = SealRenewal(
            network=self._parts.network,
            agency=self._parts.agency,
            request=b64encode(request.first).decode(),
            second=b64encode(request.second).decode() if request.second else UNSET,
            created=time_text(now),
        )
        renewed = await self._parts.renew(await sealer.seal_own(RENEWAL, canonical.encode(word)))
        await asyncio.to_thread(self._keys.keep_next, renewed.chain)
        log.info("seal.renewed", waits_for_officers=renewed.waits)
        return True

    async def _tell(self, step: SealStep, current: SealKey, advice: str, now: datetime) -> None:
        """Raises and clears what a person must know."""
        ends = current.not_after.isoformat()
        agency = self._parts.agency
        found = {
            OFFICERS_WANTED: step is SealStep.WAIT
            and f"The next seal certificate of {agency} is issued and not in the directory yet: "
            f"the registry's officers must publish it. The current one ends at {ends}.",
            SEAL_ENDS: step in (SealStep.ASK, SealStep.WAIT)
            and now > current.not_after - ENDS_SOON
            and f"The seal certificate of {agency} ends at {ends} and has no successor in force: "
            f"reach the registry, or ask its officer.",
        }
        if step is SealStep.BY_HAND:
            found[SEAL_ENDS] = (
                f"The seal certificate of {agency} ends at {ends}, and this node cannot renew it. "
                f"{advice}"
            )
        for kind, message in found.items():
            if message:
                await self._parts.alarms.raise_alarm(kind, agency, message, now)
            else:
                await self._parts.alarms.clear_alarm(kind, agency)

    def _is_listed(self, directory: Directory, sha256: str) -> bool:
        found = directory.seals.current(self._parts.agency, self._parts.clock())
        return any(item.digests[0] == sha256 for item in found)
