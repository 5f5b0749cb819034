"""Holds documents back until they were scanned, and shows them then; see ``domain.scanning``.

Statuses and revocations are shown at once: they are texts of bounded form that are checked here
and opened by nothing else, and a revocation must not wait for a scanner.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.office_errors import DocumentQuarantinedError
from edoccore.signing.statements import Operation, Result, uuid_text
from edocnode.domain.model import DocumentId, ReceiptDraft
from edocnode.domain.scanning import ScanState, kept_back
from edocnode.storage.awaiting import ARRIVALS, receipt_draft
from edocnode.storage.destroying import DROP_SCAN, revoked_before
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.sql import Row, among, in_order, insert_missing, select_by
from edocnode.storage.tables import IncomingRow, table_of
from edocnode.storage.versions import keep_concealed
from edocnode.storage.visible import make_visible

_INCOMING, _SCAN = table_of(IncomingRow), table_of(ScanRow)
_NO_DOCUMENT = (Operation.STATUS, Operation.REVOKE)
_NAMED = ARRIVALS.where(among(_INCOMING.c.id))
_HIDDEN_OF = sa.select(_SCAN.c.incoming_id).where(
    sa.text("shown = 0"),
    _SCAN.c.document_id == sa.bindparam("document_id"),
    _SCAN.c.sender == sa.bindparam("sender"),
    _SCAN.c.recipient == sa.bindparam("recipient"),
)
_KEPT_BACK = sa.select(_SCAN.c.document_id, _SCAN.c.state).where(
    sa.text("scan.shown = 0"),
    _SCAN.c.document_id >= sa.bindparam("low"),
    _SCAN.c.document_id <= sa.bindparam("high"),
)
_KEPT_BACK_MESSAGE = (
    sa.select(_SCAN.c.document_id, _SCAN.c.state)
    .select_from(_INCOMING.join(_SCAN, _SCAN.c.incoming_id == _INCOMING.c.id))
    .where(
        _SCAN.c.shown == 0,
        _INCOMING.c.message_id >= sa.bindparam("low"),
        _INCOMING.c.message_id <= sa.bindparam("high"),
    )
)
_MATCHES = 20  # more need not be read to know that an id is ambiguous
_BLOCKED = sa.select(_SCAN.c.state).where(
    _SCAN.c.incoming_id == sa.bindparam("of"), _SCAN.c.blocked == 1
)


def hold_back(connection: Connection, drafts: Sequence[ReceiptDraft]) -> None:
    """Lets documents wait for their scan; all else, and what is destroyed as it comes, is shown."""
    in_order(connection)  # a revocation that is answered meanwhile finds them, or they find it
    documents = [
        item
        for item in drafts
        if item.result is Result.RECEIVED and item.operation not in _NO_DOCUMENT
    ]
    gone = revoked_before(connection, documents)
    waiting = {item.incoming_id: item for item in documents if item.incoming_id not in gone}
    insert_missing(connection, _SCAN, [scan_values(item) for item in waiting.values()])
    make_visible(connection, [item for item in drafts if item.incoming_id not in waiting])


def show_scanned(connection: Connection, incoming_ids: Sequence[int]) -> None:
    """Shows arrivals that were held back."""
    rows = select_by(connection, _NAMED, incoming_ids)
    make_visible(connection, [receipt_draft(row) for row in rows])


def hidden_of(connection: Connection, place: Row) -> list[int]:
    """Arrivals that brought a document of one sender to one recipient, and are held back."""
    return list(connection.scalars(_HIDDEN_OF, place))


def conceal_hidden(connection: Connection, incoming_ids: Sequence[int]) -> None:
    """Never shows arrivals that were held back; a hold on their document alone keeps them."""
    for row in list(select_by(connection, _NAMED, incoming_ids)):
        keep_concealed(connection, receipt_draft(row))
        connection.execute(DROP_SCAN, {"of": row.id})


def scan_values(item: ReceiptDraft, *, shown: bool = False) -> Row:
    """The row of an arrival that waits for a scan."""
    return {
        "incoming_id": item.incoming_id,
        "message_id": item.message_id,
        "document_id": item.document_id,
        "sender": item.sender,
        "recipient": item.recipient,
        "lane": item.lane.value,
        "state": ScanState.WAITING.value,
        "shown": int(shown),
        "blocked": int(not shown),
        "breaks": 0,
        "received_at": item.kept_at,
        "finding": "",
        "scanner": "",
    }


def is_blocked(connection: Connection, incoming_id: int) -> bool:
    """Whether the content of an arrival is given to nobody."""
    return connection.scalar(_BLOCKED, {"of": incoming_id}) is not None


def check_not_kept_back(connection: Connection, low: bytes, high: bytes) -> None:
    """Says of a document that no office sees yet where it is; silent when there is none.

    Args:
        low: With ``high``, the ids of documents or messages that somebody may mean, of which he
            sees no document. Of several the lowest is told.

    Raises:
        DocumentQuarantinedError: It is kept apart, or waits for its scan.
    """
    span = {"low": low, "high": high}
    for wanted in (_KEPT_BACK, _KEPT_BACK_MESSAGE):
        for row in connection.execute(wanted.limit(_MATCHES), span):
            raise kept_back(DocumentId(row.document_id), ScanState(row.state))


def check_not_blocked(connection: Connection, incoming_id: int, document_id: bytes) -> None:
    """Lets content be read.

    Raises:
        DocumentQuarantinedError: A scan found malware in it after it had been shown.
    """
    if is_blocked(connection, incoming_id):
        told = uuid_text(document_id)
        raise DocumentQuarantinedError(
            f"Malware was found in document {told} after it had been shown; it is kept apart.",
            hint="The administrator sees what was found: edocnode quarantine list",
            document_id=told,
        )
