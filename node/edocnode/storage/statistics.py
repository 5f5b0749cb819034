"""Counts documents into sums of their day: see ``domain.statistics.StatisticsStore``.

Reading (``uncounted``) and judging take no write; one small transaction then adds the sums and
moves the marks, if they still stand where the reading began. So nothing is counted twice or left
out by a crash or by two workers, and a document on its way pays nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import NotCanonicalError, StatementTooLargeError
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord
from edoccore.signing.statements import Envelope
from edockit.database import Database
from edocnode.domain.calendar import at
from edocnode.domain.counting import median_time
from edocnode.domain.group_by import GroupBy
from edocnode.domain.model import Lane
from edocnode.domain.reporting import read_report
from edocnode.domain.statistics import (
    FIGURES,
    Batch,
    CheckFact,
    DayKey,
    Detail,
    DetailKey,
    Figures,
    Statistics,
    StatisticsRequest,
    Tally,
    added,
)
from edocnode.storage.signature_checks import LEGAL_STATUS
from edocnode.storage.signature_tables import SignatureCheckRow
from edocnode.storage.sql import insert_missing, upsert
from edocnode.storage.statistics_tables import CountedRow, DailyDetailRow, DailyRow, ReportedRow
from edocnode.storage.tables import DeliveryRow, IncomingRow, StatusGotRow, table_of
from edocnode.storage.uncounted import uncounted

_DAILY, _DETAIL, _COUNTED = table_of(DailyRow), table_of(DailyDetailRow), table_of(CountedRow)
_CHECK, _REPORTED = table_of(SignatureCheckRow), table_of(ReportedRow)
_DELIVERY, _INCOMING, _STATUS = table_of(DeliveryRow), table_of(IncomingRow), table_of(StatusGotRow)

_COUNT_CHECK = (
    sa.update(_CHECK)
    .where(
        _CHECK.c.side == sa.bindparam("of_side"),
        _CHECK.c.owner == sa.bindparam("of_owner"),
        _CHECK.c.counted == sa.bindparam("was"),
    )
    .values(counted=sa.bindparam("now"))
)
_REPORTS = (
    sa.select(_REPORTED.c.agency, _INCOMING.c.envelope, _INCOMING.c.inline)
    .select_from(_REPORTED.join(_INCOMING, _INCOMING.c.id == _REPORTED.c.incoming_id))
    .where(
        _REPORTED.c.month == sa.bindparam("month"),
        _INCOMING.c.signer == _REPORTED.c.agency,
    )
    .order_by(_REPORTED.c.agency)
)
_GROUPS: Mapping[GroupBy | None, sa.Column[Any] | None] = {
    None: None,
    GroupBy.DAY: _DAILY.c.day,
    GroupBy.TYPE: _DAILY.c.document_type,
    GroupBy.URGENCY: _DAILY.c.lane,
    GroupBy.PEER: _DAILY.c.peer,
}


class SqlStatistics:
    """See ``domain.statistics.StatisticsStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def uncounted(self, limit: int) -> Batch:
        """Reads what is not counted yet, at most ``limit`` rows of each source."""
        return await self._database.aread(lambda connection: uncounted(connection, limit))

    async def add_tally(self, tally: Tally, marks: Mapping[str, tuple[int, int]]) -> bool:
        """Adds what was counted and moves the marks, in one transaction."""
        try:
            await self._database.awrite(lambda connection: _add(connection, tally, marks))
        except MarksMovedError:
            return False
        return True

    async def reports(self, month: str) -> Mapping[str, Figures]:
        """The newest statements of a month, each sealed by the agency that it is of."""
        return await self._database.aread(lambda connection: _reports(connection, month))

    async def statistics(self, wanted: StatisticsRequest) -> Statistics:
        """Sums up a period."""
        return await self._database.aread(lambda connection: _statistics(connection, wanted))


def _add(connection: Connection, tally: Tally, marks: Mapping[str, tuple[int, int]]) -> None:
    insert_missing(connection, _COUNTED, [{"source": name, "place": 0} for name in marks])
    for source, (after, to) in marks.items():
        mine = sa.update(_COUNTED).where(_COUNTED.c.source == source, _COUNTED.c.place == after)
        if not connection.execute(mine.values(place=to)).rowcount:
            raise MarksMovedError
    for check in tally.checks:
        if not connection.execute(_COUNT_CHECK, _check_values(check)).rowcount:
            raise MarksMovedError  # or it was destroyed with its document
    days = [_day_values(key, counts) for key, counts in tally.figures.items()]
    _sum_into(connection, _DAILY, days, FIGURES)
    details = [_detail_values(key, count) for key, count in tally.details.items()]
    _sum_into(connection, _DETAIL, details, ("count",))
    reports = [
        {"month": month, "agency": agency, "incoming_id": incoming_id}
        for (agency, month), incoming_id in tally.reports.items()
    ]
    if reports:
        upsert(connection, _REPORTED, reports)


class MarksMovedError(Exception):
    """Somebody else has counted meanwhile; nothing of this transaction is kept."""


