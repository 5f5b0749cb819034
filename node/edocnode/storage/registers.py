"""Reads registers page by page: see ``domain.registers.RegisterStore``.

Rows are walked in the order in which they were added, which is that of their moments, give or take
a clock that was set. Where a period begins is found by halving the rows, as an index on moments
would cost every document that comes or goes; a day on either side is looked at as well.

A document has one line, on the day on which it first came or went, with what the version in force
says: an update is no document of its own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from msgspec import UnsetType
from sqlalchemy.engine import Connection

from edoccore.errors import NotCanonicalError, StatementTooLargeError
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, SignerInfo, StatusStep
from edoccore.signing.statements import Envelope, Operation
from edockit.database import Database
from edocnode.domain.calendar import at
from edocnode.domain.model import INLINE_PART_BYTES, DocumentId
from edocnode.domain.registers import (
    SHOWN_RECIPIENTS,
    RegisterEntry,
    RegisterPage,
    RegisterRequest,
)
from edocnode.domain.workflow import Step
from edocnode.storage.listing import decode_listing, decode_parts
from edocnode.storage.official_numbers import arrival_numbers
from edocnode.storage.sql import AnyRow, among, select_by
from edocnode.storage.steps import steps_taken
from edocnode.storage.submitting import shown_state
from edocnode.storage.tables import DeliveryRow, DocumentRow, InboxRow, IncomingRow, table_of
from edocnode.storage.workflow_tables import VersionRow

Value = TypeVar("Value")

PAGE = 500  # rows looked at in one transaction
_MARGIN = timedelta(days=1)  # by which a clock may have been set back
_WORST = ("held", "rejected", "expired", "void", "queued", "sending", "delivered")

_LISTED = ("number", "notation", "issued_date", "due_date", "document_type", "subject")

_INBOX, _INCOMING = table_of(InboxRow), table_of(IncomingRow)
_DOCUMENT, _DELIVERY = table_of(DocumentRow), table_of(DeliveryRow)
_VERSION = table_of(VersionRow)

_ARRIVALS = (
    sa.select(_INBOX, _INCOMING.c.envelope, _INCOMING.c.inline)
    .select_from(_INBOX.join(_INCOMING, _INCOMING.c.id == _INBOX.c.incoming_id))
    .where(_INBOX.c.incoming_id > sa.bindparam("after"))
    .order_by(_INBOX.c.incoming_id)  # an update moves its document to another position
    .limit(PAGE)
)
_SENT: sa.Select[Any] = (
    sa.select(
        _DOCUMENT.c.id,
        _DOCUMENT.c.document_id,
        _DOCUMENT.c.sender,
        _DOCUMENT.c.operation,
        _DOCUMENT.c.created_at,
        _DOCUMENT.c.listing,
        _DOCUMENT.c.parts,
        _DOCUMENT.c.inline,
    )
    .where(_DOCUMENT.c.id > sa.bindparam("after"))
    .order_by(_DOCUMENT.c.id)
    .limit(PAGE)
)
_UPDATES = (
    sa.select(
        _DOCUMENT.c.document_id,
        _DOCUMENT.c.sender,
        _DOCUMENT.c.listing,
        _DOCUMENT.c.parts,
        _DOCUMENT.c.inline,
    )
    .where(among(_DOCUMENT.c.document_id), _DOCUMENT.c.operation == Operation.UPDATE.value)
    .order_by(_DOCUMENT.c.id)
)
_IN_FORCE = (
    sa.select(_VERSION.c.head, _INCOMING.c.envelope, _INCOMING.c.inline)
    .select_from(_VERSION.join(_INCOMING, _INCOMING.c.id == _VERSION.c.incoming_id))
    .where(among(_VERSION.c.head), _VERSION.c.state == "agreed", _VERSION.c.was_at > 0)
    .order_by(_VERSION.c.created_at, _VERSION.c.incoming_id)
)
_STATES = (
    sa.select(_DELIVERY.c.document_row, _DELIVERY.c.state)
    .where(among(_DELIVERY.c.document_row))
    .distinct()
)


class SqlRegisters:
    """See ``domain.registers.RegisterStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def register_page(self, wanted: RegisterRequest, after: int) -> RegisterPage:
        """A bounded page of a register, oldest first."""
        read = _arrivals if wanted.incoming else _sent
        return await self._database.aread(lambda connection: read(connection, wanted, after))


def _arrivals(connection: Connection, wanted: RegisterRequest, after: int) -> RegisterPage:
    begin, end = _period(wanted)
    start = after or row_before(connection, _INBOX.c.incoming_id, _INBOX.c.received_at, begin)
    rows = connection.execute(_ARRIVALS, {"after": start}).all()
    shown = [
        row
        for row in rows
        if begin <= row.received_at < end
        and row.operation not in ("status", "revoke")
        and wanted.agency in ("", row.recipient)
    ]
    steps = steps_taken(connection, [row.incoming_id for row in shown])
    numbers = arrival_numbers(connection, [row.incoming_id for row in shown])
    ids = [row.incoming_id for row in shown]
    updated = {row.head: row for row in select_by(connection, _IN_FORCE, ids)}  # the newest last
    entries = [
        _arrival(
            row,
            updated.get(row.incoming_id, row),
            steps.get(row.incoming_id, ()),
            numbers.get(row.incoming_id, 0),
        )
        for row in shown
    ]
    done = len(rows) < PAGE or rows[-1].received_at >= end + _MARGIN
    return RegisterPage(entries=entries, next=0 if done else rows[-1].incoming_id)


