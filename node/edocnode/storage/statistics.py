"""Counts documents into sums of their day: see ``domain.statistics.StatisticsStore``.

Three sources are read in the order in which their rows were added, each up to a mark: seals with
the envelopes under them, the inbox, and the steps taken. Reading and judging take no write; one
small transaction then adds the sums and moves the marks, if they still stand where the reading
began. So nothing is counted twice or left out by a crash or by two workers, and a document on its
way pays nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import NotCanonicalError, StatementTooLargeError
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, StatusStep
from edoccore.signing.statements import Envelope, Operation
from edockit.database import Database
from edocnode.domain.calendar import at
from edocnode.domain.model import Lane
from edocnode.domain.reporting import read_report
from edocnode.domain.statistics import (
    FIGURES,
    ArrivalFact,
    Batch,
    DayKey,
    Detail,
    DetailKey,
    Figures,
    GroupBy,
    SealedFact,
    Statistics,
    StatisticsRequest,
    StepFact,
    Tally,
    added,
    median_time,
)
from edocnode.storage.listing import decode_listing, decode_parts
from edocnode.storage.sql import among, insert_missing, select_by, upsert
from edocnode.storage.statistics_tables import CountedRow, DailyDetailRow, DailyRow, ReportedRow
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    SealRow,
    StatusGotRow,
    table_of,
)
from edocnode.storage.workflow_tables import StepRow, VersionRow

_DAILY, _DETAIL, _COUNTED = table_of(DailyRow), table_of(DailyDetailRow), table_of(CountedRow)
_SEAL, _ENVELOPE = table_of(SealRow), table_of(DeliveryEnvelopeRow)
_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_INCOMING, _REPORTED = table_of(IncomingRow), table_of(ReportedRow)
_INBOX, _STEP, _STATUS = table_of(InboxRow), table_of(StepRow), table_of(StatusGotRow)
_VERSION = table_of(VersionRow)

SOURCES = {"seal": _SEAL.c.id, "inbox": _INBOX.c.position, "step": _STEP.c.id}
ENVELOPES = 4000  # a seal may be over hundreds
RECORD_BYTES = 64 * 1024  # of what lies with a document; its record comes first
_PAPER = b'"paper_also_sent":true'  # in a canonical record it cannot stand inside a text

_FIRST = _DELIVERY.alias("first")
_SEALED: sa.Select[Any] = (
    sa.select(
        _SEAL.c.id.label("seal"),
        _SEAL.c.sealed_at,
        _DELIVERY.c.id,
        _DELIVERY.c.sender,
        _DELIVERY.c.recipient,
        _DELIVERY.c.lane,
        _DOCUMENT.c.operation,
        _DOCUMENT.c.created_at,
        _DOCUMENT.c.listing,
        _DOCUMENT.c.parts,
        sa.func.substr(_DOCUMENT.c.inline, 1, RECORD_BYTES).label("inline"),
        sa.select(sa.func.min(_FIRST.c.id))
        .where(_FIRST.c.document_row == _DELIVERY.c.document_row)
        .scalar_subquery()
        .label("first"),
    )
    .select_from(
        _SEAL.join(_ENVELOPE, _ENVELOPE.c.seal_id == _SEAL.c.id)
        .join(_DELIVERY, _DELIVERY.c.message_id == _ENVELOPE.c.message_id)
        .join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
    )
    .where(
        _SEAL.c.id > sa.bindparam("after"), _SEAL.c.id <= sa.bindparam("to"), _ENVELOPE.c.rank == 0
    )
    .order_by(_SEAL.c.id)
    .execution_options(yield_per=500)
)
_ARRIVAL_COLUMNS = (
    _INBOX.c.recipient,
    _INBOX.c.sender,
    _INBOX.c.lane,
    _INBOX.c.operation,
    _INBOX.c.document_type,
    _INBOX.c.document_code,
    _INBOX.c.incoming_id,
    _INBOX.c.due_date,
    _INBOX.c.received_at,
)
_ARRIVALS: sa.Select[Any] = sa.select(*_ARRIVAL_COLUMNS).where(
    _INBOX.c.position > sa.bindparam("after"),
    _INBOX.c.position <= sa.bindparam("to"),
    ~sa.exists().where(_VERSION.c.head == _INBOX.c.incoming_id, _VERSION.c.was_at > 0),
)
_EARLIER = _VERSION.alias("earlier")
_MOVED: sa.Select[Any] = (  # by an update: counted where they first stood, and nowhere else
    sa.select(*_ARRIVAL_COLUMNS)
    .select_from(_VERSION.join(_INBOX, _INBOX.c.incoming_id == _VERSION.c.head))
    .where(
        _VERSION.c.was_at > sa.bindparam("after"),
        _VERSION.c.was_at <= sa.bindparam("to"),
        sa.text("version.was_at > 0"),
        ~sa.exists().where(
            _EARLIER.c.head == _VERSION.c.head,
            _EARLIER.c.was_at > 0,
            _EARLIER.c.was_at < _VERSION.c.was_at,
        ),
    )
)
_STEPS: sa.Select[Any] = (
    sa.select(_STEP.c.step, _STEP.c.at, _STEP.c.code, *_ARRIVAL_COLUMNS)
    .select_from(_STEP.join(_INBOX, _INBOX.c.incoming_id == _STEP.c.incoming_id))
    .where(_STEP.c.id > sa.bindparam("after"), _STEP.c.id <= sa.bindparam("to"))
)
_ACCEPTED = sa.select(_STEP.c.incoming_id, _STEP.c.at).where(
    among(_STEP.c.incoming_id), _STEP.c.step == StatusStep.ACCEPTED.value
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
        return await self._database.aread(lambda connection: _uncounted(connection, limit))

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


def _uncounted(connection: Connection, limit: int) -> Batch:
    places = {row.source: row.place for row in connection.execute(sa.select(_COUNTED))}
    marks: dict[str, tuple[int, int]] = {}
    complete = True
    for source, key in SOURCES.items():
        after = places.get(source, 0)
        newest = connection.scalar(sa.select(sa.func.max(key))) or 0
        marks[source] = (after, min(newest, after + limit))
        complete = complete and marks[source][1] == newest
    spans = {name: {"after": after, "to": to} for name, (after, to) in marks.items()}
    sealed, place = _whole_seals(connection, spans["seal"])
    complete = complete and place == marks["seal"][1]
    marks["seal"] = (marks["seal"][0], place)
    steps = connection.execute(_STEPS, spans["step"]).all()
    finished = [row.incoming_id for row in steps if row.step == StatusStep.FINISHED]
    accepted = {row.incoming_id: row.at for row in select_by(connection, _ACCEPTED, finished)}
    return Batch(
        sealed=sealed,
        arrivals=[
            _arrival(row)
            for wanted in (_ARRIVALS, _MOVED)
            for row in connection.execute(wanted, spans["inbox"])
        ],
        steps=[_step(row, accepted) for row in steps],
        marks=marks,
        complete=complete,
    )


def _whole_seals(connection: Connection, span: Mapping[str, int]) -> tuple[list[SealedFact], int]:
    """Deliveries under some seals, not many more than ``ENVELOPES``, and the last seal read."""
    found: list[SealedFact] = []
    last = span["after"]
    rows = connection.execute(_SEALED, span)
    for row in rows:
        if row.seal != last and len(found) > ENVELOPES:
            rows.close()
            return found, last
        last = row.seal
        found.append(_sealed(row))
    return found, span["to"]


def _sealed(row: sa.Row[Any]) -> SealedFact:
    listing = decode_listing(row.listing)
    first = row.first == row.id
    return SealedFact(
        agency=row.sender,
        peer=row.recipient,
        lane=Lane(row.lane),
        operation=Operation(row.operation),
        document_type=listing.get("document_type", ""),
        issued_date=listing.get("issued_date", ""),
        handed_in=row.created_at,
        sealed_at=row.sealed_at,
        first=first,
        paper=first and _on_paper(row.parts, row.inline),
    )


def _on_paper(parts: bytes, inline: bytes) -> bool:
    if _PAPER not in inline:
        return False
    return _PAPER in inline[: decode_parts(parts)[0].size]


def _arrival(row: sa.Row[Any]) -> ArrivalFact:
    return ArrivalFact(
        agency=row.recipient,
        peer=row.sender,
        lane=Lane(row.lane),
        operation=Operation(row.operation),
        document_type=row.document_type,
        document_code=row.document_code,
        incoming_id=row.incoming_id,
        due_date=row.due_date,
        received_at=row.received_at,
    )


def _step(row: sa.Row[Any], accepted: Mapping[int, Any]) -> StepFact:
    return StepFact(
        arrival=_arrival(row),
        step=StatusStep(row.step),
        at=row.at,
        code=row.code,
        accepted_at=accepted.get(row.incoming_id),
    )


def _add(connection: Connection, tally: Tally, marks: Mapping[str, tuple[int, int]]) -> None:
    insert_missing(connection, _COUNTED, [{"source": name, "place": 0} for name in marks])
    for source, (after, to) in marks.items():
        mine = sa.update(_COUNTED).where(_COUNTED.c.source == source, _COUNTED.c.place == after)
        if not connection.execute(mine.values(place=to)).rowcount:
            raise MarksMovedError
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