def _sum_into(
    connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]], sums: Sequence[str]
) -> None:
    """Adds rows, or their sums to the rows that are there."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    mine = sa.and_(*(table.c[name] == sa.bindparam(f"of_{name}") for name in keys))
    insert_missing(connection, table, [{**row, **dict.fromkeys(sums, 0)} for row in rows])
    added_to = {name: table.c[name] + sa.bindparam(f"more_{name}") for name in sums}
    values = [
        {f"of_{name}": row[name] for name in keys} | {f"more_{name}": row[name] for name in sums}
        for row in rows
    ]
    connection.execute(sa.update(table).where(mine).values(added_to), values)


def _check_values(check: CheckFact) -> dict[str, Any]:
    return {
        "of_side": check.side.value,
        "of_owner": check.owner,
        "was": LEGAL_STATUS.index(check.counted),
        "now": LEGAL_STATUS.index(check.now),
    }


def _day_values(key: DayKey, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "day": key.day.isoformat(),
        "direction": key.direction.value,
        "agency": key.agency,
        "peer": key.peer,
        "document_type": key.document_type,
        "lane": key.lane.value,
        **{name: counts.get(name, 0) for name in FIGURES},
    }


def _detail_values(key: DetailKey, count: int) -> dict[str, Any]:
    return {
        "day": key.day.isoformat(),
        "agency": key.agency,
        "detail": key.detail.value,
        "item": key.key,
        "count": count,
    }


def _statistics(connection: Connection, wanted: StatisticsRequest) -> Statistics:
    group = _GROUPS[wanted.by]
    sums = [sa.func.sum(_DAILY.c[name]).label(name) for name in FIGURES]
    named = sa.literal("") if group is None else group
    query = sa.select(named.label("name"), *sums).where(*_span(_DAILY, wanted))
    if group is not None:
        query = query.group_by(group).order_by(group)
    groups = {
        _name(wanted.by, row.name): Figures(**{name: int(getattr(row, name)) for name in FIGURES})
        for row in connection.execute(query)
        if row.sent is not None  # the sums of no rows are nothing
    }
    details = _details(connection, wanted)
    return Statistics(
        total=added(groups.values()),
        groups={} if group is None else groups,
        accepting=median_time(_histogram(details[Detail.ACCEPTING])),
        finishing=median_time(_histogram(details[Detail.FINISHING])),
        refusals=details[Detail.REFUSED],
        confirmed=connection.scalar(_confirmed(wanted)) or 0,
    )


def _confirmed(wanted: StatisticsRequest) -> sa.Select[Any]:
    end = wanted.last + timedelta(days=1)
    return (
        sa.select(sa.func.count())
        .select_from(_STATUS.join(_DELIVERY, _DELIVERY.c.message_id == _STATUS.c.message_id))
        .where(
            sa.text("step = 'agreed'"),
            _STATUS.c.state == "revoked",
            _STATUS.c.received_at >= at(wanted.first, time(0)),
            _STATUS.c.received_at < at(end, time(0)),
            *_of_agency(_DELIVERY.c.sender, wanted.agency),
        )
    )


def _reports(connection: Connection, month: str) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for row in connection.execute(_REPORTS, {"month": month}):
        size = canonical.decode(row.envelope, Envelope).parts[0].size
        try:
            record = canonical.decode(row.inline[:size], DocumentRecord)
        except (NotCanonicalError, StatementTooLargeError):  # destroyed meanwhile
            continue
        figures = read_report(record)
        if figures is not None:
            found[row.agency] = figures
    return found


def _details(connection: Connection, wanted: StatisticsRequest) -> dict[Detail, dict[str, int]]:
    query = (
        sa.select(_DETAIL.c.detail, _DETAIL.c.item, sa.func.sum(_DETAIL.c.count).label("total"))
        .where(*_span(_DETAIL, wanted))
        .group_by(_DETAIL.c.detail, _DETAIL.c.item)
        .order_by(_DETAIL.c.item)
    )
    found: dict[Detail, dict[str, int]] = {detail: {} for detail in Detail}
    for row in connection.execute(query):
        found[Detail(row.detail)][row.item] = int(row.total)
    return found


def _span(table: sa.Table, wanted: StatisticsRequest) -> list[sa.ColumnElement[bool]]:
    days = table.c.day.between(wanted.first.isoformat(), wanted.last.isoformat())
    return [days, *_of_agency(table.c.agency, wanted.agency)]


def _of_agency(column: sa.Column[Any], agency: str) -> list[sa.ColumnElement[bool]]:
    if not agency:
        return []
    return [sa.or_(column == agency, column.startswith(f"{agency}.", autoescape=True))]


def _name(by: GroupBy | None, value: Any) -> str:  # noqa: ANN401 - text or number
    return Lane(value).name.lower() if by is GroupBy.URGENCY else str(value)


def _histogram(items: Mapping[str, int]) -> dict[int, int]:
    return {int(step): count for step, count in items.items()}
