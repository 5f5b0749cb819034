"""Parts that a disk damaged or a restore lost: see ``domain.repair.RepairStore``."""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Part, Result
from edockit.database import Database
from edocnode.domain.model import INLINE_PART_BYTES, MessageId
from edocnode.domain.repair import (
    PART_DAMAGED,
    SOURCES,
    DamagedPart,
    PartName,
    PartSourceAt,
    StoredPart,
)
from edocnode.domain.signature_checks import Side
from edocnode.storage.alarms import drop_alarm, put_alarm
from edocnode.storage.listing import inline_piece
from edocnode.storage.people_tables import MetaRow
from edocnode.storage.repair_tables import DamagedPartRow
from edocnode.storage.signature_checks import check_repaired
from edocnode.storage.sql import among, insert_missing, select_by, upsert
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    BlobUseRow,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    IncomingRow,
    StagePartRow,
    StageRow,
    table_of,
)

_SCRUBBED = "scrubbed_up_to_"  # names of the values in ``meta``
_DAMAGED_REASON = "STORAGE_DAMAGED"

_BLOB_USE = table_of(BlobUseRow)
_DAMAGED = table_of(DamagedPartRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_INCOMING = table_of(IncomingRow)
_META = table_of(MetaRow)
_STAGE, _STAGE_PART = table_of(StageRow), table_of(StagePartRow)

_OF_MESSAGE: sa.BindParameter[bytes] = sa.bindparam("message_id")
_OF_DIGEST: sa.BindParameter[bytes] = sa.bindparam("digest")
_SENT = (
    sa.select(_ENVELOPE.c.data, _DOCUMENT.c.inline)
    .select_from(
        _ENVELOPE.join(_DELIVERY, _DELIVERY.c.message_id == _ENVELOPE.c.message_id).join(
            _DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row
        )
    )
    .where(
        _ENVELOPE.c.message_id == _OF_MESSAGE,
        _ENVELOPE.c.to_node == sa.bindparam("agency"),
        _DELIVERY.c.state == "delivered",
    )
)
_RECEIVED = sa.select(_INCOMING.c.envelope.label("data"), _INCOMING.c.inline).where(
    _INCOMING.c.message_id == _OF_MESSAGE,
    _INCOMING.c.digest == _OF_DIGEST,
    _INCOMING.c.signer == sa.bindparam("agency"),
    _INCOMING.c.result == Result.RECEIVED.value,
)
_USED = sa.select(_BLOB_USE.c.size).where(_BLOB_USE.c.sha256 == _OF_DIGEST).limit(1)
_USED_AFTER = (
    sa.select(_BLOB_USE.c.sha256, sa.func.max(_BLOB_USE.c.size).label("size"))
    .where(_BLOB_USE.c.sha256 > sa.bindparam("after"))
    .group_by(_BLOB_USE.c.sha256)
    .order_by(_BLOB_USE.c.sha256)
    .limit(sa.bindparam("limit"))
)
_DUE = (
    sa.select(_DAMAGED)
    .where(_DAMAGED.c.next_at <= sa.bindparam("now", type_=_DAMAGED.c.next_at.type))
    .order_by(_DAMAGED.c.found_at)
    .limit(sa.bindparam("limit"))
)
_RECEIVED_WITH = (
    sa.select(_INCOMING.c.signer, _INCOMING.c.message_id, _INCOMING.c.digest, _INCOMING.c.envelope)
    .select_from(_BLOB_USE.join(_INCOMING, _INCOMING.c.id == _BLOB_USE.c.owner))
    .where(_BLOB_USE.c.sha256 == _OF_DIGEST, _BLOB_USE.c.kind == "incoming")
    .order_by(_INCOMING.c.id.desc())
    .limit(SOURCES)
)
_DELIVERED = sa.select(_DELIVERY.c.to_node, _DELIVERY.c.message_id, _ENVELOPE.c.data).select_from(
    DELIVERY_WITH_ENVELOPE
)
_SENT_WITH = (
    _DELIVERED.join(
        _BLOB_USE,
        sa.and_(_BLOB_USE.c.kind == "document", _BLOB_USE.c.owner == _DELIVERY.c.document_row),
    )
    .where(_BLOB_USE.c.sha256 == _OF_DIGEST, _DELIVERY.c.state == "delivered")
    .order_by(_DELIVERY.c.id)
    .limit(SOURCES)
)
_NOT_REPAIRED = (
    sa.update(_DAMAGED)
    .where(_DAMAGED.c.sha256 == sa.bindparam("of"))
    .values(
        attempts=_DAMAGED.c.attempts + 1,
        message=sa.bindparam("said"),
        next_at=sa.bindparam("again_at", type_=_DAMAGED.c.next_at.type),
    )
)
_END_DAMAGE = sa.delete(_DAMAGED).where(_DAMAGED.c.sha256 == _OF_DIGEST)
_QUEUE_HELD = (
    sa.update(_DELIVERY)
    .where(
        sa.text("state = 'held'"),
        _DELIVERY.c.reason == sa.bindparam("why"),
        _DELIVERY.c.document_row.in_(
            sa.select(_BLOB_USE.c.owner).where(
                _BLOB_USE.c.sha256 == _OF_DIGEST, _BLOB_USE.c.kind == "document"
            )
        ),
    )
    .values(state="queued", reason="", message="", ended_at=None, next_at=None)
)
_USERS = sa.select(_BLOB_USE.c.kind, _BLOB_USE.c.owner).where(_BLOB_USE.c.sha256 == _OF_DIGEST)
_NEEDED = [
    *(
        sa.select(table.c.sha256).where(among(table.c.sha256)).distinct()
        for table in (_BLOB_USE, _DAMAGED)
    ),
    sa.select(_STAGE_PART.c.sha256)
    .join(
        _STAGE,
        sa.and_(
            _STAGE.c.sender == _STAGE_PART.c.sender, _STAGE.c.message_id == _STAGE_PART.c.message_id
        ),
    )
    .where(among(_STAGE_PART.c.sha256), _STAGE.c.ended == 0)
    .distinct(),
]


class SqlRepair:
    """See ``domain.repair.RepairStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def stored_part(self, agency: str, name: PartName) -> StoredPart | None:
        """A part that this agency may have back; None when it is not here or not for it."""
        return await self._database.aread(lambda connection: _stored(connection, agency, name))

    async def blob_size(self, sha256: str) -> int | None:
        """Size of a part of the blob folder that a document uses; None when none does."""
        place = {"digest": bytes.fromhex(sha256)}
        return await self._database.aread(
            lambda connection: connection.execute(_USED, place).scalar_one_or_none()
        )

    async def blobs_after(self, sha256: str, limit: int) -> Sequence[tuple[str, int]]:
        """Digest and size of used parts of the blob folder, in order of digest, after one."""
        place = {"after": bytes.fromhex(sha256), "limit": limit}
        rows = await self._database.aread(
            lambda connection: connection.execute(_USED_AFTER, place).all()
        )
        return [(row.sha256.hex(), int(row.size)) for row in rows]

    async def note_damage(self, sha256: str, size: int, message: str, at: datetime) -> bool:
        """Notes that a part must be fetched, with an alarm. Returns False when it was noted."""
        return await self._database.awrite(
            lambda connection: _note_damage(connection, sha256, size, message, at)
        )

    async def damaged_parts(
        self, now: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[DamagedPart]:
        """Damaged parts whose next attempt is due, the longest damaged first."""
        place = {"now": now, "limit": limit + len(without)}
        rows = await self._database.aread(lambda connection: connection.execute(_DUE, place).all())
        return [
            DamagedPart(sha256=row.sha256.hex(), size=row.size, attempts=row.attempts)
            for row in rows
            if row.sha256.hex() not in without
        ][:limit]

    async def part_sources(self, sha256: str) -> Sequence[PartSourceAt]:
        """Who can give a part of the blob folder back; at most ``SOURCES``."""
        return await self._database.aread(lambda connection: _sources(connection, sha256))

    async def not_repaired(self, sha256: str, message: str, next_at: datetime) -> None:
        """Notes that nobody could give a part back."""
        values = {"of": bytes.fromhex(sha256), "said": message, "again_at": next_at}
        await self._database.awrite(lambda connection: connection.execute(_NOT_REPAIRED, values))

    async def repaired(self, sha256: str) -> int:
        """Ends a damage and its alarm; deliveries held for it are queued again: how many."""
        return await self._database.awrite(lambda connection: _repaired(connection, sha256))

    async def unused(self, digests: Sequence[str]) -> set[str]:
        """Those parts of the blob folder that no document, offer or repair needs."""
        return await self._database.aread(lambda connection: _unused(connection, digests))

    async def scrubbed_up_to(self, what: str) -> str:
        """How far the scrubber has come with ``what``; empty at the beginning."""
        value = sa.select(_META.c.value).where(_META.c.name == _SCRUBBED + what)
        return await self._database.aread(lambda connection: connection.scalar(value) or "")

    async def note_scrubbed(self, what: str, place: str) -> None:
        """Remembers how far the scrubber has come; empty: it begins anew."""
        row = {"name": _SCRUBBED + what, "value": place}
        await self._database.awrite(lambda connection: upsert(connection, _META, [row]))


def _unused(connection: Connection, digests: Sequence[str]) -> set[str]:
    wanted = [bytes.fromhex(digest) for digest in digests]
    used = {
        row.sha256.hex()
        for statement in _NEEDED
        for row in select_by(connection, statement, wanted)
    }
    return set(digests) - used


def _stored(connection: Connection, agency: str, name: PartName) -> StoredPart | None:
    place = {"message_id": name.message_id, "digest": name.envelope_digest, "agency": agency}
    rows = [*connection.execute(_SENT, place), *connection.execute(_RECEIVED, place)]
    for row in rows:
        if sha256(row.data).digest() != name.envelope_digest:
            continue
        if name.index is None:
            return StoredPart(part=_as_part(row.data), inline=row.data)
        parts = canonical.decode(row.data, Envelope).parts
        if name.index >= len(parts):
            return None
        part = parts[name.index]
        if part.size > INLINE_PART_BYTES:
            return StoredPart(part=part, inline=None)
        piece = inline_piece(parts, row.inline, name.index)
        return StoredPart(part=part, inline=piece) if _is_part(part, piece) else None
    return None


def _as_part(envelope: bytes) -> Part:
    digest = sha256(envelope).hexdigest()
    return Part(
        index=0,
        name="envelope.json",
        media_type="application/json",
        size=len(envelope),
        sha256=digest,
    )


def _is_part(part: Part, piece: bytes) -> bool:
    return sha256(piece).hexdigest() == part.sha256


def _note_damage(
    connection: Connection, digest: str, size: int, message: str, at: datetime
) -> bool:
    row = {
        "sha256": bytes.fromhex(digest),
        "size": size,
        "attempts": 0,
        "found_at": at,
        "next_at": at,
        "message": "",
    }
    known = sa.select(_DAMAGED.c.sha256).where(_DAMAGED.c.sha256 == row["sha256"])
    if connection.execute(known).one_or_none() is not None:
        return False
    insert_missing(connection, _DAMAGED, [row])
    put_alarm(connection, PART_DAMAGED, digest, message=message, at=at)
    return True


def _sources(connection: Connection, digest: str) -> list[PartSourceAt]:
    place = {"digest": bytes.fromhex(digest)}
    received = [
        _source(row.signer, row.message_id, row.envelope, digest)
        for row in connection.execute(_RECEIVED_WITH, place)
    ]
    sent = [
        _source(row.to_node, row.message_id, row.data, digest)
        for row in connection.execute(_SENT_WITH, place)
    ]
    return [item for item in (*received, *sent) if item is not None][:SOURCES]


def _source(agency: str, message_id: bytes, envelope: bytes, digest: str) -> PartSourceAt | None:
    parts = canonical.decode(envelope, Envelope).parts
    index = next((part.index for part in parts if part.sha256 == digest), None)
    if index is None:
        return None
    name = PartName(
        message_id=MessageId(message_id),
        envelope_digest=sha256(envelope).digest(),
        index=index,
    )
    return PartSourceAt(agency=agency, name=name)


def _repaired(connection: Connection, digest: str) -> int:
    place = {"digest": bytes.fromhex(digest)}
    connection.execute(_END_DAMAGE, place)
    drop_alarm(connection, PART_DAMAGED, digest)
    users = connection.execute(_USERS, place).all()
    for kind, side in (("incoming", Side.RECEIVED), ("document", Side.SENT)):
        check_repaired(connection, side, [row.owner for row in users if row.kind == kind])
    return connection.execute(_QUEUE_HELD, place | {"why": _DAMAGED_REASON}).rowcount
