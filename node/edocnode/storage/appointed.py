"""Keeps by when senders want their documents in the recipient's hands, beside other changes.

Documents without such a moment, which are nearly all, cost nothing here.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import parse_time
from edocnode.domain.checks import DELIVER_BY
from edocnode.domain.model import ReceiptDraft, Submission
from edocnode.domain.signature_checks import Side
from edocnode.storage.appointed_tables import AppointedRow
from edocnode.storage.sql import Row, insert_missing
from edocnode.storage.tables import table_of

_APPOINTED = table_of(AppointedRow)

DROP_APPOINTMENT = sa.delete(_APPOINTED).where(
    _APPOINTED.c.side == Side.RECEIVED.value, _APPOINTED.c.owner == sa.bindparam("of")
)


def appoint_sent(connection: Connection, new: Sequence[tuple[Submission, int]]) -> None:
    """Keeps the moments of documents that were handed in, which are in these rows."""
    rows = [_row(Side.SENT, row, each.listing) for each, row in new if DELIVER_BY in each.listing]
    insert_missing(connection, _APPOINTED, rows)


def appoint_received(connection: Connection, shown: Sequence[ReceiptDraft]) -> None:
    """Keeps the moments of documents that become visible."""
    rows = [
        _row(Side.RECEIVED, item.incoming_id, item.listing)
        for item in shown
        if DELIVER_BY in item.listing
    ]
    insert_missing(connection, _APPOINTED, rows)


def appoint_anew(connection: Connection, incoming_id: int, listing: Mapping[str, str]) -> None:
    """Takes over what a version says that is in force from now on."""
    connection.execute(DROP_APPOINTMENT, {"of": incoming_id})
    if DELIVER_BY in listing:
        insert_missing(connection, _APPOINTED, [_row(Side.RECEIVED, incoming_id, listing)])


def _row(side: Side, owner: int, listing: Mapping[str, str]) -> Row:
    return {"side": side.value, "owner": owner, "deliver_by": parse_time(listing[DELIVER_BY])}
