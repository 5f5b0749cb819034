"""Offers whose large parts are on their way, with the bytes of each that are on disk.

An offer that was decided, or whose lifetime ended, stays as a row until ``expired_stages`` has
named its parts once, so that their files are removed even when the node died in between.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.seal import SealedStatement
from edockit.database import Database
from edocnode.domain.model import INLINE_PART_BYTES, MessageId, StagedPart
from edocnode.storage.sql import AnyRow, Row, among, insert_rows, select_by
from edocnode.storage.tables import BlobUseRow, StagePartRow, StageRow, table_of

_BLOB_USE = table_of(BlobUseRow)
_PART = table_of(StagePartRow)
_STAGE = table_of(StageRow)
_FORGET_AT_ONCE = 1000  # offers

_OF_MESSAGE = (
    _STAGE.c.sender == sa.bindparam("of_sender"),
    _STAGE.c.message_id == sa.bindparam("of"),
)
_PARTS_OF_MESSAGE = (
    _PART.c.sender == sa.bindparam("of_sender"),
    _PART.c.message_id == sa.bindparam("of"),
)
_STAGE_OF = sa.select(_STAGE).where(*_OF_MESSAGE)
_PARTS_OF = sa.select(_PART).where(*_PARTS_OF_MESSAGE).order_by(_PART.c.part_index)
_DROP_STAGE = sa.delete(_STAGE).where(*_OF_MESSAGE)
_DROP_PARTS = sa.delete(_PART).where(*_PARTS_OF_MESSAGE)
_DELIVERED = (
    sa.select(_BLOB_USE.c.sha256, _BLOB_USE.c.size)
    .where(
        among(_BLOB_USE.c.sha256),
        _BLOB_USE.c.kind == "incoming",
        _BLOB_USE.c.agency == sa.bindparam("of_sender"),
    )
    .distinct()
)
_PROGRESS = (
    sa.update(_PART)
    .where(
        *_PARTS_OF_MESSAGE,
        _PART.c.part_index == sa.bindparam("index"),
        _PART.c.sha256 == sa.bindparam("digest"),
    )
    .values(bytes_on_disk=sa.bindparam("offset"), complete=sa.bindparam("done"))
)
_EXPIRED = (
    sa.select(_STAGE.c.sender, _STAGE.c.message_id)
    .where(_STAGE.c.expires_at <= sa.bindparam("now", type_=_STAGE.c.expires_at.type))
    .order_by(_STAGE.c.expires_at)
    .limit(_FORGET_AT_ONCE)
)
_RESERVED = (
    sa.select(sa.func.coalesce(sa.func.sum(_PART.c.size), 0))
    .select_from(
        _STAGE.join(
            _PART,
            sa.and_(_PART.c.sender == _STAGE.c.sender, _PART.c.message_id == _STAGE.c.message_id),
        )
    )
    .where(_STAGE.c.sender == sa.bindparam("of_sender"), _STAGE.c.ended == 0)
)


class SqlStaging:
    """The part of ``domain.ports.Inbox`` that is about offers."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def stage(
        self,
        sender: str,
        envelope: SealedStatement,
        parts: Sequence[StagedPart],
        at: datetime,
        expires: datetime,
    ) -> Sequence[StagedPart]:
        """Remembers an offer; returns its parts with the progress made so far.

        Args:
            sender: Agency that sealed the envelope. A part that this same agency delivered before
                is complete at once (never by what others delivered: possession must not be
                probed).
        """
        if not parts:
            return []
        stage = {
            "sender": sender,
            "message_id": parts[0].message_id,
            "digest": sha256(envelope.statement).digest(),
            "offered_at": at,
            "expires_at": expires,
            "ended": 0,
        }
        return await self._database.awrite(lambda connection: _stage(connection, stage, parts))

    async def staged(self, sender: str, message_id: MessageId) -> Sequence[StagedPart]:
        """Progress of the parts of an offer; empty when none is known."""
        return await self._database.aread(
            lambda connection: _staged(connection, sender, message_id)
        )

    async def progress(self, part: StagedPart) -> None:
        """Notes how many bytes of a part are on disk, or that it is complete."""
        values = {
            "of_sender": part.sender,
            "of": part.message_id,
            "index": part.index,
            "digest": part.sha256,
            "offset": part.offset,
            "done": int(part.complete),
        }
        await self._database.awrite(lambda connection: connection.execute(_PROGRESS, values))

    async def expired_stages(self, now: datetime) -> Sequence[StagedPart]:
        """Forgets offers whose lifetime ended; returns their parts so that files can be removed.

        At most 1,000 offers at a time.
        """
        return await self._database.awrite(lambda connection: _forget(connection, now))

    async def staged_bytes(self, sender: str) -> int:
        """Bytes reserved by a sender's unfinished offers."""
        total = await self._database.aread(
            lambda connection: connection.execute(_RESERVED, {"of_sender": sender}).scalar_one()
        )
        return int(total)


