"""Documents that nothing destroys: see ``domain.holds``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState
from edockit.database import Database
from edocnode.domain.holds import Hold
from edocnode.domain.model import DocumentId
from edocnode.storage.access_tables import HoldRow
from edocnode.storage.destroying import destroy
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import insert_missing, without_nul
from edocnode.storage.tables import InboxRow, table_of
from edocnode.storage.versions import beside
from edocnode.storage.workflow_tables import DestroyedRow

_HOLD, _INBOX = table_of(HoldRow), table_of(InboxRow)
_DESTROYED = table_of(DestroyedRow)
_TAKEN_BACK = sa.select(_INBOX.c.incoming_id).where(
    _INBOX.c.document_id == sa.bindparam("of"),
    _INBOX.c.state == DocumentState.REVOKED.value,
    _INBOX.c.incoming_id.not_in(sa.select(_DESTROYED.c.incoming_id)),
)


class SqlHolds:
    """See ``domain.holds.HoldStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def hold(self, hold: Hold, *, salt: bytes, effect: bytes) -> Hold:
        """Holds a document; returns the hold in force, an earlier one if there is one."""
        row = {
            "document_id": hold.document_id,
            "reason": without_nul(hold.reason),
            "actor": without_nul(hold.actor),
            "at": hold.at,
        }

        def write(connection: Connection) -> Hold:
            if insert_missing(connection, _HOLD, [row]):
                add_effect(connection, salt, effect)
                return hold
            found = hold_on(connection, hold.document_id)
            assert found is not None  # or the row would have been added
            return found

        return await self._database.awrite(write)

    async def release(
        self, document_id: DocumentId, *, salt: bytes, effect: bytes, at: datetime
    ) -> bool:
        """Releases a document, and destroys it if its sender took it back meanwhile.

        Returns:
            False when it was not held.
        """

        def write(connection: Connection) -> bool:
            gone = sa.delete(_HOLD).where(_HOLD.c.document_id == document_id)
            if not connection.execute(gone).rowcount:
                return False
            add_effect(connection, salt, effect)
            taken_back = connection.scalars(_TAKEN_BACK, {"of": document_id}).all()
            versions = beside(connection, taken_back)
            destroy(connection, sorted({*taken_back, *versions}), at)  # what the hold alone kept
            return True

        return await self._database.awrite(write)

    async def holds(self, after: bytes, limit: int) -> Sequence[Hold]:
        """Holds of documents with higher ids, in order of id."""
        wanted = sa.select(_HOLD).where(_HOLD.c.document_id > after)
        wanted = wanted.order_by(_HOLD.c.document_id).limit(limit)
        rows = await self._database.aread(lambda connection: connection.execute(wanted).all())
        return [_hold(row) for row in rows]


def is_held(connection: Connection, document_id: bytes) -> bool:
    """Whether a document is held; asked in the transaction that would destroy it."""
    return hold_on(connection, document_id) is not None


def hold_on(connection: Connection, document_id: bytes) -> Hold | None:
    """The hold on a document, for an answer that names it; None when it is not held."""
    row = connection.execute(sa.select(_HOLD).where(_HOLD.c.document_id == document_id)).first()
    return None if row is None else _hold(row)


def _hold(row: sa.Row[Any]) -> Hold:
    return Hold(
        document_id=DocumentId(row.document_id), reason=row.reason, actor=row.actor, at=row.at
    )
