"""The loop that has signatures checked: beside everything else, urgent documents first.

Nothing waits for it: a document is sent, delivered and shown before its check, and the verdict
follows. What waits is in the database, so a restart goes on where it was. A document that this
program cannot judge is set aside with the verdict that nothing is known of it, and an alarm says so
until it was checked again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import structlog
from msgspec import structs

from edoccore.errors import StorageDamagedError, StorageFailedError
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing.statements import uuid_text
from edocnode.domain.model import INLINE_PART_BYTES, DocumentId
from edocnode.domain.ports import Alarms
from edocnode.domain.repair import Suspects
from edocnode.domain.signature_checks import (
    CHECKS_AT_ONCE,
    CheckerAwayError,
    CheckJob,
    CheckPlace,
    Side,
    SignatureChecks,
    verdict_set_aside,
)
from edocnode.domain.signatures import (
    DocumentVerdict,
    LegalStatus,
    PartState,
    PartToCheck,
    PartVerdict,
    Reason,
    SignatureChecker,
    judge_document,
    part_verdict,
)
from edocnode.workers.room import when_there_is_room

MOST_SUSPECTED = 10_000  # documents with missing parts, remembered
LOOK_EVERY = timedelta(seconds=0.5)  # for documents that came meanwhile; one read of an index
AWAY_WAIT = timedelta(seconds=5)  # until a process is started again that could not be
ALARM = "SIGNATURES_NOT_CHECKED"
MOST_COUNTED = 1000  # documents set aside, in the alarm

log = structlog.get_logger(__name__)


class AsideWatch:
    """Keeps the alarm right that tells of documents whose signatures could not be judged."""

    def __init__(
        self,
        store: SignatureChecks,
        alarms: Alarms,
        *,
        agency: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts.

        Args:
            agency: That owns the node.
        """
        self._store, self._alarms = store, alarms
        self._agency, self._clock = agency, clock
        self._told: Sequence[DocumentId] | None = None  # None: an alarm may stand since before

    def changed(self) -> None:
        """Hears that a document was set aside."""
        self._told = None

    async def look(self) -> None:
        """Raises, changes or ends the alarm; reads nothing while none stands."""
        if self._told is not None and not self._told:
            return
        found = await self._store.checks_set_aside(MOST_COUNTED)
        if found == self._told:
            return
        if not found:
            await self._alarms.clear_alarm(ALARM, self._agency)
        else:
            document_id = uuid_text(found[0])
            message = (
                f"The signatures of {len(found)} documents could not be checked by a fault of this "
                f"program, last those of {document_id}. Report it with its traceback in "
                f"the log (signatures.failed); after an update, run: edocnode signatures recheck ID"
            )
            await self._alarms.raise_alarm(ALARM, self._agency, message, self._clock())
        self._told = found


