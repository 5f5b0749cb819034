"""The access history on disk: see ``domain.access_log.AccessLog``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import EdocError
from edockit.database import Database
from edocnode.domain.access_log import Access, AccessEntry, HistoryRequest, KeptEntry
from edocnode.domain.model import DocumentId
from edocnode.storage.access_tables import AccessLogRow
from edocnode.storage.office import find_document
from edocnode.storage.sql import Row, insert_rows, without_nul
from edocnode.storage.tables import table_of

_LOG = table_of(AccessLogRow)


class SqlAccessLog:
    """See ``domain.access_log.AccessLog``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def write_access(self, entries: Sequence[AccessEntry]) -> None:
        """Adds entries at the end."""
        asked = {entry.asked for entry in entries if entry.asked}
        known = (
            await self._database.aread(lambda connection: _known(connection, asked))
            if asked
            else {}
        )
        rows = [access_values(entry, known.get(entry.asked)) for entry in entries]
        await self._database.awrite(lambda connection: insert_rows(connection, _LOG, rows))

    async def access_history(self, wanted: HistoryRequest) -> Sequence[KeptEntry]:
        """Entries, newest first."""
        query = sa.select(_LOG).order_by(_LOG.c.id.desc()).limit(wanted.limit)
        if wanted.document_id is not None:
            query = query.where(_LOG.c.document_id == wanted.document_id)
        if wanted.account is not None:
            query = query.where(_LOG.c.account == wanted.account)
        if wanted.since is not None:
            query = query.where(_LOG.c.at >= wanted.since)
        if wanted.before:
            query = query.where(_LOG.c.id < wanted.before)
        rows = await self._database.aread(lambda connection: connection.execute(query).all())
        return [_kept(row) for row in rows]

    async def forget_access(self, before: datetime, limit: int) -> int:
        """Removes the oldest entries from before a moment; they were written in order of time."""
        oldest = sa.select(_LOG.c.id, _LOG.c.at).order_by(_LOG.c.id).limit(limit)

        def write(connection: Connection) -> int:
            old = [row.id for row in connection.execute(oldest) if row.at < before]
            if old:
                connection.execute(sa.delete(_LOG).where(_LOG.c.id <= old[-1]))
            return len(old)

        return await self._database.awrite(write)


def _known(connection: Connection, asked: set[str]) -> dict[str, bytes]:
    """The documents here whose ids begin with texts that were denied."""
    found: dict[str, bytes] = {}
    for text in asked:
        try:
            found[text] = find_document(connection, text)
        except EdocError:
            continue  # no document here, or several: the text alone is kept
    return found


def access_values(entry: AccessEntry, known: bytes | None = None) -> Row:
    """An entry as a row.

    Args:
        known: The document that ``asked`` was found to be the beginning of.
    """
    detail = f"{entry.asked} {entry.detail}".strip() if entry.asked else entry.detail
    return {
        "at": entry.at,
        "account": entry.account,
        "actor": without_nul(entry.actor),
        "action": entry.action.value,
        "document_id": entry.document_id or known,
        "detail": without_nul(detail),
    }


def _kept(row: sa.Row[Any]) -> KeptEntry:
    entry = AccessEntry(
        at=row.at,
        account=row.account,
        actor=row.actor,
        action=Access(row.action),
        document_id=None if row.document_id is None else DocumentId(row.document_id),
        detail=row.detail,
    )
    return KeptEntry(place=row.id, entry=entry)