def _stage(connection: Connection, stage: Row, parts: Sequence[StagedPart]) -> list[StagedPart]:
    of = {"of_sender": stage["sender"], "of": stage["message_id"]}
    before = connection.execute(_STAGE_OF, of).one_or_none()
    progress: dict[tuple[int, bytes], StagedPart] = {}
    if before is not None and not before.ended:
        progress = {
            (part.index, part.sha256): part
            for part in map(_part, connection.execute(_PARTS_OF, of))
        }
    delivered = _delivered(connection, stage["sender"], parts)
    connection.execute(_DROP_PARTS, of)
    connection.execute(_DROP_STAGE, of)
    merged = [progress.get((part.index, part.sha256)) or _fresh(part, delivered) for part in parts]
    insert_rows(connection, _STAGE, [stage])
    insert_rows(connection, _PART, [_values(part) for part in merged])
    return merged


def _delivered(
    connection: Connection, sender: str, parts: Sequence[StagedPart]
) -> set[tuple[bytes, int]]:
    """Digest and size of the large parts that this sender delivered before."""
    large = [part.sha256 for part in parts if part.size > INLINE_PART_BYTES]
    if not large:
        return set()
    statement = _DELIVERED.params(of_sender=sender)
    return {(row.sha256, row.size) for row in select_by(connection, statement, large)}


def _fresh(part: StagedPart, delivered: set[tuple[bytes, int]]) -> StagedPart:
    here = (part.sha256, part.size) in delivered
    return StagedPart(
        sender=part.sender,
        message_id=part.message_id,
        index=part.index,
        size=part.size,
        sha256=part.sha256,
        offset=part.size if here else part.offset,
        complete=here or part.complete,
    )


def _staged(connection: Connection, sender: str, message_id: bytes) -> list[StagedPart]:
    of = {"of_sender": sender, "of": message_id}
    stage = connection.execute(_STAGE_OF, of).one_or_none()
    if stage is None or stage.ended:
        return []
    return [_part(row) for row in connection.execute(_PARTS_OF, of)]


def _forget(connection: Connection, now: datetime) -> list[StagedPart]:
    parts: list[StagedPart] = []
    for row in connection.execute(_EXPIRED, {"now": now}).all():
        of = {"of_sender": row.sender, "of": row.message_id}
        parts += [_part(each) for each in connection.execute(_PARTS_OF, of)]
        connection.execute(_DROP_PARTS, of)
        connection.execute(_DROP_STAGE, of)
    return parts


def _part(row: AnyRow) -> StagedPart:
    return StagedPart(
        sender=row.sender,
        message_id=MessageId(row.message_id),
        index=row.part_index,
        size=row.size,
        sha256=row.sha256,
        offset=row.bytes_on_disk,
        complete=bool(row.complete),
    )


def _values(part: StagedPart) -> Row:
    return {
        "sender": part.sender,
        "message_id": part.message_id,
        "part_index": part.index,
        "size": part.size,
        "sha256": part.sha256,
        "bytes_on_disk": part.offset,
        "complete": int(part.complete),
    }