def _sent(connection: Connection, wanted: RegisterRequest, after: int) -> RegisterPage:
    begin, end = _period(wanted)
    start = after or row_before(connection, _DOCUMENT.c.id, _DOCUMENT.c.created_at, begin)
    rows = connection.execute(_SENT, {"after": start}).all()
    shown = [
        row
        for row in rows
        if begin <= row.created_at < end
        and row.operation not in ("status", "revoke", "update")
        and wanted.agency in ("", row.sender)
    ]
    states: dict[int, set[str]] = {}
    for row in select_by(connection, _STATES, [row.id for row in shown]):
        states.setdefault(row.document_row, set()).add(shown_state(row.state).value)
    ids = [row.document_id for row in shown]
    newest = select_by(connection, _UPDATES, ids)
    updated = {(row.document_id, row.sender): row for row in newest}  # the newest last
    entries = [
        _outgoing(row, updated.get((row.document_id, row.sender), row), states.get(row.id, set()))
        for row in shown
    ]
    done = len(rows) < PAGE or rows[-1].created_at >= end + _MARGIN
    return RegisterPage(entries=entries, next=0 if done else rows[-1].id)


def row_before(
    connection: Connection, key: sa.Column[Any], moment: sa.Column[Any], begin: datetime
) -> int:
    """A row behind which all lie that are not older than a moment; 0: before the first.

    Args:
        key: Numbers the rows of a table; ``moment`` grows with it, give or take a day.
    """
    wanted = begin - _MARGIN
    low, high = 0, connection.scalar(sa.select(sa.func.max(key))) or 0
    first = sa.select(key, moment).where(key >= sa.bindparam("at")).order_by(key).limit(1)
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(first, {"at": middle}).first()
        if row is None or row[1] >= wanted:
            high = middle - 1
        else:
            low = row[0]
    return low


def _period(wanted: RegisterRequest) -> tuple[datetime, datetime]:
    return at(wanted.first, time(0)), at(wanted.last + timedelta(days=1), time(0))


def _arrival(row: AnyRow, shown: AnyRow, steps: Sequence[Step], number: int) -> RegisterEntry:
    """A line; ``shown`` has the envelope and content of the version in force."""
    parts = canonical.decode(shown.envelope, Envelope).parts
    record = _record(shown.inline, parts[0].size)
    assigned = [step for step in steps if step.step is StatusStep.ASSIGNED]
    refused = [step.reason for step in steps if step.step is StatusStep.REJECTED]
    listing: dict[str, Any] = {name: getattr(row, name) for name in _LISTED}
    return RegisterEntry(
        document_id=DocumentId(row.document_id),
        at=row.received_at,
        agency=row.recipient,
        peer=row.sender,
        **listing,
        **_from_record(record),
        assignee=assigned[-1].assignee if assigned else "",
        assigned_at=assigned[-1].at if assigned else None,
        state=row.state,
        reason=refused[-1] if refused else "",
        arrival_number=number,
    )


def _outgoing(row: AnyRow, shown: AnyRow, states: set[str]) -> RegisterEntry:
    """A line; ``shown`` has the content of the newest version."""
    listing = decode_listing(shown.listing)
    record = _record(shown.inline, decode_parts(shown.parts)[0].size)
    return RegisterEntry(
        document_id=DocumentId(row.document_id),
        at=row.created_at,
        agency=row.sender,
        peer="",
        **_listed(listing),
        **_from_record(record),
        assignee="",
        assigned_at=None,
        state=next((state for state in _WORST if state in states), ""),
        reason="",
    )


def _listed(listing: Mapping[str, str]) -> dict[str, Any]:
    return {name: listing.get(name, "") for name in _LISTED}


def _record(inline: bytes, size: int) -> DocumentRecord | None:
    """The record of a document; None when it lies in a file of its own, or was destroyed."""
    if size > INLINE_PART_BYTES or len(inline) < size:
        return None
    try:
        return canonical.decode(inline[:size], DocumentRecord)
    except (NotCanonicalError, StatementTooLargeError):
        return None


def _from_record(record: DocumentRecord | None) -> Mapping[str, Any]:
    if record is None:
        return {"author": "", "signer": "", "recipients": (), "more_recipients": 0, "copies": 0}
    places = _known(record.to_places) or _known(record.recipients) or ()
    return {
        "author": _known(record.issuer.name) or record.issuer.code,
        "signer": _signer(_known(record.signer)),
        "recipients": places[:SHOWN_RECIPIENTS],
        "more_recipients": max(len(places) - SHOWN_RECIPIENTS, 0),
        "copies": _known(record.issued_count) or 0,
    }


def _signer(signer: SignerInfo | None) -> str:
    if signer is None:
        return ""
    words = (_known(signer.authority), _known(signer.position), _known(signer.full_name))
    return ", ".join(word for word in words if word)


def _known(value: Value | UnsetType) -> Value | None:
    return None if isinstance(value, UnsetType) else value
