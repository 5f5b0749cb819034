"""What an account reads and hands in: the office of a node, narrowed, with names of its own.

Places of consumers and request ids begin with the account's name, so that offices that choose the
same ones meet neither each other's places nor each other's answers.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import cast

import sqlalchemy as sa

from edoccore.errors import DecisionConflictError, RequestConflictError
from edoccore.office_errors import AccessDeniedError
from edockit.database import Database
from edocnode.domain.access import Caller, Right
from edocnode.domain.dead_letters import HeldDelivery
from edocnode.domain.model import DocumentId, Submission, SubmissionResult
from edocnode.domain.office_model import Event, InboxEntry, InboxPage, OutboxPage, PageRequest
from edocnode.domain.official_numbers import NumberRequest
from edocnode.domain.ports import Submissions
from edocnode.domain.signature_checks import Rechecks
from edocnode.domain.statistics import Figures, Statistics, StatisticsRequest
from edocnode.storage.office import SqlOffice
from edocnode.storage.office_views import event_of
from edocnode.storage.official_numbers import Given, SqlNumberBook
from edocnode.storage.people_tables import EventRow
from edocnode.storage.scope import Part, ScopedDatabase
from edocnode.storage.statistics import SqlStatistics
from edocnode.storage.tables import InboxRow, table_of

EVENTS_LOOKED_AT = 20_000  # in one read; most may be of other offices
WATCHES = 1_000  # places between which nothing is for the account, remembered

_EVENT = table_of(EventRow)
_NEWEST = sa.select(sa.func.max(table_of(InboxRow).c.position))


class AccountOffice(SqlOffice):
    """See ``domain.office_model.OfficeStore``."""

    def __init__(self, database: Database, name: str, caller: Callable[[], Caller]) -> None:
        """Takes the database and the account; see ``ScopedDatabase``."""
        self._scoped = ScopedDatabase(database, caller)
        super().__init__(cast("Database", self._scoped))
        self._whole = database
        self._name = name
        self._caller = caller
        self._looked_to: OrderedDict[tuple[int, DocumentId | None], int] = OrderedDict()

    async def inbox(self, page: PageRequest) -> InboxPage:
        """Received documents that the account sees, found in order for each of its agencies."""
        pages = [await office.inbox(page) for office in self._by_agency()]
        entries = sorted(
            (entry for each in pages for entry in each.entries),
            key=attrgetter("position"),
            reverse=True,
        )
        shown = tuple(entries[: page.limit])
        is_end = len(entries) <= page.limit and not any(each.next for each in pages)
        return InboxPage(entries=shown, next="" if is_end else str(shown[-1].position))

    async def outbox(self, page: PageRequest) -> OutboxPage:
        """Documents handed in that the account sees, found in order for each of its agencies."""
        pages = [await office.outbox(page) for office in self._by_agency()]
        entries = sorted(
            (entry for each in pages for entry in each.entries),
            key=attrgetter("position"),
            reverse=True,
        )
        shown = tuple(entries[: page.limit])
        is_end = len(entries) <= page.limit and not any(each.next for each in pages)
        return OutboxPage(entries=shown, next="" if is_end else str(shown[-1].position))

    async def fetch(self, consumer: str, limit: int) -> Sequence[InboxEntry]:
        """Received documents that a consumer of the account has not acknowledged, oldest first."""
        name = f"{self._name}/{consumer}"
        # What arrives between two of these reads waits for the next call: else a later document
        # would be acknowledged, and with it an earlier one that nobody was given.
        last = await self._whole.aread(lambda connection: connection.scalar(_NEWEST) or 0)
        found = [entry for office in self._by_agency() for entry in await office.fetch(name, limit)]
        found = [entry for entry in found if entry.position <= last]
        return sorted(found, key=attrgetter("position"))[:limit]

    async def acknowledge(self, consumer: str, position: int) -> int:
        """Moves a place of the account's consumer forward; returns where it is."""
        return await super().acknowledge(f"{self._name}/{consumer}", position)

    async def held_for(self, code: str, after: int, limit: int) -> Sequence[HeldDelivery]:
        """Held deliveries of what the account sees and may send, oldest first."""
        scoped = ScopedDatabase(self._whole, self._caller, right=Right.SEND)
        return await SqlOffice(cast("Database", scoped)).held_for(code, after, limit)

    async def events(
        self, after: int, limit: int, document_id: DocumentId | None = None
    ) -> Sequence[Event]:
        """Events after a position that the account may see, oldest first.

        What others' events were looked through is not looked through again at the next call.
        """
        self._caller()  # also when there is nothing to read
        start = max(after, self._looked_to.get((after, document_id), 0))
        newest = sa.select(sa.func.max(_EVENT.c.position))
        last = await self._whole.aread(lambda connection: connection.scalar(newest) or 0)
        while start < last:
            end = min(start + EVENTS_LOOKED_AT, last)
            wanted = sa.select(_EVENT).where(_EVENT.c.position > start, _EVENT.c.position <= end)
            if document_id is not None:
                wanted = wanted.where(_EVENT.c.document_id == document_id)
            rows = await self._read(wanted.order_by(_EVENT.c.position).limit(limit))
            if rows:
                return [event_of(row) for row in rows]
            start = end
            self._looked_to[after, document_id] = end
            if len(self._looked_to) > WATCHES:
                self._looked_to.popitem(last=False)
        return []

    def _by_agency(self) -> list[SqlOffice]:
        """Offices that together see what the account sees, each the rows of one index in order."""
        caller = self._caller()
        if caller.everything:
            seen = [(caller, Part.OPEN)]
        else:
            codes = [frozenset({code}) for code in sorted(caller.codes)]
            seen = [(replace(caller, codes=code), Part.OPEN) for code in codes]
        return [
            SqlOffice(cast("Database", ScopedDatabase(self._whole, partial(_same, who), part)))
            for who, part in (*seen, (caller, Part.NAMED))
        ]

    async def _read(self, wanted: sa.Select[tuple[EventRow]]) -> Sequence[sa.Row[tuple[EventRow]]]:
        return await self._scoped.aread(lambda connection: connection.execute(wanted).all())


