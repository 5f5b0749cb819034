"""Makes what a revoked document holds inaccessible, inside the change that does more.

Bytes in the database are overwritten, its fields in lists and searches emptied, its uses of files
dropped. Its envelope stays, so that receipts still verify, and a row that says it was destroyed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Envelope, Part, parse_time, uuid_text
from edocnode.domain.model import ReceiptDraft
from edocnode.domain.office_model import RevocationState
from edocnode.domain.repair import PART_DAMAGED
from edocnode.domain.signature_checks import Side
from edocnode.storage.alarms import drop_alarm
from edocnode.storage.appointed import DROP_APPOINTMENT
from edocnode.storage.listing import LISTED, encode_listing, large_parts
from edocnode.storage.repair_tables import DamagedMessageRow, DamagedPartRow
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.search_tables import ReceivedNumberRow
from edocnode.storage.signature_tables import SignatureCheckRow
from edocnode.storage.sql import (
    Row,
    among,
    change_each,
    insert_missing,
    insert_rows,
    read_among,
    select_by,
    select_plain,
)
from edocnode.storage.tables import BlobUseRow, InboxRow, IncomingRow, table_of
from edocnode.storage.workflow_tables import DestroyedRow, RevocationRow, VersionRow

_BLOB_USE, _DAMAGED = table_of(BlobUseRow), table_of(DamagedPartRow)
_DAMAGED_MESSAGE, _DESTROYED = table_of(DamagedMessageRow), table_of(DestroyedRow)
_CHECK, _NUMBER = table_of(SignatureCheckRow), table_of(ReceivedNumberRow)
_INBOX, _INCOMING, _REVOCATION = table_of(InboxRow), table_of(IncomingRow), table_of(RevocationRow)
_SCAN, _VERSION = table_of(ScanRow), table_of(VersionRow)

_ANY_REVOCATION = sa.select(sa.func.max(_REVOCATION.c.incoming_id))
_AGREED = sa.select(
    _REVOCATION.c.document_id, _REVOCATION.c.sender, _REVOCATION.c.recipient, _REVOCATION.c.state
).where(among(_REVOCATION.c.document_id))
_HELD = sa.select(_INCOMING.c.id, _INCOMING.c.document_id, _INCOMING.c.envelope).where(
    among(_INCOMING.c.id)
)
_EMPTY = (
    sa.update(_INCOMING)
    .where(_INCOMING.c.id == sa.bindparam("of"))
    .values(inline=b"", listing=encode_listing({}))
)
_HIDE = (
    sa.update(_INBOX)
    .where(_INBOX.c.incoming_id == sa.bindparam("of"))
    .values(state=DocumentState.REVOKED.value, search="", **dict.fromkeys(LISTED, ""))
)
_FADE = (
    sa.update(_INBOX)
    .where(_INBOX.c.incoming_id == sa.bindparam("of"))
    .values(search="", **dict.fromkeys(LISTED, ""))
)
_DROP_USE = sa.delete(_BLOB_USE).where(
    _BLOB_USE.c.sha256 == sa.bindparam("digest"),
    _BLOB_USE.c.kind == "incoming",
    _BLOB_USE.c.owner == sa.bindparam("of"),
)
_DROP_DAMAGE = sa.delete(_DAMAGED_MESSAGE).where(
    _DAMAGED_MESSAGE.c.incoming_id == sa.bindparam("of")
)
_DROP_CHECK = sa.delete(_CHECK).where(  # a verdict names the signers
    _CHECK.c.side == Side.RECEIVED.value, _CHECK.c.owner == sa.bindparam("of")
)
_DROP_NUMBER = sa.delete(_NUMBER).where(_NUMBER.c.incoming_id == sa.bindparam("of"))
_END_VERSION = (
    sa.update(_VERSION)
    .where(_VERSION.c.incoming_id == sa.bindparam("of"))
    .values(state="destroyed", reason="")
)
DROP_SCAN = sa.delete(_SCAN).where(_SCAN.c.incoming_id == sa.bindparam("of"))
_STILL_USED = sa.select(_BLOB_USE.c.sha256).where(among(_BLOB_USE.c.sha256)).distinct()
_DROP_DAMAGED_PART = sa.delete(_DAMAGED).where(_DAMAGED.c.sha256 == sa.bindparam("digest"))


def add_revocations(connection: Connection, drafts: Sequence[ReceiptDraft]) -> None:
    """Keeps revocations that were received; they wait for their answer."""
    insert_rows(connection, _REVOCATION, [_revocation(item) for item in drafts])


def revoked_before(connection: Connection, drafts: Sequence[ReceiptDraft]) -> set[int]:
    """Those arrivals whose documents were revoked and destroyed before they came."""
    if not drafts or select_plain(connection, _ANY_REVOCATION, {})[0][0] is None:
        return set()
    ids = sorted({item.document_id for item in drafts})
    agreed = {
        (row.document_id, row.sender, row.recipient)
        for row in read_among(connection, _AGREED, ids)
        if row.state == RevocationState.AGREED
    }
    return {
        item.incoming_id
        for item in drafts
        if (item.document_id, item.sender, item.recipient) in agreed
    }


def destroy(connection: Connection, incoming_ids: Sequence[int], at: datetime) -> None:
    """Makes the record and parts of arrivals inaccessible; repeating it changes nothing."""
    _destroy(connection, incoming_ids, at, hide=_HIDE)


def destroy_overdue(connection: Connection, incoming_ids: Sequence[int], at: datetime) -> None:
    """The same of arrivals whose time of keeping is over; where they stood stays known."""
    _destroy(connection, incoming_ids, at, hide=_FADE)


def _destroy(
    connection: Connection, incoming_ids: Sequence[int], at: datetime, *, hide: sa.Update
) -> None:
    rows = list(select_by(connection, _HELD, incoming_ids))
    if not rows:
        return
    ids = [{"of": row.id} for row in rows]
    parts = {row.id: large_parts(canonical.decode(row.envelope, Envelope).parts) for row in rows}
    with _overwriting(connection):
        change_each(connection, _EMPTY, ids)
        change_each(connection, hide, ids)
        change_each(connection, _DROP_CHECK, ids)
        change_each(connection, _DROP_NUMBER, ids)
        change_each(connection, DROP_APPOINTMENT, ids)
    uses = [
        {"of": row, "digest": bytes.fromhex(part.sha256)} for row in parts for part in parts[row]
    ]
    change_each(connection, _DROP_USE, uses)
    change_each(connection, _DROP_DAMAGE, ids)
    change_each(connection, DROP_SCAN, ids)  # a finding names a part
    change_each(connection, _END_VERSION, ids)
    for row in rows:
        drop_alarm(connection, PART_DAMAGED, uuid_text(row.document_id))
    _forget_damage(connection, [part for each in parts.values() for part in each])
    insert_missing(
        connection,
        _DESTROYED,
        [{"incoming_id": row, "at": at, "files": int(bool(parts[row]))} for row in parts],
    )


def conceal(connection: Connection, incoming_ids: Sequence[int], versions: Sequence[int]) -> None:
    """Hides arrivals from offices as ``destroy`` does, and keeps their bytes: they are held.

    Args:
        versions: Arrivals that brought other versions; none is shown or put in force any more.
    """
    change_each(connection, _END_VERSION, [{"of": incoming_id} for incoming_id in versions])
    with _overwriting(connection):
        change_each(connection, _HIDE, [{"of": incoming_id} for incoming_id in incoming_ids])


def _forget_damage(connection: Connection, parts: Sequence[Part]) -> None:
    """Lets nobody fetch parts again that no document needs any more."""
    digests = sorted({bytes.fromhex(part.sha256) for part in parts})
    used = {row.sha256 for row in select_by(connection, _STILL_USED, digests)}
    for digest in digests:
        if digest not in used:
            connection.execute(_DROP_DAMAGED_PART, {"digest": digest})
            drop_alarm(connection, PART_DAMAGED, digest.hex())


@contextlib.contextmanager
def _overwriting(connection: Connection) -> Iterator[None]:
    """Has SQLite write zeros over what is freed; PostgreSQL does it when it vacuums."""
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")


def _revocation(item: ReceiptDraft) -> Row:
    listing = item.listing
    return {
        "incoming_id": item.incoming_id,
        "document_id": item.document_id,
        "sender": item.sender,
        "recipient": item.recipient,
        "envelope": bytes.fromhex(listing["envelope"]),
        "actor": listing["actor"],
        "reason": listing["reason"],
        "at": parse_time(listing["time"]),
        "state": RevocationState.PENDING.value,
    }
