"""Received documents whose time of keeping may be over: see ``domain.retention.RetentionStore``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.model import DocumentId, IncomingId
from edocnode.domain.retention import KeptDocument
from edocnode.storage.access_tables import HoldRow
from edocnode.storage.destroying import destroy_overdue
from edocnode.storage.holds import is_held
from edocnode.storage.sealing import add_effect
from edocnode.storage.tables import InboxRow, table_of
from edocnode.storage.versions import beside
from edocnode.storage.workflow_tables import DestroyedRow, VersionRow

_INBOX, _HOLD, _DESTROYED = table_of(InboxRow), table_of(HoldRow), table_of(DestroyedRow)
_VERSION = table_of(VersionRow)
_VERSION_OF = (
    _VERSION.c.document_id == _INBOX.c.document_id,
    _VERSION.c.sender == _INBOX.c.sender,
    _VERSION.c.recipient == _INBOX.c.recipient,
    _VERSION.c.state != "destroyed",
)
_NEWEST = (  # the time of keeping begins anew with a newer version, also one that is not answered
    sa.select(sa.func.max(_VERSION.c.received_at)).where(*_VERSION_OF).scalar_subquery()
)
_KEPT = sa.select(
    _INBOX.c.incoming_id,
    _INBOX.c.document_id,
    _INBOX.c.document_type,
    _INBOX.c.subject,
    sa.func.coalesce(_NEWEST, _INBOX.c.received_at, type_=_INBOX.c.received_at.type).label(
        "received_at"
    ),
    _INBOX.c.position,
    sa.exists().where(_HOLD.c.document_id == _INBOX.c.document_id).label("held"),
).where(
    _INBOX.c.operation != "status",
    sa.or_(
        ~sa.exists().where(_DESTROYED.c.incoming_id == _INBOX.c.incoming_id),
        sa.exists().where(*_VERSION_OF),  # a newer version came after all others were destroyed
    ),
)


class SqlRetention:
    """See ``domain.retention.RetentionStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def kept(self, after: int, limit: int) -> Sequence[KeptDocument]:
        """Received documents whose bytes are here, the oldest first."""
        wanted = _KEPT.where(_INBOX.c.position > after).order_by(_INBOX.c.position).limit(limit)
        return await self._read(wanted)

    async def kept_of(self, document_id: DocumentId) -> Sequence[KeptDocument]:
        """The same of one document, for each agency that received it."""
        return await self._read(_KEPT.where(_INBOX.c.document_id == document_id))

    async def end(
        self, documents: Sequence[KeptDocument], *, at: datetime, salt: bytes, effect: bytes
    ) -> bool:
        """Destroys record and parts of a document; False when it is held by now."""

        def write(connection: Connection) -> bool:
            if any(is_held(connection, item.document_id) for item in documents):
                return False
            ids = [item.incoming_id for item in documents]
            destroy_overdue(connection, sorted({*ids, *beside(connection, ids)}), at)
            add_effect(connection, salt, effect)
            return True

        return await self._database.awrite(write)

    async def _read(self, wanted: sa.Select[Any]) -> Sequence[KeptDocument]:
        rows = await self._database.aread(lambda connection: connection.execute(wanted).all())
        return [
            KeptDocument(
                incoming_id=IncomingId(row.incoming_id),
                document_id=DocumentId(row.document_id),
                document_type=row.document_type,
                subject=row.subject,
                received_at=row.received_at,
                position=row.position,
                held=bool(row.held),
            )
            for row in rows
        ]
