"""Versions of received documents in tables; what shows arrivals and what answers updates use it."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Operation, parse_time
from edocnode.domain.model import ReceiptDraft
from edocnode.storage.appointed import appoint_anew
from edocnode.storage.listing import LISTED, decode_listing, search_text
from edocnode.storage.sql import (
    Row,
    among,
    insert_rows,
    read_among,
    select_by,
    select_plain,
)
from edocnode.storage.tables import InboxRow, IncomingRow, table_of
from edocnode.storage.workflow_tables import VersionRow

_INBOX, _INCOMING, _VERSION = table_of(InboxRow), table_of(IncomingRow), table_of(VersionRow)

_ANY = sa.select(sa.func.max(_VERSION.c.incoming_id))
_HEADS = sa.select(
    _VERSION.c.document_id, _VERSION.c.sender, _VERSION.c.recipient, _VERSION.c.head
).where(among(_VERSION.c.document_id), sa.text("version.head = version.incoming_id"))
_ENVELOPES = sa.select(_INCOMING.c.id, _INCOMING.c.envelope).where(among(_INCOMING.c.id))
_BESIDE = (
    sa.select(_VERSION.c.incoming_id)
    .select_from(
        _VERSION.join(
            _INBOX,
            sa.and_(
                _INBOX.c.document_id == _VERSION.c.document_id,
                _INBOX.c.sender == _VERSION.c.sender,
                _INBOX.c.recipient == _VERSION.c.recipient,
            ),
        )
    )
    .where(among(_INBOX.c.incoming_id))
)
_POSITION = sa.select(_INBOX.c.position).where(_INBOX.c.incoming_id == sa.bindparam("of"))
_MOVED = (
    sa.update(_VERSION)
    .where(_VERSION.c.incoming_id == sa.bindparam("of"))
    .values(was_at=sa.bindparam("old"))
)
_LISTING = sa.select(_INCOMING.c.listing).where(_INCOMING.c.id == sa.bindparam("of"))
_SHOW = (
    sa.update(_INBOX)
    .where(_INBOX.c.incoming_id == sa.bindparam("of"))
    .values(
        position=sa.bindparam("at"),
        operation=Operation.UPDATE.value,
        search=sa.bindparam("found_by"),
        **{name: sa.bindparam(f"its_{name}") for name in LISTED},
    )
)
_NEXT = {
    "sqlite": "SELECT max(position) + 1 FROM inbox",
    "postgresql": "SELECT nextval(pg_get_serial_sequence('inbox', 'position'))",
}

Place = tuple[bytes, str, str]  # document, sender, recipient


def heads_of(connection: Connection, drafts: Sequence[ReceiptDraft]) -> dict[Place, int]:
    """Where arrivals belong of which a newer version came first, and was taken as the document."""
    if not drafts or select_plain(connection, _ANY, {})[0][0] is None:
        return {}
    ids = sorted({item.document_id for item in drafts})
    return {
        (row.document_id, row.sender, row.recipient): row.head
        for row in read_among(connection, _HEADS, ids)
    }


def add_versions(
    connection: Connection, drafts: Sequence[ReceiptDraft], heads: dict[Place, int]
) -> None:
    """Keeps updates, which wait for their answer, and originals that came after an update."""
    created = {
        row.id: parse_time(canonical.decode(row.envelope, Envelope).created)
        for row in select_by(connection, _ENVELOPES, [item.incoming_id for item in drafts])
    }
    rows = [
        _version(item, created[item.incoming_id], heads.get(_place(item), 0)) for item in drafts
    ]
    insert_rows(connection, _VERSION, rows)


def keep_concealed(connection: Connection, item: ReceiptDraft) -> None:
    """Keeps a version that nobody sees, for a hold on its document; its release finds it here."""
    row = {**_version(item, item.kept_at, 0), "reason": "", "state": "destroyed"}
    insert_rows(connection, _VERSION, [row])


def beside(connection: Connection, incoming_ids: Sequence[int]) -> list[int]:
    """Arrivals that brought other versions of documents in the inbox, or wait to be one."""
    return [row.incoming_id for row in select_by(connection, _BESIDE, incoming_ids)]


def put_in_force(connection: Connection, head: int, version: int) -> None:
    """Shows a version in the inbox, at its end, so that whoever reads on meets it."""
    was_at = connection.execute(_POSITION, {"of": head}).scalar_one()
    connection.execute(_MOVED, {"of": version, "old": was_at})
    listing = decode_listing(connection.execute(_LISTING, {"of": version}).scalar_one())
    position = connection.exec_driver_sql(_NEXT[connection.dialect.name]).scalar_one()
    fields = {f"its_{name}": listing.get(name, "") for name in LISTED}
    values = {"of": head, "at": position, "found_by": search_text(listing), **fields}
    connection.execute(_SHOW, values)
    appoint_anew(connection, head, listing)


def _place(item: ReceiptDraft) -> Place:
    return item.document_id, item.sender, item.recipient


def _version(item: ReceiptDraft, created: datetime, head: int) -> Row:
    update = item.operation is Operation.UPDATE
    return {
        "incoming_id": item.incoming_id,
        "head": 0 if update else head,
        "document_id": item.document_id,
        "sender": item.sender,
        "recipient": item.recipient,
        "created_at": created,
        "received_at": item.kept_at,
        "reason": item.listing.get("reason", "") if update else "",
        "state": "pending" if update else "agreed",
        "was_at": 0,
    }
