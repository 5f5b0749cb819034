"""Keeps the TLS certificates of the node fresh: the next one takes over in time."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import DiskFullError
from edocnode.domain.key_life import TlsKeyStore, TlsStep, tls_step

LOOK_EVERY = timedelta(minutes=1)

log = structlog.get_logger(__name__)


class TlsRenewal:
    """Looks once a minute, and at each new directory, what is due."""

    def __init__(
        self,
        keys: TlsKeyStore,
        *,
        agency: str,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run`` or ``look``."""
        self._keys = keys
        self._agency = agency
        self._directory = directory
        self._clock = clock
        self._changed: list[Callable[[], None]] = []
        self._wake = asyncio.Event()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` on the event loop when another certificate is in use."""
        self._changed.append(listener)

    def wake(self, _: Directory) -> None:
        """Has it look soon: there is a new directory."""
        self._wake.set()

    async def run(self) -> None:
        """Looks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            self._wake.clear()
            try:
                while await self.look():
                    pass
            except DiskFullError as error:  # what was begun is finished at the next look
                log.error("tls.not_renewed", cause=error.message)
            try:
                async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> bool:
        """Does what is due now. Returns whether there was anything.

        Raises:
            DiskFullError, StorageFailedError: The disk failed.
        """
        now, directory = self._clock(), self._directory()
        following = self._keys.following()
        if following is not None and self._is_listed(directory, following.sha256):
            await asyncio.to_thread(self._keys.note_listed, following.sha256, now)
            following = self._keys.following()
        revoked = directory.revocations.find
        step = tls_step(
            self._keys.current(),
            following,
            is_revoked=lambda sha256: revoked(sha256) is not None,
            now=now,
        )
        if step is TlsStep.MAKE_NEXT:
            await asyncio.to_thread(self._keys.make_next, now)
            log.info("tls.next_made")
        elif step is TlsStep.TAKE_OVER:
            await asyncio.to_thread(self._keys.take_over)
            log.info("tls.changed", sha256=self._keys.current().sha256)
            for listener in self._changed:
                listener()
        return step is not TlsStep.NOTHING

    def _is_listed(self, directory: Directory, sha256: str) -> bool:
        pin = directory.pins.get(sha256)
        return pin is not None and pin.agency == self._agency
