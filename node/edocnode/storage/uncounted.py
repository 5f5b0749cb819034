"""Reads what is not in the sums of statistics yet: see ``domain.statistics.StatisticsStore``.

Three sources are read in the order in which their rows were added, each up to a mark: seals with
the envelopes under them, the inbox, and the steps taken. Checks of signatures change, so each of
them remembers as what it was counted; an index has those that are something else by now.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation, parse_time
from edocnode.domain.checks import CORRECTS, DELIVER_BY, REPLACES
from edocnode.domain.model import Lane
from edocnode.domain.signature_checks import Side
from edocnode.domain.statistics import ArrivalFact, Batch, CheckFact, SealedFact, StepFact
from edocnode.storage.appointed_tables import AppointedRow
from edocnode.storage.listing import decode_listing, decode_parts
from edocnode.storage.search_tables import DuplicateRow
from edocnode.storage.signature_checks import LEGAL_STATUS
from edocnode.storage.signature_tables import SignatureCheckRow
from edocnode.storage.sql import among, select_by
from edocnode.storage.statistics_tables import CountedRow
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    InboxRow,
    SealRow,
    table_of,
)
from edocnode.storage.workflow_tables import StepRow, VersionRow

_COUNTED, _CHECK = table_of(CountedRow), table_of(SignatureCheckRow)
_SEAL, _ENVELOPE = table_of(SealRow), table_of(DeliveryEnvelopeRow)
_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_INBOX, _STEP = table_of(InboxRow), table_of(StepRow)
_VERSION, _DUPLICATE = table_of(VersionRow), table_of(DuplicateRow)
_APPOINTED = table_of(AppointedRow)

SOURCES = {"seal": _SEAL.c.id, "inbox": _INBOX.c.position, "step": _STEP.c.id}
ENVELOPES = 4000  # a seal may be over hundreds
RECORD_BYTES = 64 * 1024  # of what lies with a document; its record comes first
_PAPER = b'"paper_also_sent":true'  # in a canonical record it cannot stand inside a text
_DECIDED = (StatusStep.ACCEPTED.value, StatusStep.REJECTED.value)

_FIRST = _DELIVERY.alias("first")
_FIRST_OF = (
    sa.select(sa.func.min(_FIRST.c.id))
    .where(_FIRST.c.document_row == _DELIVERY.c.document_row)
    .scalar_subquery()
)
_SEALED_COLUMNS = (
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
    _FIRST_OF.label("first"),
)
_SEALED: sa.Select[Any] = (
    sa.select(*_SEALED_COLUMNS)
    .select_from(
        _SEAL.join(_ENVELOPE, _ENVELOPE.c.seal_id == _SEAL.c.id)
        .join(_DELIVERY, _DELIVERY.c.message_id == _ENVELOPE.c.message_id)
        .join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
    )
    .where(
        _SEAL.c.id > sa.bindparam("after"), _SEAL.c.id <= sa.bindparam("to"), _ENVELOPE.c.rank == 0
    )
    .execution_options(yield_per=100)
)
_SEAL_WITH_ENVELOPE = (  # the one so many envelopes further; from an index alone
    sa.select(_ENVELOPE.c.seal_id)
    .where(_ENVELOPE.c.seal_id > sa.bindparam("after"), _ENVELOPE.c.seal_id <= sa.bindparam("to"))
    .order_by(_ENVELOPE.c.seal_id)
    .limit(1)
    .offset(sa.bindparam("envelopes"))
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
    sa.select(_APPOINTED.c.deliver_by)
    .where(_APPOINTED.c.side == Side.RECEIVED.value, _APPOINTED.c.owner == _INBOX.c.incoming_id)
    .scalar_subquery()
    .label("deliver_by"),
    sa.exists().where(_DUPLICATE.c.incoming_id == _INBOX.c.incoming_id).label("alike"),
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
    sa.select(
        _STEP.c.step, _STEP.c.step_order, _STEP.c.state, _STEP.c.at, _STEP.c.code, *_ARRIVAL_COLUMNS
    )
    .select_from(_STEP.join(_INBOX, _INBOX.c.incoming_id == _STEP.c.incoming_id))
    .where(_STEP.c.id > sa.bindparam("after"), _STEP.c.id <= sa.bindparam("to"))
)
_DECISIONS = sa.select(_STEP.c.incoming_id, _STEP.c.step_order, _STEP.c.step, _STEP.c.at).where(
    among(_STEP.c.incoming_id), _STEP.c.step.in_(_DECIDED)
)
_CHANGED_CHECKS = sa.text("signature_check.legal <> signature_check.counted")
_CHECK_COLUMNS = (_CHECK.c.side, _CHECK.c.owner, _CHECK.c.legal, _CHECK.c.counted)
_RECEIVED_CHECKS: sa.Select[Any] = (
    sa.select(*_CHECK_COLUMNS, *_ARRIVAL_COLUMNS)
    .select_from(_CHECK.outerjoin(_INBOX, _INBOX.c.incoming_id == _CHECK.c.owner))
    .where(_CHANGED_CHECKS, _CHECK.c.side == Side.RECEIVED.value)
    .order_by(_CHECK.c.owner)
    .limit(sa.bindparam("limit"))
)
_SENT_CHECKS: sa.Select[Any] = (  # what is not sealed yet is counted once it is
    sa.select(*_CHECK_COLUMNS, *_SEALED_COLUMNS)
    .select_from(
        _CHECK.join(_DOCUMENT, _DOCUMENT.c.id == _CHECK.c.owner)
        .join(_DELIVERY, _DELIVERY.c.document_row == _DOCUMENT.c.id)
        .join(
            _ENVELOPE,
            sa.and_(_ENVELOPE.c.message_id == _DELIVERY.c.message_id, _ENVELOPE.c.rank == 0),
        )
        .join(_SEAL, _SEAL.c.id == _ENVELOPE.c.seal_id)
    )
    .where(_CHANGED_CHECKS, _CHECK.c.side == Side.SENT.value, _DELIVERY.c.id == _FIRST_OF)
    .order_by(_CHECK.c.owner)
    .limit(sa.bindparam("limit"))
)


def uncounted(connection: Connection, limit: int) -> Batch:
    """Reads what is not counted yet, at most ``limit`` rows of each source."""
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
    checks = _checks(connection, limit)
    return Batch(
        sealed=sealed,
        arrivals=[
            _arrival(row)
            for wanted in (_ARRIVALS, _MOVED)
            for row in connection.execute(wanted, spans["inbox"])
        ],
        steps=_steps(connection, spans["step"]),
        checks=checks,
        marks=marks,
        complete=complete and len(checks) < limit,
    )


def _whole_seals(connection: Connection, span: Mapping[str, int]) -> tuple[list[SealedFact], int]:
    """Deliveries under some seals, not many more than ``ENVELOPES``, and the last seal read.

    The span is cut before anything is joined: a row carries content, and an outbox of half a
    million documents would be held in memory to be sorted, once for each batch.
    """
    last = connection.scalar(_SEAL_WITH_ENVELOPE, {**span, "envelopes": ENVELOPES}) or span["to"]
    return [_sealed(row) for row in connection.execute(_SEALED, {**span, "to": last})], last


def _sealed(row: sa.Row[Any]) -> SealedFact:
    listing = decode_listing(row.listing)
    first, operation = row.first == row.id, Operation(row.operation)
    deliver_by = listing.get(DELIVER_BY)
    return SealedFact(
        agency=row.sender,
        peer=row.recipient,
        lane=Lane(row.lane),
        operation=operation,
        document_type=listing.get("document_type", ""),
        issued_date=listing.get("issued_date", ""),
        handed_in=row.created_at,
        sealed_at=row.sealed_at,
        first=first,
        # SQLite makes NULL of a piece of nothing: the record lies elsewhere, or was lost.
        paper=first and _on_paper(row.parts, row.inline or b""),
        deliver_by=parse_time(deliver_by) if deliver_by else None,
        replaces=operation is Operation.REPLACE and REPLACES in listing,
        corrects=CORRECTS in listing,
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
        deliver_by=row.deliver_by,
        alike=bool(row.alike),
    )


def _steps(connection: Connection, span: Mapping[str, int]) -> list[StepFact]:
    rows = connection.execute(_STEPS, span).all()
    asked = (*_DECIDED, StatusStep.FINISHED.value)
    ids = sorted({row.incoming_id for row in rows if row.step in asked})
    first: dict[int, int] = {}
    accepted: dict[int, Any] = {}
    for row in sorted(select_by(connection, _DECISIONS, ids), key=lambda row: row.step_order):
        first.setdefault(row.incoming_id, row.step_order)
        if row.step == StatusStep.ACCEPTED.value:
            accepted[row.incoming_id] = row.at
    return [
        StepFact(
            arrival=_arrival(row),
            step=StatusStep(row.step),
            state=DocumentState(row.state),
            first=first.get(row.incoming_id) == row.step_order,
            at=row.at,
            code=row.code,
            accepted_at=accepted.get(row.incoming_id),
        )
        for row in rows
    ]


def _checks(connection: Connection, limit: int) -> list[CheckFact]:
    received = connection.execute(_RECEIVED_CHECKS, {"limit": limit})
    found = [_check(row, None if row.incoming_id is None else _arrival(row)) for row in received]
    sent = connection.execute(_SENT_CHECKS, {"limit": limit - len(found)})
    return found + [_check(row, _sent_first(row)) for row in sent]


def _sent_first(row: sa.Row[Any]) -> SealedFact | None:
    """What was sealed first of a document; a newer version of one is not counted by itself."""
    fact = _sealed(row)
    return None if fact.operation is Operation.UPDATE else fact


def _check(row: sa.Row[Any], document: SealedFact | ArrivalFact | None) -> CheckFact:
    return CheckFact(
        side=Side(row.side),
        owner=row.owner,
        document=document,
        counted=LEGAL_STATUS[row.counted],
        now=LEGAL_STATUS[row.legal],
    )
