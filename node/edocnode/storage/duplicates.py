"""Finds received documents that came before, in the transaction that shows them.

Two looks for all that become visible together, both by an index: one at the ids of documents, and
one at official numbers when some have any. Whatever an agency sends with one number, a document
names at most ``NAMED`` earlier ones, so that no look and no list grows with it.
"""

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import Operation
from edocnode.domain.duplicates import same_number_key
from edocnode.domain.model import ReceiptDraft
from edocnode.storage.events import EventKind, event_values
from edocnode.storage.search_tables import DuplicateRow, ReceivedNumberRow
from edocnode.storage.sql import Row, among, insert_missing, insert_rows, read_among, select_by
from edocnode.storage.tables import InboxRow, table_of

NAMED = 10  # documents of one number to one recipient: those that came first

_INBOX = table_of(InboxRow)
_NUMBER, _DUPLICATE = table_of(ReceivedNumberRow), table_of(DuplicateRow)

_SAME_ID = (  # the index has all of it
    sa.select(_INBOX.c.document_id, _INBOX.c.recipient)
    .where(among(_INBOX.c.document_id))
    .group_by(_INBOX.c.document_id, _INBOX.c.recipient)
)
_SAME_NUMBER = sa.select(_NUMBER.c.key, _NUMBER.c.recipient, _NUMBER.c.document_id).where(
    among(_NUMBER.c.key)
)
_DUPLICATES_OF = (
    sa.select(_DUPLICATE.c.incoming_id, _DUPLICATE.c.document_id)
    .where(among(_DUPLICATE.c.incoming_id))
    .order_by(_DUPLICATE.c.document_id)
)


def note_duplicates(connection: Connection, drafts: Sequence[ReceiptDraft]) -> list[Row]:
    """Remembers which documents look like earlier ones; returns an event for each.

    Args:
        drafts: Received documents that are about to enter the inbox, in their order.
    """
    new = [item for item in drafts if item.operation is Operation.NEW]
    if not new:
        return []
    found = [*_by_id(connection, new), *_by_number(connection, new)]
    if not found:
        return []
    rows = [
        {"incoming_id": item.incoming_id, "document_id": document_id} for item, document_id in found
    ]
    insert_missing(connection, _DUPLICATE, rows)
    alike = {item.incoming_id: item for item, _ in found}
    return [
        event_values(
            EventKind.DOCUMENT_DUPLICATE,
            item.document_id,
            item.message_id,
            agency=item.sender,
            at=item.kept_at,
        )
        for item in alike.values()
    ]


def duplicates_of(connection: Connection, ids: Sequence[int]) -> Mapping[int, tuple[bytes, ...]]:
    """Ids of the earlier documents, by ``incoming_id``; those without any are left out."""
    found: dict[int, tuple[bytes, ...]] = {}
    for row in select_by(connection, _DUPLICATES_OF, ids):
        found[row.incoming_id] = (*found.get(row.incoming_id, ()), row.document_id)
    return found


def _by_id(
    connection: Connection, new: Sequence[ReceiptDraft]
) -> Iterator[tuple[ReceiptDraft, bytes]]:
    """Documents whose id came before for the same recipient, under another message."""
    seen = {
        (row.document_id, row.recipient)
        for row in read_among(connection, _SAME_ID, [item.document_id for item in new])
    }
    for item in new:
        place = (item.document_id, item.recipient)
        if place in seen:
            yield item, item.document_id
        seen.add(place)


def _by_number(
    connection: Connection, new: Sequence[ReceiptDraft]
) -> Iterator[tuple[ReceiptDraft, bytes]]:
    """Documents whose number another document had that came before to the same recipient."""
    numbered = [
        (key, item)
        for item in new
        if (key := same_number_key(item.listing, item.sender, item.kept_at))
    ]
    if not numbered:
        return
    seen: dict[tuple[str, str], set[bytes]] = {}
    for row in read_among(connection, _SAME_NUMBER, sorted({key for key, _ in numbered})):
        seen.setdefault((row.key, row.recipient), set()).add(row.document_id)
    rows = []
    for key, item in numbered:
        there = seen.setdefault((key, item.recipient), set())
        yield from ((item, document_id) for document_id in there - {item.document_id})
        if len(there) < NAMED:
            there.add(item.document_id)
            rows.append(_number(key, item))
    insert_rows(connection, _NUMBER, rows)


def _number(key: str, item: ReceiptDraft) -> Row:
    return {
        "incoming_id": item.incoming_id,
        "key": key,
        "recipient": item.recipient,
        "document_id": item.document_id,
    }
