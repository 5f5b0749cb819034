"""Updates that arrive and their answers: see ``domain.updating.ReceivedUpdates``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Envelope, parse_time
from edockit.database import Database
from edocnode.domain.model import DocumentId, IncomingId
from edocnode.domain.office_model import InboxEntry, VersionState
from edocnode.domain.setting_aside import Waiting
from edocnode.domain.updating import ReceivedUpdate, UpdateAnswer
from edocnode.storage.appointed import appoint_anew
from edocnode.storage.deciding import take_step
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.listing import LISTED, decode_listing, search_text
from edocnode.storage.office_views import INBOX_ENTRIES, inbox_entries
from edocnode.storage.sql import AnyRow, Row, in_order, insert_rows
from edocnode.storage.tables import InboxRow, IncomingRow, table_of
from edocnode.storage.versions import put_in_force
from edocnode.storage.waiting import waiting
from edocnode.storage.workflow_tables import VersionRow

_INBOX, _INCOMING, _VERSION = table_of(InboxRow), table_of(IncomingRow), table_of(VersionRow)

_WITH_DIGEST = sa.select(_VERSION, _INCOMING.c.digest).select_from(
    _VERSION.join(_INCOMING, _INCOMING.c.id == _VERSION.c.incoming_id)
)
_IS_HERE = sa.exists().where(
    _INBOX.c.document_id == _VERSION.c.document_id,
    _INBOX.c.sender == _VERSION.c.sender,
    _INBOX.c.recipient == _VERSION.c.recipient,
)
_IS_PENDING = sa.text("version.state = 'pending'")
_PENDING = (
    sa.select(_VERSION.c.incoming_id.label("place"), _VERSION.c.document_id)
    .where(_IS_PENDING)
    .order_by(_VERSION.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_PENDING_NOT_HERE = _PENDING.where(~_IS_HERE)
_PENDING_AT = _WITH_DIGEST.where(_VERSION.c.incoming_id == sa.bindparam("of"), _IS_PENDING)
_OF_PLACE = (
    _VERSION.c.document_id == sa.bindparam("document_id"),
    _VERSION.c.sender == sa.bindparam("sender"),
    _VERSION.c.recipient == sa.bindparam("recipient"),
)
_OPEN_OF = (
    _WITH_DIGEST.where(*_OF_PLACE, _VERSION.c.state.in_(("pending", "declined")))
    .order_by(_VERSION.c.incoming_id.desc())
    .limit(1)
)
_ENTRY_OF = INBOX_ENTRIES.where(
    _INBOX.c.document_id == sa.bindparam("document_id"),
    _INBOX.c.sender == sa.bindparam("sender"),
    _INBOX.c.recipient == sa.bindparam("recipient"),
).limit(1)
_STATE_OF = sa.select(_VERSION.c.state, _VERSION.c.created_at).where(
    _VERSION.c.incoming_id == sa.bindparam("of")
)
_NEWER = sa.select(_VERSION.c.incoming_id).where(
    _VERSION.c.head == sa.bindparam("head"),
    _VERSION.c.state == "agreed",
    sa.or_(
        _VERSION.c.created_at > sa.bindparam("created", type_=_VERSION.c.created_at.type),
        sa.and_(
            _VERSION.c.created_at == sa.bindparam("created", type_=_VERSION.c.created_at.type),
            _VERSION.c.incoming_id > sa.bindparam("of"),
        ),
    ),
)
_SET = (
    sa.update(_VERSION)
    .where(_VERSION.c.incoming_id == sa.bindparam("of"))
    .values(state=sa.bindparam("to_state"), head=sa.bindparam("to_head"))
)
_ARRIVAL = sa.select(_INCOMING).where(_INCOMING.c.id == sa.bindparam("of"))


class SqlReceivedUpdates:
    """See ``domain.updating.ReceivedUpdates``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def open_updates(
        self, limit: int, *, asks: bool, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Updates to be answered now, oldest first."""
        wanted = _PENDING_NOT_HERE if asks else _PENDING
        return await self._database.aread(
            lambda connection: waiting(connection, wanted, limit, without)
        )

    async def update_at(self, place: int) -> ReceivedUpdate | None:
        """An update to be answered; None when it has its answer by now."""

        def read(connection: Connection) -> ReceivedUpdate | None:
            row = connection.execute(_PENDING_AT, {"of": place}).one_or_none()
            return None if row is None else _received(connection, row)

        return await self._database.aread(read)

    async def update_of(self, entry: InboxEntry) -> ReceivedUpdate | None:
        """The newest update of a received document that a person may answer."""
        document = entry.document
        place = _place(document.document_id, document.sender, entry.recipient)

        def read(connection: Connection) -> ReceivedUpdate | None:
            row = connection.execute(_OPEN_OF, place).one_or_none()
            return None if row is None else _received(connection, row)

        return await self._database.aread(read)

    async def answer_update(self, answer: UpdateAnswer, salt: bytes) -> bool:
        """Keeps an answer; agreeing puts the version in force in the same transaction."""
        return await self._database.awrite(lambda connection: _answer(connection, answer, salt))

    async def take_as_document(self, update: ReceivedUpdate, at: datetime) -> bool:
        """Shows an update whose document never came; False when it came meanwhile."""
        return await self._database.awrite(lambda connection: _take(connection, update, at))


def _received(connection: Connection, row: AnyRow) -> ReceivedUpdate:
    place = _place(row.document_id, row.sender, row.recipient)
    entries = inbox_entries(connection, connection.execute(_ENTRY_OF, place).all())
    return ReceivedUpdate(
        incoming_id=IncomingId(row.incoming_id),
        digest=row.digest,
        document_id=DocumentId(row.document_id),
        sender=row.sender,
        recipient=row.recipient,
        state=VersionState(row.state),
        entry=entries[0] if entries else None,
    )


def _answer(connection: Connection, answer: UpdateAnswer, salt: bytes) -> bool:
    update, head = answer.update, answer.plan.incoming_id
    in_order(connection)
    now = connection.execute(_STATE_OF, {"of": update.incoming_id}).one()
    if now.state != update.state or not take_step(connection, answer.plan, salt):
        return False
    state = "agreed" if answer.agreed else "declined"
    connection.execute(_SET, {"of": update.incoming_id, "to_state": state, "to_head": head})
    if answer.agreed and not _is_older(connection, update.incoming_id, head, now.created_at):
        put_in_force(connection, head, update.incoming_id)
    return True


def _is_older(connection: Connection, version: int, head: int, created: datetime) -> bool:
    """Whether a version in force is newer, by the sender's clock; or what came first is."""
    place = {"of": version, "head": head, "created": created}
    if connection.execute(_NEWER, place).first() is not None:
        return True
    first = connection.execute(_ARRIVAL, {"of": head}).one()
    return parse_time(canonical.decode(first.envelope, Envelope).created) > created


def _take(connection: Connection, update: ReceivedUpdate, at: datetime) -> bool:
    in_order(connection)
    place = _place(update.document_id, update.sender, update.recipient)
    now = connection.execute(_STATE_OF, {"of": update.incoming_id}).one()
    if now.state != "pending" or connection.execute(_ENTRY_OF, place).first() is not None:
        return False
    row = connection.execute(_ARRIVAL, {"of": update.incoming_id}).one()
    listing = decode_listing(row.listing)
    insert_rows(connection, _INBOX, [_inbox(row, listing)])
    appoint_anew(connection, row.id, listing)
    change = {"of": row.id, "to_state": "agreed", "to_head": row.id}
    connection.execute(_SET, change)
    event = event_values(
        EventKind.DOCUMENT_RECEIVED, row.document_id, row.message_id, agency=row.sender, at=at
    )
    tell(connection, [event])
    return True


def _inbox(row: AnyRow, listing: Mapping[str, str]) -> Row:
    names = ("message_id", "document_id", "sender", "recipient", "lane", "operation", "about")
    return {
        "incoming_id": row.id,
        **{name: getattr(row, name) for name in names},
        "state": DocumentState.RECEIVED.value,
        "received_at": row.kept_at,
        "search": search_text(listing),
        **{name: listing.get(name, "") for name in LISTED},
    }


def _place(document_id: bytes, sender: str, recipient: str) -> Row:
    return {"document_id": document_id, "sender": sender, "recipient": recipient}
