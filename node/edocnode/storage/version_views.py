"""Which versions of received documents there are, and which one is shown."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Envelope, parse_time
from edocnode.domain.model import IncomingId, MessageId
from edocnode.domain.office_model import DocumentVersion, VersionState
from edocnode.storage.sql import AnyRow, among, newest_among, select_by
from edocnode.storage.tables import IncomingRow, table_of
from edocnode.storage.versions import Place
from edocnode.storage.workflow_tables import VersionRow

_INCOMING, _VERSION = table_of(IncomingRow), table_of(VersionRow)

SHOWN = 100  # versions of one document that stand alike, the newest; whatever its sender sends

_VERSIONS = sa.select(
    _VERSION,
    _INCOMING.c.message_id,
    _INCOMING.c.digest,
    _INCOMING.c.signer,
    _INCOMING.c.envelope,
).select_from(_VERSION.join(_INCOMING, _INCOMING.c.id == _VERSION.c.incoming_id))
_OF_DOCUMENTS = _VERSIONS.where(
    newest_among(
        _VERSION.c.incoming_id,
        _VERSION.c.document_id,
        alike=(
            _VERSION.c.document_id,
            _VERSION.c.sender,
            _VERSION.c.recipient,
            _VERSION.c.state,
        ),
        age=(_VERSION.c.created_at, _VERSION.c.incoming_id),
        limit=SHOWN,
    )
)
_OF_MESSAGES = _VERSIONS.where(among(_INCOMING.c.message_id))


def versions_of(
    connection: Connection, document_ids: Sequence[bytes], named: Collection[bytes] = ()
) -> dict[Place, list[AnyRow]]:
    """Versions of documents beside those that came first, ``SHOWN`` at most.

    Args:
        named: Messages whose versions are there however old they are.
    """
    rows = {row.incoming_id: row for row in select_by(connection, _OF_DOCUMENTS, document_ids)}
    rows |= {row.incoming_id: row for row in select_by(connection, _OF_MESSAGES, sorted(named))}
    found: dict[Place, list[AnyRow]] = {}
    for row in rows.values():
        found.setdefault((row.document_id, row.sender, row.recipient), []).append(row)
    return found


def versions_shown(
    head: sa.Row[Any], beside: Sequence[sa.Row[Any]], shown: Collection[bytes]
) -> tuple[tuple[DocumentVersion, ...], sa.Row[Any]]:
    """The versions of a document, oldest first, and the row of the one to be shown."""
    later = [
        row for row in beside if row.incoming_id != head.incoming_id and row.state != "destroyed"
    ]
    if not later or head.state == DocumentState.REVOKED:
        return (), head
    first = parse_time(canonical.decode(head.envelope, Envelope).created)
    every = sorted(
        [(first, head.incoming_id, head, "agreed", ""), *map(_aged, later)],
        key=lambda item: item[:2],
    )
    agreed = [row for _, _, row, state, _ in every if state == "agreed"]
    named = [row for row in agreed if row.message_id in shown]
    versions = (_version(row, state, reason, agreed[-1]) for _, _, row, state, reason in every)
    return tuple(versions), named[0] if named else agreed[-1]


def _aged(row: sa.Row[Any]) -> tuple[datetime, int, sa.Row[Any], str, str]:
    return row.created_at, row.incoming_id, row, row.state, row.reason


def _version(row: sa.Row[Any], state: str, reason: str, newest: sa.Row[Any]) -> DocumentVersion:
    standing = VersionState.PENDING if state == "pending" else VersionState.DECLINED
    if state == "agreed":
        here = row.incoming_id == newest.incoming_id
        standing = VersionState.IN_FORCE if here else VersionState.SUPERSEDED
    return DocumentVersion(
        incoming_id=IncomingId(row.incoming_id),
        message_id=MessageId(row.message_id),
        received_at=row.received_at,
        reason=reason,
        state=standing,
    )
