"""What scans did not find clean, for administrators: see ``domain.scanning.Quarantine``."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import DocumentUnknownError, IdAmbiguousError
from edoccore.office_errors import DocumentHeldError
from edoccore.signing.statements import Operation, Result, uuid_text
from edockit.database import Database
from edocnode.domain.model import MessageId
from edocnode.domain.scanning import Discard, ScanEntry, ScanJob, ScanOutcome, ScanState
from edocnode.storage.awaiting import ARRIVALS, receipt_draft
from edocnode.storage.deciding import take_step
from edocnode.storage.destroying import destroy
from edocnode.storage.events import EventKind
from edocnode.storage.holds import is_held
from edocnode.storage.ids import id_span
from edocnode.storage.scan_gate import scan_values
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.scanning import (
    KEPT_APART,
    keep_outcome,
    scan_entry_of,
    scan_job_of,
    scan_row,
    tell_of,
)
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, among, in_order, insert_missing, select_by
from edocnode.storage.tables import InboxRow, IncomingRow, table_of
from edocnode.storage.workflow_tables import DestroyedRow

PIECE = 500  # rows changed in one transaction
_MATCHES = 20  # more need not be read to know that an id is ambiguous

_DESTROYED, _INCOMING = table_of(DestroyedRow), table_of(IncomingRow)
_INBOX, _SCAN = table_of(InboxRow), table_of(ScanRow)
_OF_MESSAGES = sa.select(_INCOMING.c.id).where(
    among(_INCOMING.c.message_id),
    _INCOMING.c.rank == 0,
)
_ARRIVALS = ARRIVALS.where(among(_INCOMING.c.id))
_GONE = sa.select(_DESTROYED.c.incoming_id).where(among(_DESTROYED.c.incoming_id))
_KEPT_APART = (
    sa.select(_SCAN)
    .where(sa.text("state IN ('infected', 'held')"), _SCAN.c.incoming_id > sa.bindparam("after"))
    .order_by(_SCAN.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_IS_DOCUMENT = (
    _INCOMING.c.rank == 0,
    _INCOMING.c.result == Result.RECEIVED.value,
    _INCOMING.c.operation.not_in((Operation.STATUS.value, Operation.REVOKE.value)),
)
_BY_MESSAGE = (
    sa.select(_INCOMING.c.message_id, _INCOMING.c.document_id)
    .where(
        _INCOMING.c.message_id >= sa.bindparam("low"),
        _INCOMING.c.message_id <= sa.bindparam("high"),
        *_IS_DOCUMENT,
    )
    .limit(_MATCHES)
)
_BY_DOCUMENT = (
    sa.select(_INBOX.c.incoming_id)
    .where(
        _INBOX.c.document_id >= sa.bindparam("low"), _INBOX.c.document_id <= sa.bindparam("high")
    )
    .limit(_MATCHES)
)
_HIDDEN = (
    sa.select(_SCAN.c.incoming_id)
    .where(
        sa.text("shown = 0"),
        _SCAN.c.document_id >= sa.bindparam("low"),
        _SCAN.c.document_id <= sa.bindparam("high"),
    )
    .limit(_MATCHES)
)
_PAGE = (
    sa.select(_INCOMING.c.id)
    .where(_INCOMING.c.id > sa.bindparam("after"))
    .order_by(_INCOMING.c.id)
    .limit(PIECE)
)


class SqlQuarantine:
    """See ``domain.scanning.Quarantine``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def scans(self, after: int, limit: int) -> Sequence[ScanEntry]:
        """Arrivals that are infected or held, oldest first."""
        rows = await self._database.aread(
            lambda connection: connection.execute(
                _KEPT_APART, {"after": after, "limit": limit}
            ).all()
        )
        return [scan_entry_of(row) for row in rows]

    async def scan_entry(self, message_id: MessageId) -> ScanEntry | None:
        """The scan of a received message; None when there is none."""

        def read(connection: Connection) -> ScanEntry | None:
            row = _of_message(connection, message_id)
            return None if row is None else scan_entry_of(row)

        return await self._database.aread(read)

    async def received_named(self, text: str) -> Sequence[MessageId]:
        """Messages that brought the document, or the version, that an id or its beginning names."""
        return await self._database.aread(lambda connection: _named(connection, text))

    async def scan_subject(self, message_id: MessageId) -> ScanJob | None:
        """A received message that is kept apart, for a decision on it."""

        def read(connection: Connection) -> ScanJob | None:
            row = _of_message(connection, message_id)
            return None if row is None else scan_job_of(connection, row)

        return await self._database.aread(read)

    async def release_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Lets an arrival through; False when something changed meanwhile."""
        return await self._database.awrite(
            lambda connection: keep_outcome(connection, outcome, salts, waits=False)
        )

    async def discard(self, discard: Discard, salts: Sequence[bytes]) -> bool:
        """Destroys what is kept apart; False when something changed meanwhile.

        Raises:
            DocumentHeldError: A hold keeps it.
        """
        return await self._database.awrite(lambda connection: _discard(connection, discard, salts))

    async def is_destroyed(self, message_id: MessageId) -> bool:
        """Whether the content of a received message was destroyed."""

        def read(connection: Connection) -> bool:
            ids = [row.id for row in select_by(connection, _OF_MESSAGES, [message_id])]
            return any(True for _ in select_by(connection, _GONE, ids))

        return await self._database.aread(read)

    async def scan_again(self, message_ids: Sequence[MessageId]) -> int:
        """Lets received documents wait for a scan, shown or not; returns how many."""

        def write(connection: Connection) -> int:
            rows = select_by(connection, _OF_MESSAGES, list(message_ids))
            return _again(connection, [row.id for row in rows])

        return await self._database.awrite(write)

    async def scan_all_again(self, after: int, until: datetime) -> tuple[int, int | None]:
        """The same of a bounded piece of all that is here; returns how many, and the next place."""

        def write(connection: Connection) -> tuple[int, int | None]:
            ids = list(connection.scalars(_PAGE, {"after": after}))
            done = _again(connection, ids, until)
            return done, ids[-1] if len(ids) == PIECE else None

        return await self._database.awrite(write)


def _discard(connection: Connection, discard: Discard, salts: Sequence[bytes]) -> bool:
    """Destroys an arrival, if it is still kept apart and nobody has seen it."""
    in_order(connection)
    subject = discard.subject
    row = scan_row(connection, subject.incoming_id)
    if row is None or row.state not in KEPT_APART or row.shown:
        return False
    if is_held(connection, subject.document_id):
        raise DocumentHeldError(
            f"Document {uuid_text(subject.document_id)} is held and was not destroyed.",
            hint="See: edocnode hold list",
        )
    plan_salt, effect_salt = salts
    if discard.plan is not None and not take_step(connection, discard.plan, plan_salt):
        return False  # somebody took a step meanwhile; it is judged again
    destroy(connection, [subject.incoming_id], discard.at)
    add_effect(connection, effect_salt, discard.effect)
    tell_of(connection, EventKind.DOCUMENT_DISCARDED, row, discard.at)
    return True


def _again(connection: Connection, ids: Sequence[int], until: datetime | None = None) -> int:
    """Lets arrivals wait for a scan; those that had none are shown since they came."""
    gone = {row.incoming_id for row in select_by(connection, _GONE, ids)}
    drafts = [receipt_draft(row) for row in select_by(connection, _ARRIVALS, ids)]
    wanted = [
        item
        for item in drafts
        if item.result is Result.RECEIVED
        and item.operation not in (Operation.STATUS, Operation.REVOKE)
        and item.incoming_id not in gone
        and (until is None or item.kept_at < until)
    ]
    insert_missing(connection, _SCAN, [scan_values(item, shown=True) for item in wanted])
    for item in wanted:
        change = sa.update(_SCAN).where(_SCAN.c.incoming_id == item.incoming_id)
        connection.execute(change.values(state=ScanState.WAITING.value, breaks=0, again_at=None))
    return len(wanted)


def _named(connection: Connection, text: str) -> list[MessageId]:
    low, high = id_span(text)
    span = {"low": low, "high": high}
    found = {row.message_id: row.document_id for row in connection.execute(_BY_MESSAGE, span)}
    if not found:
        of_documents = [*connection.scalars(_BY_DOCUMENT, span), *connection.scalars(_HIDDEN, span)]
        rows = select_by(connection, _ARRIVALS, sorted(set(of_documents)))
        found = {row.message_id: row.document_id for row in rows}
    if not found:
        raise DocumentUnknownError(
            f"No received document has an id that begins with {text}.",
            hint="See: edocnode inbox, edocnode quarantine list",
            id=text,
        )
    if len(set(found.values())) > 1:
        raise IdAmbiguousError(
            f"Several received documents begin with {text}; give more of the id.", id=text
        )
    return [MessageId(message_id) for message_id in sorted(found)]


def _of_message(connection: Connection, message_id: bytes) -> AnyRow | None:
    for found in select_by(connection, _OF_MESSAGES, [message_id]):
        row = scan_row(connection, found.id)
        if row is not None:
            return row
    return None
