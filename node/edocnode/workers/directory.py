"""Keeps the directory in force: refreshes it, publishes it to the other parts, alarms about it.

A directory that cannot be verified, or is older, changes nothing but an alarm. A registry that is
silent changes nothing but the age of the directory: then peers are asked, some at a time, so that
what one node has reaches all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256

import structlog

from edoccore.directory import layout
from edoccore.directory.bundle import LOG_NAME, decode_bundle, read_log
from edoccore.directory.equivocation import Equivocation, prove
from edoccore.directory.extension import require_in_force
from edoccore.directory.loading import load
from edoccore.directory.packing import FileWanted
from edoccore.directory.state import DirectoryState, Freshness, judge
from edoccore.directory.transparency import LogAnswer
from edoccore.directory.trust import (
    OlderDirectoryError,
    TwoDirectoriesError,
    carry_extension,
    may_replace,
    prolong,
    snapshot_bytes,
)
from edoccore.directory.view import Directory
from edoccore.directory_errors import ProofInvalidError
from edoccore.errors import DirectoryInvalidError, DiskFullError, EdocError, StorageFailedError
from edoccore.signing.statements import DirectoryMark
from edocnode.domain import directory as rules
from edocnode.domain.alarms import proof_of
from edocnode.domain.directory import (
    REGISTRY,
    DirectorySource,
    DirectorySources,
    DirectoryStore,
    RefreshPlan,
    fetch_files,
)
from edocnode.domain.directory_log import CarriedLog, CosigningSource, LogSource
from edocnode.domain.ports import Alarms
from edocnode.workers.directory_log import LogWatch
from edocnode.workers.witnessing import Witness

FILE = "a file"  # in the place of a peer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogParts:
    """What follows the log of published directories, and cosigns it where this node is asked to."""

    watch: LogWatch
    witness: Witness


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
        plan: RefreshPlan,
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
            plan: When registry and peers are asked.
        """
        self._current = directory
        self._agency = agency
        self._sources = sources
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._jitter = jitter
        self._plan = plan
        self._logs: LogParts | None = None
        self._listeners: list[Callable[[Directory], None]] = []
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._hints: dict[str, DirectoryMark] = {}
        self._spread_up_to = directory.mark.version
        self._past: dict[int, str] | None = None  # hashes of snapshots that were in force

    @property
    def current(self) -> Directory:
        """The directory in force."""
        return self._current

    def follow_log(self, logs: LogParts) -> None:
        """Has the log of published directories followed too; called before anything is fetched."""
        self._logs = logs

    def log_answer(self, size: int, digest: bytes) -> LogAnswer:
        """What is here of the log besides what a peer has; see ``GetLog``."""
        return LogAnswer() if self._logs is None else self._logs.watch.answer(size, digest)

    def state(self) -> DirectoryState:
        """Its age, judged now."""
        return judge(self._current, self._clock())

    def on_change(self, listener: Callable[[Directory], None]) -> None:
        """Calls ``listener`` with each new directory, on the event loop, once it is on disk."""
        self._listeners.append(listener)

    def heard(self, agency: str, mark: DirectoryMark) -> None:
        """Notes which directory a peer says that it holds.

        A newer one is fetched; one of a version that this node had with another hash is looked at,
        since two signed ones prove that the registry's keys are misused. To a peer whose is older,
        this one is lent: it may reach nobody by itself. Each once a minute per peer.
        """
        differs = mark.version >= self._current.mark.version and mark != self._current.mark
        if differs or self._differs(mark) or self._is_strange(mark):
            wanted = self._plan.may_ask(agency, self._clock())
        else:
            older = mark.version < self._current.mark.version
            wanted = older and self._plan.may_lend(agency, self._clock())
        if wanted:
            self._hints[agency] = mark
            self._wake.set()

    async def borrow(self, agency: str, mark: DirectoryMark, source: DirectorySource) -> None:
        """Takes a newer directory from a peer that called; see ``domain.directory.Borrow``."""
        if mark.version <= self._current.mark.version:
            return
        if not self._plan.may_borrow(agency, self._clock()):
            return
        await self._taking(agency, self._refresh_from(source))

    async def run(self) -> None:
        """Refreshes for ever; ends when cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        loop = asyncio.get_running_loop()
        registry_at = round_at = loop.time()
        await self.recall()
        while True:
            try:
                if loop.time() >= registry_at:
                    await self._attempt_registry()
                    delay = self._plan.delay(self._jitter())
                    registry_at = loop.time() + delay.total_seconds()
                await self._follow_hints()
                await self._spread()
                if self._is_cut_off() and loop.time() >= round_at:
                    await self._ask_around()
                    round_at = loop.time() + self._plan.pause.total_seconds()
                await self._alarm_about_age()
            except DiskFullError as error:  # of an alarm; the next round tells again
                log.error("alarm_not_kept", cause=error.message)
                self._hints.clear()  # or that round would begin at once; peers hint again
                registry_at = max(registry_at, loop.time() + self._plan.every.total_seconds())
            next_at = min(registry_at, round_at) if self._is_cut_off() else registry_at
            await self._wait(max(next_at - loop.time(), 0))

    async def refresh(self) -> bool:
        """Fetches what the registry has that is newer.

        Returns:
            Whether the directory in force changed.

        Raises:
            RegistryUnreachableError: It does not answer; the one in force stays.
            DirectoryInvalidError: What it has cannot be trusted; the one in force stays.
            DiskFullError, StorageFailedError: The new one could not be kept and is not in force.
        """
        async with self._sources.registry(self._current) as source:
            known = self._current
            try:
                changed = await self._refresh_from(source)
            except DirectoryInvalidError:
                await self._look_at_log(source)  # what is refused may belong to a second log
                await self._give_back(source)
                raise
            held = self._current
            await self._look_at_log(source)
            await self._give_back(source)
            if self._logs is not None:
                await self._logs.witness.look(source, self._logs.watch.current)
        if changed or held is known:  # else what came from elsewhere may be newer than it has
            self._spread_up_to = held.mark.version  # whoever asks the registry has it
        return changed

    async def refresh_from_peer(self, agency: str) -> bool:
        """Fetches what a peer has that is newer; otherwise as ``refresh``.

        Raises:
            PeerUnreachableError: It does not answer.
        """
        async with self._sources.peer(self._current, agency) as source:
            changed = await self._refresh_from(source)
            await self._look_at_log(source, agency)
        return changed

    async def _refresh_from(self, source: DirectorySource) -> bool:
        known = self._current
        files = await fetch_files(source, known.files, known.chain.anchor)
        async with self._turn:
            # Another source may have been faster; what was fetched is compared with what it brought
            # at the next time, and is nobody's lie for being older by then.
            if files == known.files or self._current is not known:
                return False
            await self._take_files(known, files)
        return True

    async def take_bundle(self, data: bytes) -> bool:
        """Takes a directory that was brought as a file, as one from a peer.

        Args:
            data: As ``encode_bundle`` wrote it; nobody who carried it is believed.

        Returns:
            Whether the directory in force changed; not when the file has the same one.

        Raises:
            StorageDamagedError: It is not a whole file.
            DirectoryInvalidError: It cannot be trusted, or is older; the one in force stays.
            DiskFullError, StorageFailedError: As ``refresh``.
        """
        async with self._turn:
            current = self._current
            files = await asyncio.to_thread(decode_bundle, data)
            carried = files.pop(LOG_NAME, b"")
            changed = files != current.files
            if changed:
                await self._take_files(current, files)
        if carried:
            await self._look_at_log(CarriedLog(await asyncio.to_thread(read_log, carried)), FILE)
        await self._alarm_about_age()
        return changed

    async def take_extension(self, data: bytes) -> datetime:
        """Takes an extension of the officers that was brought as a file.

        Returns:
            When it ends.

        Raises:
            ExtensionInvalidError: It does not hold for the directory in force, or not now.
            DiskFullError, StorageFailedError: It could not be kept and does not count.
        """
        async with self._turn:
            prolonged = prolong(self._current, data)
            extension = prolonged.extension
            assert extension is not None
            require_in_force(extension, self._clock())
            await asyncio.to_thread(self._store.keep_extension, data)
            self._put_in_force(prolonged)
        log.warning("directory_extended", until=extension.until.isoformat())
        await self._alarm_about_age()
        return extension.until

    async def _take_files(self, current: Directory, files: Mapping[str, bytes]) -> None:
        candidate = await asyncio.to_thread(self._verify, files)
        if candidate.mark != current.mark:
            old = current.mark.version
            await asyncio.to_thread(self._store.keep_snapshot, old, snapshot_bytes(current))
            self._note_past(current.mark)
        await asyncio.to_thread(self._store.save, candidate)
        log.info("directory_changed", version=candidate.mark.version, hash=candidate.mark.hash)
        for problem in candidate.problems:
            log.warning("directory_entry_left_out", problem=problem)
        self._put_in_force(candidate)

    def _put_in_force(self, directory: Directory) -> None:
        self._current = directory
        self._wake.set()
        for listener in self._listeners:
            listener(directory)

    def _verify(self, files: Mapping[str, bytes]) -> Directory:
        current = self._current
        candidate = load(files, current.chain.anchor, current.floor())
        may_replace(current, candidate)
        return carry_extension(current, candidate)

    async def _attempt_registry(self) -> None:
        try:
            await self.refresh()
        except DirectoryInvalidError as error:
            self._plan.failed()
            await self._alarm_about_invalid(error, REGISTRY)
        except StorageFailedError:
            raise
        except EdocError as error:  # whatever the other side answers, this node goes on
            self._plan.failed()
            log.warning("registry_unreachable", reason=error.reason, cause=error.message)
        else:
            self._plan.succeeded()
            await self._alarms.clear_alarm(rules.INVALID, REGISTRY)

    def _is_cut_off(self) -> bool:
        """Whether peers are asked, since the registry tells nothing, or nothing that is fresh."""
        return self._plan.failures > 0 or self.state().freshness is not Freshness.FRESH

    async def _follow_hints(self) -> None:
        """Fetches what peers said that they have, of some at a time."""
        told = [self._hints.popitem() for _ in range(min(len(self._hints), rules.PEERS_ASKED))]
        await self._ask_all((agency, partial(self._follow, agency, mark)) for agency, mark in told)

    async def _follow(self, agency: str, mark: DirectoryMark) -> None:
        if mark.version > self._current.mark.version:
            await self._ask(agency)
        elif self._differs(mark):
            await self._compare(agency, mark)
        elif self._is_strange(mark):
            async with self._sources.peer(self._current, agency) as source:
                await self._look_at_log(source, agency)
        elif mark.version < self._current.mark.version:
            await self._sources.lend(self._current, agency)

    async def _ask_around(self) -> None:
        """Asks some peers for whatever they have that is newer."""
        now = self._clock()
        await self._ask_all(
            (code, partial(self._ask, code))
            for code in self._some()
            if self._plan.may_ask(code, now)
        )

    async def _spread(self) -> None:
        """Lends a newer directory to some peers at once, while the registry gives it to nobody.

        What came before the registry was found silent is lent when it is.
        """
        if self._spread_up_to >= self._current.mark.version or not self._is_cut_off():
            return
        self._spread_up_to, now = self._current.mark.version, self._clock()
        await self._ask_all(
            (code, partial(self._sources.lend, self._current, code))
            for code in self._some()
            if self._plan.may_lend(code, now)
        )

    def _some(self) -> list[str]:
        """Some peers, by chance."""
        directory = self._current
        others = sorted(directory.endpoints.keys() - {self._agency, directory.info.registry})
        return rules.whom_to_ask(others, self._jitter)

    async def _ask_all(self, asked: Iterable[tuple[str, Callable[[], Awaitable[None]]]]) -> None:
        """Asks peers at the same time, so that one that drips delays no other for long."""
        bounded = [self._bounded(agency, ask) for agency, ask in asked]
        for failed in await asyncio.gather(*bounded, return_exceptions=True):
            if failed is not None:
                raise failed

    async def _bounded(self, agency: str, ask: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(rules.PEER_LIMIT.total_seconds()):
                await ask()
        except (DiskFullError, StorageFailedError):
            raise
        except TimeoutError:
            log.warning("peer_directory_too_slow", agency=agency)
        except EdocError as error:
            log.warning("peer_directory_unreachable", agency=agency, cause=error.message)

    async def _ask(self, agency: str) -> None:
        await self._taking(agency, self.refresh_from_peer(agency))

    async def _taking(self, agency: str, taking: Awaitable[bool]) -> None:
        """Takes what a peer has; alarms about what does not hold."""
        try:
            await taking
        except OlderDirectoryError as error:
            log.info("peer_directory_older", agency=agency, cause=error.message)
        except DirectoryInvalidError as error:
            await self._alarm_about_invalid(error, agency)
        else:
            await self._alarms.clear_alarm(rules.INVALID, agency)

    async def _compare(self, agency: str, mark: DirectoryMark) -> None:
        """Fetches the snapshot that a peer was shown in the place of one that this node had."""
        name = layout.file_name(layout.SNAPSHOT, mark.version)
        async with self._sources.peer(self._current, agency) as source:
            (theirs,) = await source.fetch([FileWanted(name, layout.MAX_SNAPSHOT_BYTES)])
        ours = await asyncio.to_thread(self._snapshot, mark.version)
        if theirs is None or ours is None or theirs == ours:
            log.warning("peer_directory_claim_unproven", agency=agency, version=mark.version)
            return
        try:
            proof = await asyncio.to_thread(prove, self._current.chain, ours, theirs)
        except ProofInvalidError as error:  # a claim is no proof, whoever makes it
            log.warning("peer_directory_claim_unproven", agency=agency, cause=error.message)
        else:
            await self._keep_proof(proof)

    async def _look_at_log(self, source: LogSource, peer: str = "") -> None:
        if self._logs is not None:
            await self._logs.watch.look(source, self._current, peer=peer)

    async def _give_back(self, registry: CosigningSource) -> None:
        if self._logs is not None:
            await self._logs.watch.give_back(registry, self._current)

    def _is_strange(self, mark: DirectoryMark) -> bool:
        """Whether a peer's directory should be in the log and is not."""
        return self._logs is not None and self._logs.watch.is_strange(mark)

    def _differs(self, mark: DirectoryMark) -> bool:
        """Whether this node had another directory of that version."""
        current = self._current.mark
        ours = current.hash if mark.version == current.version else None
        if ours is None and self._past is not None:
            ours = self._past.get(mark.version)
        return ours is not None and ours != mark.hash

    def _snapshot(self, version: int) -> bytes | None:
        """The snapshot of a version that is in force, or was."""
        current = self._current
        if version == current.mark.version:
            return snapshot_bytes(current)
        return self._store.snapshots().get(version)

    def _note_past(self, mark: DirectoryMark) -> None:
        if self._past is not None:
            self._past[mark.version] = mark.hash
            for old in sorted(self._past)[: -rules.KEPT_SNAPSHOTS]:
                del self._past[old]

    async def recall(self) -> None:
        """What earlier runs left: snapshots that were in force, the log, and proofs.

        ``run`` begins with it; whoever takes a directory without it calls it first.
        """
        kept = await asyncio.to_thread(self._store.snapshots)
        self._past = {version: sha256(data).hexdigest() for version, data in kept.items()}
        if self._logs is not None:
            await self._logs.watch.recall()
        for proof in await asyncio.to_thread(self._store.proofs):
            await self._alarm_about_proof(proof)

    async def _keep_proof(self, proof: Equivocation) -> None:
        await asyncio.to_thread(self._store.keep_proof, proof)
        log.error("two_directories", version=proof.version, hashes=proof.hashes)
        await self._alarm_about_proof(proof)

    async def _alarm_about_proof(self, proof: Equivocation) -> None:
        message = rules.two_directories(proof)
        subject = f"directory {proof.version}"
        await self._alarms.raise_alarm(
            rules.TWO_DIRECTORIES, subject, message, self._clock(), proof_of(*proof.hashes)
        )

    async def _alarm_about_invalid(self, error: DirectoryInvalidError, source: str) -> None:
        log.error("directory_refused", source=source, cause=error.message)
        if isinstance(error, TwoDirectoriesError):
            await self._keep_proof(error.proof)
        message = error.message
        if source != REGISTRY:
            message = rules.served_wrong(source, message)
        await self._alarms.raise_alarm(rules.INVALID, source, message, self._clock())

    async def _alarm_about_age(self) -> None:
        found = rules.alarms_of(self.state())
        for kind in rules.OF_AGE:
            if kind in found:
                await self._alarms.raise_alarm(kind, "directory", found[kind], self._clock())
            else:
                await self._alarms.clear_alarm(kind, "directory")

    async def _wait(self, delay_s: float) -> None:
        self._wake.clear()
        if self._hints:
            return
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        except TimeoutError:
            return