def _same(caller: Caller) -> Caller:
    return caller


class AccountBook(SqlNumberBook):
    """See ``domain.official_numbers.NumberBook``."""

    def __init__(self, database: Database, name: str, caller: Callable[[], Caller]) -> None:
        """Takes the database and the account; see ``ScopedDatabase``."""
        super().__init__(cast("Database", ScopedDatabase(database, caller)))
        self._name = name

    async def take_many(self, requests: Sequence[NumberRequest], at: datetime) -> list[Given]:
        """Gives the next numbers for documents of the account; again for the same requests."""
        named = [
            replace(request, request_id=f"{self._name}/{request.request_id}")
            for request in requests
        ]
        return await super().take_many(named, at)


class AccountStatistics(SqlStatistics):
    """See ``domain.statistics.StatisticsStore``: all is counted, sums of its agencies are shown."""

    def __init__(self, database: Database, caller: Callable[[], Caller]) -> None:
        """Takes the database and the account; see ``ScopedDatabase``."""
        super().__init__(database)
        self._seen = SqlStatistics(cast("Database", ScopedDatabase(database, caller)))

    async def statistics(self, wanted: StatisticsRequest) -> Statistics:
        """The figures of a period, of the account's agencies alone."""
        return await self._seen.statistics(wanted)

    async def reports(self, month: str) -> Mapping[str, Figures]:  # noqa: ARG002 - as the port
        """Refuses the nation's statements.

        Raises:
            AccessDeniedError: Always.
        """
        raise AccessDeniedError(
            "The nation's statistics are for the node's administrator alone.",
            hint="Leave --nation out.",
        )


class AccountRechecks:
    """See ``domain.signature_checks.Rechecks``."""

    def __init__(self, rechecks: Rechecks) -> None:
        """Takes whoever checks."""
        self._rechecks = rechecks

    async def recheck(self, ids: Sequence[DocumentId]) -> int:
        """Lets documents be checked again that were found among those the account sees.

        Raises:
            AccessDeniedError: None was named, which would be all of the node.
        """
        if not ids:
            raise AccessDeniedError(
                "Only the node's administrator has all documents checked again.",
                hint="Name a document: edocnode signatures recheck ID",
            )
        return await self._rechecks.recheck(ids)


class AccountSubmissions:
    """See ``domain.ports.Submissions``."""

    def __init__(self, submissions: Submissions, name: str) -> None:
        """Takes where submissions are kept, and the account."""
        self._submissions = submissions
        self._name = name

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document.

        Raises:
            RequestConflictError: The account used the request id for another request.
        """
        try:
            return await self._submissions.submit(self._named(submission))
        except RequestConflictError as error:
            own = {**error.fields, "request_id": submission.request_id}
            raise RequestConflictError(**own) from error

    async def submit_many(
        self, submissions: Sequence[Submission]
    ) -> Sequence[SubmissionResult | RequestConflictError | DecisionConflictError]:
        """Keeps documents; what is wrong with one is returned in its place."""
        return await self._submissions.submit_many([self._named(each) for each in submissions])

    async def handed_in(self, request_id: str) -> datetime | None:
        """When the account first handed a request in; None when it is not known."""
        return await self._submissions.handed_in(f"{self._name}/{request_id}")

    def _named(self, submission: Submission) -> Submission:
        return replace(submission, request_id=f"{self._name}/{submission.request_id}")
