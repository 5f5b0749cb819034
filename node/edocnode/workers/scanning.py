"""Has documents scanned for malware before offices see them: beside the exchange, which goes on.

A document is kept and receipted as ever; while the scanner is away it waits here, durably, and is
shown when the scanner is back. Scans run outside any transaction, a bounded number at once, one of
them always free for another sender. What the scanner does not survive, or this program, is tried
again alone, in a place of its own, and kept apart after the third time, so that it holds up nobody.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, StorageDamagedError, StorageFailedError
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import uuid_text
from edocnode.domain.decisions import plan_step
from edocnode.domain.model import INLINE_PART_BYTES, MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import StepPlan, Subject
from edocnode.domain.ports import Alarms
from edocnode.domain.repair import Suspects
from edocnode.domain.scanning import (
    ACTOR,
    INFECTED,
    MOST_BREAKS,
    Cause,
    Finding,
    Quarantine,
    ScanEntry,
    ScanJob,
    ScanOutcome,
    ScanPart,
    ScanStore,
    Waiting,
    break_wait,
    rejection,
    scan_effect,
    state_for,
    unjudged,
    withdrawal,
    worse,
)
from edocnode.domain.workflow import Step
from edocnode.workers.room import when_there_is_room
from edocnode.workers.scheduling import Wakes
from edocnode.workers.unjudged import in_few_words

AWAY = "SCANNER_AWAY"  # kinds of alarms
APART = "QUARANTINED"
LOOK_EVERY = timedelta(seconds=0.5)
AWAY_WAITS = (1.0, 2.0, 5.0, 10.0)  # seconds until the scanner is tried again; then the last
MOST_COUNTED = 1000  # documents kept apart, in the alarm
_AT_ONCE = 100

log = structlog.get_logger(__name__)


class AwayError(Exception):
    """The scanner cannot be reached, or must not be trusted; the message says why."""


class BrokenError(Exception):
    """The scanner ended, hung or spoke nonsense over a part; the message says which."""


class Scanner(Protocol):
    """Whoever scans parts."""

    async def trusted(self) -> str:
        """The version of scanner and signatures, after proof that it finds what it must.

        Raises:
            AwayError: It is not there, or finds too little.
        """

    async def alive(self) -> bool:
        """Whether it answers at all."""

    async def scan(self, part: ScanPart) -> Finding | None:
        """What is wrong with a part; None: it is clean.

        Raises:
            AwayError: It took no connection.
            BrokenError: It gave no answer that can be relied on.
            StorageDamagedError: The part is not as it was stored.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is needed to tell senders and the journal."""

    agency: str
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]
    random: Callable[[int], bytes] = secrets.token_bytes

    def plan(self, subject: Subject, step: Step | None) -> StepPlan | None:
        """All that is kept with a step; None when there is none, or nobody to be told."""
        if step is None:
            return None
        message_id = MessageId(new_id(self.clock(), self.random(10)))
        try:
            return plan_step(
                subject, step, self.directory(), agency=self.agency, message_id=message_id
            )
        except EdocError as error:  # the sender has left the directory
            log.warning("scan.sender_not_told", agency=subject.sender, cause=error.message)
            return None

    def effect(self, kind: str, subject: Subject, *, actor: str, detail: str) -> bytes:
        """The leaf of the journal."""
        return scan_effect(
            kind,
            subject,
            network=self.directory().network,
            agency=self.agency,
            actor=actor,
            detail=detail,
            at=self.clock(),
        )

    def salts(self) -> tuple[bytes, bytes]:
        """For the effects of a step and of the outcome."""
        return self.random(SALT_BYTES), self.random(SALT_BYTES)


class QuarantineWatch:
    """Keeps the alarm right that tells of documents kept apart."""

    def __init__(self, store: Quarantine, alarms: Alarms, telling: Telling) -> None:
        """Joins the parts."""
        self._store, self._alarms, self._telling = store, alarms, telling
        self._told: tuple[int, int] | None = None

    @property
    def tells(self) -> bool:
        """Whether something is kept apart, or may be."""
        return self._told is None or self._told[0] > 0

    async def look(self) -> None:
        """Raises, changes or ends the alarm."""
        found = await self._store.scans(0, MOST_COUNTED)
        state = len(found), found[-1].place if found else 0
        if state == self._told:
            return
        agency, now = self._telling.agency, self._telling.clock()
        if not found:
            await self._alarms.clear_alarm(APART, agency)
        else:
            await self._raise(found, now)
        self._told = state

    async def _raise(self, found: Sequence[ScanEntry], now: datetime) -> None:
        last = found[-1]
        message = (
            f"{len(found)} documents are kept apart: malware, or not scanned. The last is "
            f"{uuid_text(last.message_id)} from {last.sender}. See: edocnode quarantine list"
        )
        failed = [each for each in found if each.finding and each.finding.cause is Cause.FAILED]
        if failed:
            last = failed[-1]
            message = (
                f"{len(found)} documents are kept apart: malware, or not scanned. {len(failed)} of "
                f"them met a fault of this program, the last is {uuid_text(last.message_id)} from "
                f"{last.sender}. See: edocnode quarantine list. Report the fault with its "
                f"traceback in the log (scan.failed); after an update, run: edocnode scan ID"
            )
        await self._alarms.raise_alarm(APART, self._telling.agency, message, now)


@dataclass(slots=True)
class ScanLoop:
    """Has what waits scanned.

    Attributes:
        suspects: Hears of parts that are missing or damaged.
        at_once: So many scans run at the same time, and one of what broke before.
    """

    store: ScanStore
    scanner: Scanner
    alarms: Alarms
    watch: QuarantineWatch
    telling: Telling
    suspects: Suspects
    sealer: Wakes
    at_once: int
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _running: dict[asyncio.Task[None], Waiting] = field(default_factory=dict, init=False)
    _retrying: asyncio.Task[None] | None = field(default=None, init=False)
    _after: dict[int, str] = field(default_factory=dict, init=False)
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)
    _changed: bool = field(default=True, init=False)  # what is kept apart
    _alarmed: bool = field(default=True, init=False)  # one of before a restart may stand

    def wake(self) -> None:
        """Tells that something may wait."""
        self._woken.set()

    async def run(self) -> None:
        """Scans until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        try:
            while True:
                self._woken.clear()
                if self._changed:
                    self._changed = False
                    await when_there_is_room("quarantine", self.watch.look)
                if asyncio.get_running_loop().time() >= self._not_before:
                    await self._begin()
                await self._rest()
        finally:
            tasks = [*self._running, *([self._retrying] if self._retrying else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._running.clear()
            self._retrying = None

    async def _rest(self) -> None:
        """Waits until a scan ends, somebody wakes it, or a moment has passed."""
        tasks = [*self._running, *([self._retrying] if self._retrying else [])]
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait(
                [woken, *tasks],
                timeout=LOOK_EVERY.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            woken.cancel()
        for task in [task for task in tasks if task.done()]:
            self._running.pop(task, None)
            if task is self._retrying:
                self._retrying = None
            task.result()  # a disk that failed ends the node

    async def _begin(self) -> None:
        """Begins as many scans as may run."""
        for waiting in await self._chosen():
            task = asyncio.create_task(self._scan(waiting, tried=False))
            self._running[task] = waiting
        if self._retrying is None:
            broken = await self.store.broken_scans(self.telling.clock())
            if broken is not None:
                self._retrying = asyncio.create_task(self._scan(broken, tried=True))

    async def _chosen(self) -> list[Waiting]:
        """What comes next: nobody has all places while another sender waits."""
        room = self.at_once - len(self._running)
        if room <= 0:
            return []
        busy = {each.incoming_id for each in self._running.values()}
        load = Counter(each.sender for each in self._running.values())
        most = max(self.at_once - 1, 1)
        chosen: list[Waiting] = []
        for item in await self.store.next_scans(self.at_once * 2, after=self._after):
            if item.incoming_id in busy or load[item.sender] >= most or len(chosen) == room:
                continue
            load[item.sender] += 1
            self._after[item.lane.value] = item.sender
            chosen.append(item)
        return chosen

    async def _scan(self, waiting: Waiting, *, tried: bool) -> None:
        try:
            await self._judge(waiting, tried=tried)
        except StorageFailedError:
            raise
        except Exception as error:
            # MemoryError too: others may have taken the room, so it is tried again alone.
            log.exception("scan.failed", agency=waiting.sender, incoming_id=waiting.incoming_id)
            await self._failed(waiting, error)

    async def _judge(self, waiting: Waiting, *, tried: bool) -> None:
        try:
            version = await self._trusted()
            job = await self.store.scan_job(waiting.incoming_id)
            if job is None:
                return
            finding = await self._finding(job)
        except AwayError as error:
            await self._away(str(error))
        except BrokenError as error:
            await self._broke(waiting, str(error), tried=tried)
        except StorageDamagedError as error:  # told to be repaired; looked at again
            log.warning("scan.part_damaged", cause=error.message)
            await self._later(waiting, 1)
        else:
            await self._here()
            await self._settle(job, finding, version)

    async def _trusted(self) -> str:
        try:
            return await self.scanner.trusted()
        except AwayError:
            raise
        except Exception as error:  # no document had a part in it
            log.exception("scan.proof_failed")
            raise AwayError(in_few_words(error)) from error

    async def _finding(self, job: ScanJob) -> Finding | None:
        found: Finding | None = None
        for part in job.parts:
            try:
                found = worse(found, await self.scanner.scan(part))
            except StorageDamagedError:
                if part.size > INLINE_PART_BYTES:
                    self.suspects.suspect(part.sha256)
                else:
                    self.suspects.suspect_document(job.subject.document_id)
                raise
            if found is not None and found.is_malware:
                break
        return found

    async def _settle(self, job: ScanJob, finding: Finding | None, version: str) -> None:
        outcome = self._outcome(job, finding, version)
        await self._keep(lambda: self.store.settle_scan(outcome, self.telling.salts()))
        self._changed = self._changed or finding is not None or self.watch.tells
        if outcome.plan is not None or outcome.effect is not None:
            self.sealer.wake()
        level = log.info if finding is None else log.warning
        level(
            "scan.done",
            message_id=uuid_text(job.subject.message_id),
            agency=job.subject.sender,
            state=outcome.state.value,
            finding="" if finding is None else f"{finding.cause.value} {finding.detail}".strip(),
        )

    def _outcome(self, job: ScanJob, finding: Finding | None, version: str) -> ScanOutcome:
        now, subject = self.telling.clock(), job.subject
        step: Step | None = None
        if finding is None:
            step = withdrawal(job, ACTOR, now)
        elif finding.is_malware:
            step = rejection(job, finding, now)
        plan = self.telling.plan(subject, step)
        effect = None
        if finding is not None and finding.is_malware and plan is None:
            detail = f"part {finding.part}: {finding.detail}"
            effect = self.telling.effect(INFECTED, subject, actor=ACTOR, detail=detail)
        return ScanOutcome(
            subject=subject,
            state=state_for(finding),
            at=now,
            finding=finding,
            scanner=version,
            plan=plan,
            effect=effect,
        )

    async def _broke(self, waiting: Waiting, why: str, *, tried: bool) -> None:
        """Blames the document: it hung a scanner that lives, or was tried alone when it died.

        When it died and nothing was tried alone, it may have been any of those under way.
        """
        if not tried and self._retrying is not None and not await self.scanner.alive():
            return
        job = await self.store.scan_job(waiting.incoming_id)
        if job is None:
            return
        breaks = waiting.breaks + 1
        log.warning("scan.broke", message_id=uuid_text(job.subject.message_id), cause=why)
        if breaks >= MOST_BREAKS:
            record = job.parts[0]
            finding = Finding(cause=Cause.BROKE, part=record.index, name=record.name, detail=why)
            await self._settle(job, finding, version="none")
        else:
            await self._later(waiting, breaks)

    async def _failed(self, waiting: Waiting, error: Exception) -> None:
        """Lets an arrival wait that this program could not judge; holds it after the third time."""
        breaks = waiting.breaks + 1
        if breaks < MOST_BREAKS:
            await self._later(waiting, breaks)
            return
        finding, now = unjudged(in_few_words(error)), self.telling.clock()
        await self._keep(lambda: self.store.hold_unjudged(waiting.incoming_id, finding, now))
        self._changed = True

    async def _later(self, waiting: Waiting, breaks: int) -> None:
        again_at = self.telling.clock() + break_wait(breaks)
        await self._keep(
            lambda: self.store.scan_broke(waiting.incoming_id, breaks=breaks, again_at=again_at)
        )

    async def _away(self, why: str) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:  # told by another scan a moment ago
            return
        wait = AWAY_WAITS[min(self._failures, len(AWAY_WAITS) - 1)]
        self._failures += 1
        self._not_before = loop.time() + wait
        log.warning("scan.away", cause=why)
        message = (
            f"Documents that arrive are not shown until the scanner for malware works: {why}. They "
            f"are kept and receipted, and shown when it is back. See: edocnode doctor"
        )
        await self.alarms.raise_alarm(AWAY, self.telling.agency, message, self.telling.clock())
        self._alarmed = True

    async def _here(self) -> None:
        self._failures = 0
        if self._alarmed:
            self._alarmed = False
            await self.alarms.clear_alarm(AWAY, self.telling.agency)

    async def _keep(self, write: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        await when_there_is_room("scan", write)


async def show_what_waits(store: ScanStore, watch: QuarantineWatch) -> None:
    """Shows what waits for a scanner that the settings no longer name; then ends."""
    while await when_there_is_room("scan", lambda: store.show_unscanned(_AT_ONCE)):
        pass
    await when_there_is_room("quarantine", watch.look)
