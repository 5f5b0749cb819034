"""Keeps the directory in force: refreshes it, publishes it to the other parts, alarms about it.

A directory that cannot be verified, or is older, changes nothing but an alarm. A registry that is
silent changes nothing but the age of the directory. Fetches go one at a time.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import structlog

from edoccore.directory.layout import REFRESH_EVERY
from edoccore.directory.loading import load
from edoccore.directory.state import DirectoryState, judge
from edoccore.directory.trust import TwoDirectoriesError, may_replace
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, DiskFullError, EdocError, StorageFailedError
from edocnode.domain import directory as rules
from edocnode.domain.directory import (
    DirectorySource,
    DirectorySources,
    DirectoryStore,
    RefreshPlan,
    fetch_files,
)
from edocnode.domain.ports import Alarms

log = structlog.get_logger(__name__)


class DirectoryKeeper:
    """Holds the directory in force; ``run`` keeps it fresh."""

    def __init__(
        self,
        directory: Directory,
        *,
        agency: str,
        sources: DirectorySources,
        store: DirectoryStore,
        alarms: Alarms,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        every: timedelta = REFRESH_EVERY,
    ) -> None:
        """Takes the directory of the last run; nothing is fetched before ``run`` or ``refresh``.

        Args:
            directory: Loaded from disk.
            agency: This node's own code.
            sources: Where newer ones come from.
            store: Where the one in force is kept.
            alarms: What people see.
            clock: Aware, UTC.
            jitter: 0 to 1, random.
            every: Between two refreshes while the registry answers.
        """
        self._current = directory
        self._agency = agency
        self._sources = sources
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._jitter = jitter
        self._every = every
        self._plan = RefreshPlan()
        self._listeners: list[Callable[[Directory], None]] = []
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._hints: dict[str, int] = {}
        # SHA-256 of the seal certificates that this node asked for; they raise no alarm.
        self.expected: Callable[[], Collection[str]] = tuple

    @property
    def current(self) -> Directory:
        """The directory in force."""
        return self._current

    def state(self) -> DirectoryState:
        """Its age, judged now."""
        return judge(self._current, self._clock())

    def on_change(self, listener: Callable[[Directory], None]) -> None:
        """Calls ``listener`` with each new directory, on the event loop, once it is on disk."""
        self._listeners.append(listener)

    def wanted(self, agency: str, version: int) -> None:
        """Notes that a peer spoke of a newer directory; it is fetched, once a minute per peer."""
        newer = version > self._current.mark.version
        if newer and self._plan.may_ask(agency, self._clock()):
            self._hints[agency] = version
            self._wake.set()

    async def run(self) -> None:
        """Refreshes for ever; ends when cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            try:
                await self._attempt_registry()
                await self._attempt_peers()
                await self._alarm_about_age()
            except DiskFullError as error:  # of an alarm; the next round tells again
                log.error("alarm_not_kept", cause=error.message)
                self._hints.clear()  # or that round would begin at once; peers hint again
            delay = self._plan.delay(self._jitter(), self._every)
            await self._wait(delay)

    async def refresh(self) -> bool:
        """Fetches what the registry has that is newer.

        Returns:
            Whether the directory in force changed.

        Raises:
            RegistryUnreachableError: It does not answer; the one in force stays.
            DirectoryInvalidError: What it has cannot be trusted; the one in force stays.
            DiskFullError, StorageFailedError: The new one could not be kept and is not in force.
        """
        async with self._turn, self._sources.registry(self._current) as source:
            return await self._refresh_from(source)

    async def refresh_from_peer(self, agency: str) -> bool:
        """Fetches what a peer has that is newer; otherwise as ``refresh``.

        Raises:
            PeerUnreachableError: It does not answer.
        """
        async with self._turn, self._sources.peer(self._current, agency) as source:
            return await self._refresh_from(source)

    async def _refresh_from(self, source: DirectorySource) -> bool:
        current = self._current
        files = await fetch_files(source, current.files, current.chain.anchor)
        if files == current.files:
            return False
        candidate = await asyncio.to_thread(self._verify, files)
        await asyncio.to_thread(self._store.save, candidate)
        self._current = candidate
        log.info("directory_changed", version=candidate.mark.version, hash=candidate.mark.hash)
        for problem in candidate.problems:
            log.warning("directory_entry_left_out", problem=problem)
        for listener in self._listeners:
            listener(candidate)
        await self._alarm_about_own_entry(current, candidate)
        return True

    def _verify(self, files: dict[str, bytes]) -> Directory:
        current = self._current
        candidate = load(files, current.chain.anchor, current.floor())
        may_replace(current, candidate)
        return candidate

    async def _attempt_registry(self) -> None:
        try:
            await self.refresh()
        except DirectoryInvalidError as error:
            self._plan.failed()
            await self._alarm_about_invalid(error, "the registry")
        except StorageFailedError:
            raise
        except EdocError as error:  # whatever the other side answers, this node goes on
            self._plan.failed()
            log.warning("registry_unreachable", reason=error.reason, cause=error.message)
        else:
            self._plan.succeeded()
            await self._alarms.clear_alarm(rules.INVALID, "the registry")

    async def _attempt_peers(self) -> None:
        while self._hints:
            agency, version = self._hints.popitem()
            if version <= self._current.mark.version:
                continue
            try:
                await self.refresh_from_peer(agency)
            except DirectoryInvalidError as error:
                await self._alarm_about_invalid(error, agency)
            except StorageFailedError:
                raise
            except EdocError as error:
                log.warning("peer_directory_unreachable", agency=agency, cause=error.message)
            else:
                await self._alarms.clear_alarm(rules.INVALID, agency)

    async def _alarm_about_invalid(self, error: DirectoryInvalidError, source: str) -> None:
        log.error("directory_refused", source=source, cause=error.message)
        if isinstance(error, TwoDirectoriesError):
            version = self._current.mark.version
            await asyncio.to_thread(self._store.keep_proof, version, error.ours, error.theirs)
        await self._alarms.raise_alarm(rules.INVALID, source, error.message, self._clock())

    async def _alarm_about_own_entry(self, old: Directory, new: Directory) -> None:
        for change in rules.own_changes(self._agency, old, new, self.expected()):
            await self._alarms.raise_alarm(rules.OWN_ENTRY, self._agency, change, self._clock())

    async def _alarm_about_age(self) -> None:
        found = rules.alarms_of(self.state())
        for kind in (rules.STALE, rules.EXPIRED, rules.OFFICERS):
            if kind in found:
                await self._alarms.raise_alarm(kind, "directory", found[kind], self._clock())
            else:
                await self._alarms.clear_alarm(kind, "directory")

    async def _wait(self, delay: timedelta) -> None:
        self._wake.clear()
        if self._hints:
            return
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return
