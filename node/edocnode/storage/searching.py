"""Looks through inbox and outbox, newest first, with what an office wants of a document.

A search reads rows in order until the page is full, and all of them when nothing is found: 0.2 to
0.7 s of a million rows, with no memory that grows. An index of words was not made: SQLite's FTS5
is estimated, not measured, at 10 us a document on arrival, 7 % of all that one costs there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import Urgency
from edocnode.domain.model import Lane
from edocnode.domain.searching import Filters
from edocnode.storage.listing import search_text
from edocnode.storage.search_tables import SentRow
from edocnode.storage.sql import Row
from edocnode.storage.tables import DeliveryRow, InboxRow, table_of

SENT = table_of(SentRow)
_INBOX, _DELIVERY = table_of(InboxRow), table_of(DeliveryRow)
_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_EMPTY: sa.ColumnElement[str] = sa.literal_column("''")  # as partial indexes write it
_SEARCHED = ("number", "notation", "document_type", "issued_date", "due_date")


def sent_values(
    document_row: int,
    listing: Mapping[str, str],
    *,
    sender: str,
    urgency: Urgency,
    created: datetime,
) -> Row:
    """The row of a document handed in."""
    return {
        "document_row": document_row,
        "sender": sender,
        "lane": Lane.of(urgency).value,
        "created_at": created,
        "search": search_text(listing).replace("\x00", ""),
        **{name: listing.get(name, "").replace("\x00", "") for name in _SEARCHED},
    }


def inbox_conditions(wanted: Filters) -> list[sa.ColumnElement[bool]]:
    """What rows of the inbox must be."""
    conditions = _common(_INBOX, _INBOX.c.received_at, wanted)
    if wanted.others:
        conditions.append(_INBOX.c.sender.in_(wanted.others))
    return conditions


def sent_conditions(wanted: Filters) -> list[sa.ColumnElement[bool]]:
    """What rows of ``sent`` must be."""
    conditions = _common(SENT, SENT.c.created_at, wanted)
    if wanted.others:
        conditions.append(
            sa.exists().where(
                _DELIVERY.c.document_row == SENT.c.document_row,
                _DELIVERY.c.recipient.in_(wanted.others),
            )
        )
    return conditions


def one_of(
    connection: Connection, column: sa.Column[Any], codes: Sequence[str]
) -> sa.ColumnElement[bool]:
    """The condition that an indexed column has one of the spellings of a code.

    Of several nearly always one occurs: then the index gives its rows in order. With more, rows
    are taken in the order of the list, which needs no sorting of all that match.
    """
    if len(codes) > 1:
        table = column.table
        there = sa.select(sa.literal(1)).select_from(table)
        codes = [
            code
            for code in codes
            if connection.execute(there.where(column == code).limit(1)).first() is not None
        ] or codes[:1]
    if len(codes) == 1:
        return column == codes[0]
    return (column + "").in_(codes)  # an expression has no index


def _common(table: sa.Table, at: sa.Column[Any], wanted: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.urgency is not None:
        conditions.append(table.c.lane == Lane.of(wanted.urgency).value)
    if wanted.document_types:
        conditions.append(table.c.document_type.in_(wanted.document_types))
    if wanted.since is not None:
        conditions.append(at >= wanted.since)
    if wanted.until is not None:
        conditions.append(at < wanted.until)
    if wanted.due_before:
        conditions += [table.c.due_date != _EMPTY, table.c.due_date < wanted.due_before]
    if wanted.number:
        conditions += [table.c.number != _EMPTY, table.c.number.in_(wanted.number)]
    if wanted.notation:
        conditions.append(table.c.notation == wanted.notation)
    return conditions + [  # last: what costs most
        table.c.search.like(f"%{word.translate(_LIKE)}%", escape="\\") for word in wanted.words
    ]
