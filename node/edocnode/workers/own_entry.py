"""Watches over the node's own entry of the directory; what is not its own raises an alarm."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import DiskFullError, KeyUnusableError, StorageDamagedError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Endpoint
from edocnode.domain import own_entry as rules
from edocnode.domain.directory import OWN_ENTRY
from edocnode.domain.own_entry import OwnEntry, OwnKeys
from edocnode.domain.ports import Alarms

LOOK_EVERY = timedelta(seconds=60)  # keys may have been renewed
STATEMENTS = 16  # own endpoint statements looked at, the newest

log = structlog.get_logger(__name__)


class OwnEntryStore(Protocol):
    """Keeps what is this node's own; fsynced when a write returns."""

    def own_entry(self) -> OwnEntry:
        """What was kept; nothing before the first look.

        Raises:
            StorageDamagedError: It is damaged.
        """

    def keep_own_entry(self, own: OwnEntry) -> None:
        """Keeps it."""


class OwnStatements(Protocol):
    """The statements that this node sealed."""

    async def own_statements(self, kind: str, limit: int) -> Sequence[SealedStatement]:
        """Sealed statements of a kind, the newest first."""


class OwnEntryWatch:
    """Compares the own entry with what is the node's own, after each change."""

    def __init__(
        self,
        *,
        agency: str,
        directory: Callable[[], Directory],
        keys: Callable[[], OwnKeys],
        store: OwnEntryStore,
        statements: OwnStatements,
        alarms: Alarms,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts.

        Args:
            keys: Reads the keys in use.
        """
        self._agency = agency
        self._directory = directory
        self._keys = keys
        self._store = store
        self._statements = statements
        self._alarms = alarms
        self._clock = clock
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    def changed(self, directory: Directory) -> None:
        """Has the entry looked at: the directory is a newer one."""
        del directory  # the one in force is asked for when it is looked at
        self._changed.set()

    async def run(self) -> None:
        """Looks for ever; ends when cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            self._changed.clear()
            try:
                await self.look()
            except (DiskFullError, KeyUnusableError, StorageDamagedError) as error:
                log.error("own_entry.not_looked_at", reason=error.reason, cause=error.message)
            try:
                async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Raises an alarm for all that is not the node's own, ends those that hold no longer."""
        async with self._turn:
            directory, now = self._directory(), self._clock()
            own = await self._kept(directory)
            sealed = await self._statements.own_statements("endpoint", STATEMENTS)
            said = {address for item in sealed for address in _addresses(item)}
            found = rules.foreign(self._agency, directory, own, said, now)
            for item in found:
                log.error("own_entry.foreign", subject=item.subject, why=item.message)
                await self._alarms.raise_alarm(OWN_ENTRY, item.subject, item.message, now)
            alarms = await self._alarms.alarms()
            open_subjects = {alarm.subject for alarm in alarms if alarm.kind == OWN_ENTRY}
            for subject in rules.alarms_to_end(open_subjects, found):
                await self._alarms.clear_alarm(OWN_ENTRY, subject)

    async def accept(self) -> Sequence[str]:
        """Accepts the codes that the directory lists now; returns them."""
        async with self._turn:
            own = await asyncio.to_thread(self._store.own_entry)
            directory = self._directory()
            accepted = rules.with_codes(own, directory, self._agency)
            listed = directory.lists.get(self._agency)
            if listed is not None:
                accepted = rules.with_list(accepted, listed.sealed.statement)
            await asyncio.to_thread(self._store.keep_own_entry, accepted)
        await self.look()
        return accepted.codes or ()

    async def made_list(self, statement: bytes) -> None:
        """Keeps that a list of sub-agencies (exact bytes) is this node's own."""
        async with self._turn:
            own = await asyncio.to_thread(self._store.own_entry)
            kept = rules.with_list(own, statement)
            await asyncio.to_thread(self._store.keep_own_entry, kept)

    async def _kept(self, directory: Directory) -> OwnEntry:
        known = await asyncio.to_thread(self._store.own_entry)
        own = rules.with_keys(known, await asyncio.to_thread(self._keys))
        if own.codes is None:  # at the first look the officers' word is all there is
            own = rules.with_codes(own, directory, self._agency)
        if own != known:
            await asyncio.to_thread(self._store.keep_own_entry, own)
        return own


def _addresses(sealed: SealedStatement) -> tuple[str, ...]:
    return canonical.decode(sealed.statement, Endpoint).addresses
