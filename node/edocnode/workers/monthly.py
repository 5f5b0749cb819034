"""The reporter: hands in the monthly statement of statistics, once, like any document."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DirectoryInvalidError,
    RequestConflictError,
)
from edoccore.signing.statements import Urgency
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.model import DocumentId, MessageId, Submission
from edocnode.domain.office import (
    SubmitHeader,
    admit,
    build_record,
    build_submission,
    new_id,
)
from edocnode.domain.ports import Alarms, Submissions
from edocnode.domain.reporting import DueReport, due_reports, report_fields
from edocnode.domain.statistics import StatisticsRequest
from edocnode.workers.counting import Counter
from edocnode.workers.room import when_there_is_room

EVERY = timedelta(minutes=5)
ALARM = "statistics.failing"
_LATER = (AgencyUnknownError, AgencyInactiveError, DirectoryInvalidError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterParts:
    """What the reporter works with.

    Attributes:
        agency: That owns the node.
        to: Code of the agency that sums; empty, or the own one: nothing is sent.
        chance: So many random bytes.
    """

    agency: str
    to: str
    counter: Counter
    submissions: Submissions
    alarms: Alarms
    directory: Callable[[], Directory]
    rules: Callable[[datetime], DeadlineRules]
    wake_sealer: Callable[[], None]
    chance: Callable[[int], bytes]
    clock: Callable[[], datetime]


class Reporter:
    """Sends what is due to the agency that sums the nation."""

    def __init__(self, parts: ReporterParts) -> None:
        """Takes the parts; nothing happens before ``run``."""
        self._parts = parts

    async def run(self) -> None:
        """Reports until cancelled; ends at once when nobody wants reports.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while self._parts.to not in ("", self._parts.agency):
            await when_there_is_room("statistics", self.look)
            await asyncio.sleep(EVERY.total_seconds())

    async def look(self) -> None:
        """Sends what is due and was not sent."""
        now = self._parts.clock()
        rules = await asyncio.to_thread(self._parts.rules, now)
        for due in due_reports(now, rules.calendar, self._parts.agency):
            if await self._parts.submissions.handed_in(due.request_id) is not None:
                continue
            try:
                await self._send(due, now)
            except _LATER as error:
                message = f"Statistics of {due.month} wait for {self._parts.to}: {error.message}"
                await self._parts.alarms.raise_alarm(ALARM, self._parts.to, message, now)
                return
            except RequestConflictError:  # somebody else was faster by a moment
                continue
            await self._parts.alarms.clear_alarm(ALARM, self._parts.to)

    async def _send(self, due: DueReport, now: datetime) -> None:
        wanted = StatisticsRequest(first=due.month.first, last=due.month.last)
        found, complete = await self._parts.counter.statistics(wanted)
        if not complete:
            return
        fields = report_fields(due.month, found.total)
        await self._parts.submissions.submit(self._submission(due, fields, now))
        self._parts.wake_sealer()
        log.info("statistics.reported", month=str(due.month), to=self._parts.to)

    def _submission(self, due: DueReport, fields: bytes, now: datetime) -> Submission:
        directory = self._parts.directory()
        header = SubmitHeader(
            request_id=due.request_id,
            sender=self._parts.agency,
            recipients=(self._parts.to,),
            urgency=Urgency.NORMAL,
            record_size=len(fields),
            parts=(),
            lifetime=None,
        )
        admitted = admit(header, directory, self._parts.agency, now=now)
        document_id = DocumentId(new_id(now, self._parts.chance(10)))
        record = build_record(admitted, fields, network=directory.network, document_id=document_id)
        return build_submission(
            admitted,
            record,
            [],
            fields_digest=sha256(fields).digest(),
            document_id=document_id,
            message_ids=[MessageId(new_id(now, self._parts.chance(10)))],
            inline=record.data,
        )