class SignatureCheckLoop:
    """Has documents checked, one at a time."""

    def __init__(
        self,
        *,
        store: SignatureChecks,
        checker: SignatureChecker,
        path_of: Callable[[str], Path],
        content_of: Callable[[DocumentId, PartToCheck], bytes | None],
        suspects: Suspects,
        impossible: Reason | None,
        watch: AsideWatch,
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            path_of: Place of a large part, by its digest.
            content_of: Decrypts a part of a document; None: it has too much content.
            suspects: Hears of parts that are missing or damaged; once it has them back, the
                document waits for its check again.
            impossible: Why nothing can be checked here; None: it can.
            watch: Tells of what was set aside.
        """
        self._store = store
        self._checker = checker
        self._path_of = path_of
        self._content_of = content_of
        self._suspects = suspects
        self._suspected: set[tuple[Side, int]] = set()
        self._impossible = impossible
        self._watch = watch
        self._clock = clock
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Checks until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        if self._impossible is None:
            await self._to_the_end(self._store.resume_checks)
        while True:
            self._woken.clear()
            await when_there_is_room("signatures", self._watch.look)
            if not await self._work():
                await self._rest()

    async def recheck(self, ids: Sequence[DocumentId]) -> int:
        """Lets documents be checked again; none: all. Returns how many."""
        if ids:
            found = sum([await self._store.recheck(each) for each in ids])
        else:
            found = await self._recheck_all()
        self._woken.set()
        return found

    async def _work(self) -> bool:
        """Settles the next document, or a piece of what cannot be checked; False: take a rest.

        What cannot be checked is settled many at a time: nobody waits for it, and each transaction
        of a few would cost as much as keeping them.
        """
        if self._impossible is not None:
            skipped = await when_there_is_room("signatures", self._skip)
            return skipped >= CHECKS_AT_ONCE
        place = await self._store.next_check()
        if place is None:
            return False
        try:
            await self._check(place)
        except StorageFailedError:
            raise
        except CheckerAwayError as error:
            log.warning("signatures.checker_away", cause=str(error))
            await asyncio.sleep(AWAY_WAIT.total_seconds())
        except Exception as error:
            # MemoryError too: the document that takes too much would do so after each start.
            log.exception("signatures.failed", document_id=uuid_text(place.document_id))
            verdict = verdict_set_aside(error, self._clock())
            aside = partial(self._store.set_check_aside, place, verdict)
            await when_there_is_room("signatures", aside)
            self._watch.changed()
        return True

    async def _check(self, place: CheckPlace) -> None:
        job = await self._store.check_job(place)
        verdict = await self._verdict(job)
        await when_there_is_room("signatures", partial(self._store.settle_check, job, verdict))
        log.info(
            "signatures.checked",
            document_id=uuid_text(job.document_id),
            side=job.side.value,
            legal_status=verdict.legal_status.value,
            reasons=[reason.value for reason in verdict.reasons],
        )
        self._tell_missing(job, verdict)

    def _tell_missing(self, job: CheckJob, verdict: DocumentVerdict) -> None:
        """Has missing parts looked at, after the verdict is kept, which a repair then ends.

        Once for each document while this runs: what cannot be read though it is sound would be
        checked for ever.
        """
        if not verdict.lacks_a_part or (job.side, job.owner) in self._suspected:
            return
        if len(self._suspected) >= MOST_SUSPECTED:
            self._suspected.clear()
        self._suspected.add((job.side, job.owner))
        for part, found in zip(job.parts, verdict.parts, strict=True):
            if found.reason is Reason.PART_MISSING and part.size > INLINE_PART_BYTES:
                self._suspects.suspect(part.sha256)
            elif found.reason is Reason.PART_MISSING:
                self._suspects.suspect_document(job.document_id)

    async def _verdict(self, job: CheckJob) -> DocumentVerdict:
        parts = [await self._part_verdict(job, part) for part in job.parts]
        return judge_document(parts, self._clock())

    async def _part_verdict(self, job: CheckJob, part: PartToCheck) -> PartVerdict:
        """The verdict on a part; on the content of one that is encrypted, or that there is none."""
        if not part.encrypted_from:
            return await self._checker.check(self._placed(part))
        try:
            content = await asyncio.to_thread(self._content_of, job.document_id, part)
        except StorageDamagedError:
            return part_verdict(part, PartState.CHECK_FAILED, Reason.PART_MISSING)
        except PartNotDecryptedError:
            return part_verdict(part, PartState.NOT_CHECKED, Reason.NOT_DECRYPTED)
        if content is None:
            return part_verdict(part, PartState.NOT_CHECKED, Reason.TOO_LARGE)
        return await self._checker.check(
            structs.replace(
                part,
                data=content,
                size=len(content),
                sha256=sha256(content).hexdigest(),
                encrypted_from="",
            )
        )

    def _placed(self, part: PartToCheck) -> PartToCheck:
        if part.size <= INLINE_PART_BYTES:
            return part
        return structs.replace(part, path=str(self._path_of(part.sha256)))

    async def _skip(self) -> int:
        assert self._impossible is not None
        return await self._store.skip_checks(
            DocumentVerdict(
                legal_status=LegalStatus.NOT_CHECKED,
                reasons=(self._impossible,),
                parts=(),
                checked_at=self._clock(),
            )
        )

    async def _recheck_all(self) -> int:
        before = self._clock()
        found, place = await self._store.recheck_after(("", 0), before)
        while place is not None:
            more, place = await self._store.recheck_after(place, before)
            found += more
        return found

    async def _to_the_end(self, change: Callable[[], Awaitable[int]]) -> None:
        while await when_there_is_room("signatures", change):
            pass

    async def _rest(self) -> None:
        """Waits a moment, or until somebody asks."""
        try:
            async with asyncio.timeout(LOOK_EVERY.total_seconds()):
                await self._woken.wait()
        except TimeoutError:
            return
