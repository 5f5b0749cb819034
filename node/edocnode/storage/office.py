"""What an office reads and decides, on the tables of a node.

Lists are read by key, newest first, never by offset: a page costs the same wherever it stands. A
decision is one transaction: state, journal leaf, status for the sender, event.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import (
    DocumentRevokedError,
    DocumentUnknownError,
    IdAmbiguousError,
    RequestInvalidError,
    StorageDamagedError,
)
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Operation, uuid_text
from edockit.database import Database
from edocnode.domain.dead_letters import HeldDelivery, RetryPlan
from edocnode.domain.forwarding import ForwardPlan
from edocnode.domain.model import INLINE_PART_BYTES, DeliveryState, DocumentId, MessageId
from edocnode.domain.office_model import (
    DeliveriesPage,
    Event,
    Found,
    InboxEntry,
    InboxPage,
    OutboxEntry,
    OutboxPage,
    PageRequest,
    StepPlan,
)
from edocnode.storage.awaiting import count_waiting
from edocnode.storage.dead_letters import deliveries_of, held_for, queue_again
from edocnode.storage.deciding import take_step
from edocnode.storage.forwarding import forward
from edocnode.storage.ids import id_span
from edocnode.storage.listing import inline_piece
from edocnode.storage.office_views import (
    DELIVERY,
    DOCUMENT,
    DOCUMENTS,
    INBOX,
    INBOX_ENTRIES,
    INCOMING,
    QUEUED_STATES,
    SHOWN_ALONE,
    SHOWN_IN_LISTS,
    WAITING_STATES,
    delivery_views,
    event_of,
    inbox_entries,
    outbox_entries,
)
from edocnode.storage.people_tables import ConsumerRow, EventRow
from edocnode.storage.scan_gate import check_not_blocked, check_not_kept_back
from edocnode.storage.searching import SENT, inbox_conditions, one_of, sent_conditions
from edocnode.storage.sql import among, insert_missing, select_by
from edocnode.storage.tables import EffectRow, table_of
from edocnode.storage.workflow_tables import DestroyedRow, VersionRow

_MATCHES = 20  # more need not be read to know that an id is ambiguous
_CURSOR = re.compile(r"[1-9][0-9]{0,17}")
_READER = "inbox/"  # before the name of a consumer: its place is one in the inbox

_EVENT, _CONSUMER = table_of(EventRow), table_of(ConsumerRow)
_EFFECT, _DESTROYED = table_of(EffectRow), table_of(DestroyedRow)
_VERSION = table_of(VersionRow)
_ROW_OF = sa.select(DELIVERY.c.document_row).where(among(DELIVERY.c.message_id))
_UNDELIVERED = (*WAITING_STATES, DeliveryState.SENDING.value)  # each has a partial index
_ENTRIES_AT = INBOX_ENTRIES.where(among(INBOX.c.position))
_DOCUMENTS_OF = DOCUMENTS.where(among(DOCUMENT.c.id))
_CREATED = sa.select(DOCUMENT.c.id, DOCUMENT.c.created_at).where(among(DOCUMENT.c.id))


class SqlOffice:
    """See ``domain.office_model.OfficeStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def inbox(self, page: PageRequest) -> InboxPage:
        """Received documents that are visible."""
        return await self._database.aread(lambda connection: _inbox_page(connection, page))

    async def outbox(self, page: PageRequest) -> OutboxPage:
        """Documents handed in here."""
        return await self._database.aread(lambda connection: _outbox_page(connection, page))

    async def deliveries(self, sent: OutboxEntry, page: PageRequest) -> DeliveriesPage:
        """Deliveries of a document handed in here, oldest first."""
        return await self._database.aread(lambda connection: _deliveries(connection, sent, page))

    async def find(self, text: str) -> Found:
        """Looks up a document by document id, message id, or a unique beginning of one."""
        return await self._database.aread(lambda connection: _find(connection, text))

    async def inline_part(self, found: Found, index: int) -> bytes | None:
        """Bytes of a part that lies with its document; None when it is in the blob folder."""
        return await self._database.aread(lambda connection: _inline_part(connection, found, index))

    async def decide(self, plan: StepPlan, salt: bytes) -> bool:
        """Keeps a step with its effect, status and event; False when another took its place."""
        return await self._database.awrite(lambda connection: take_step(connection, plan, salt))

    async def deliveries_of(self, message_ids: Sequence[MessageId]) -> Sequence[HeldDelivery]:
        """Where deliveries stand, as far as queueing them again needs it."""
        return await self._database.aread(lambda connection: deliveries_of(connection, message_ids))

    async def held_for(self, code: str, after: int, limit: int) -> Sequence[HeldDelivery]:
        """Held deliveries to an agency, or to a node with all that it serves, oldest first."""
        return await self._database.aread(
            lambda connection: held_for(connection, code, after, limit)
        )

    async def queue_again(
        self, plans: Sequence[RetryPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Queues held deliveries again with their effects; returns how many were held."""
        return await self._database.awrite(
            lambda connection: queue_again(connection, plans, salts, at)
        )

    async def send_on(
        self, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Makes held deliveries new envelopes to other nodes; returns how many were held."""
        return await self._database.awrite(lambda connection: forward(connection, plans, salts, at))

    async def fetch(self, consumer: str, limit: int) -> Sequence[InboxEntry]:
        """Received documents that a consumer has not acknowledged, oldest first."""
        return await self._database.aread(lambda connection: _fetch(connection, consumer, limit))

    async def acknowledge(self, consumer: str, position: int) -> int:
        """Moves a consumer's place forward; returns where it is."""
        return await self._database.awrite(
            lambda connection: _acknowledge(connection, consumer, position)
        )

    async def position(self) -> int:
        """Position of the newest event; 0 when there is none."""
        newest = sa.select(sa.func.max(_EVENT.c.position))
        return await self._database.aread(lambda connection: connection.scalar(newest) or 0)

    async def events(
        self, after: int, limit: int, document_id: DocumentId | None = None
    ) -> Sequence[Event]:
        """Events after a position, oldest first."""
        wanted = sa.select(_EVENT).where(_EVENT.c.position > after)
        if document_id is not None:
            wanted = wanted.where(_EVENT.c.document_id == document_id)
        wanted = wanted.order_by(_EVENT.c.position).limit(limit)
        rows = await self._database.aread(lambda connection: connection.execute(wanted).all())
        return [event_of(row) for row in rows]

    async def history(self, document_id: DocumentId, limit: int) -> Sequence[Event]:
        """The last events of a document, oldest first."""
        wanted = sa.select(_EVENT).where(_EVENT.c.document_id == document_id)
        wanted = wanted.order_by(_EVENT.c.position.desc()).limit(limit)
        rows = await self._database.aread(lambda connection: connection.execute(wanted).all())
        return [event_of(row) for row in reversed(rows)]

    async def oldest_undelivered(self) -> Mapping[str, datetime]:
        """When the oldest delivery that waits was handed in, by node."""
        return await self._database.aread(_oldest_undelivered)

    async def undelivered(self) -> Mapping[str, int]:
        """How many deliveries wait to be sealed, offered or answered, by node."""
        return await self._database.aread(_undelivered)

    async def unsealed(self) -> int:
        """How many statements wait for the sealer."""
        return await self._database.aread(_unsealed)


def _inbox_page(connection: Connection, page: PageRequest) -> InboxPage:
    found = _received_rows(connection, page)
    shown = found[: page.limit]
    rest = str(shown[-1]) if len(found) > page.limit else ""
    rows = sorted(
        select_by(connection, _ENTRIES_AT, shown), key=attrgetter("position"), reverse=True
    )
    return InboxPage(entries=inbox_entries(connection, rows), next=rest)


def _received_rows(connection: Connection, page: PageRequest) -> list[int]:
    """Positions of the documents of a page, newest first, and of one more if there is one.

    From the inbox alone: what an entry needs besides is read for those that are shown.
    """
    wanted = sa.select(INBOX.c.position).where(INBOX.c.operation != Operation.STATUS.value)
    if page.agencies:
        wanted = wanted.where(one_of(connection, INBOX.c.recipient, page.agencies))
    if page.state:
        wanted = wanted.where(INBOX.c.state == page.state)
    if page.after:
        wanted = wanted.where(INBOX.c.position < _cursor(page.after))
    wanted = wanted.where(*inbox_conditions(page.filters))
    ordered = wanted.order_by(INBOX.c.position.desc()).limit(page.limit + 1)
    return list(connection.scalars(ordered))


def _outbox_page(connection: Connection, page: PageRequest) -> OutboxPage:
    states = _states(page)
    found = _sent_rows(connection, page, states)
    shown = found[: page.limit]
    rest = str(shown[-1]) if len(found) > page.limit else ""
    rows = sorted(select_by(connection, _DOCUMENTS_OF, shown), key=attrgetter("id"), reverse=True)
    entries = outbox_entries(connection, rows, shown=SHOWN_IN_LISTS, states=states)
    return OutboxPage(entries=entries, next=rest)


def _sent_rows(connection: Connection, page: PageRequest, states: Sequence[str]) -> list[int]:
    """Rows of the documents of a page, newest first, and of one more if there is one."""
    wanted = sa.select(SENT.c.document_row)
    if page.agencies:
        wanted = wanted.where(one_of(connection, SENT.c.sender, page.agencies))
    if states:
        wanted = wanted.where(
            sa.exists().where(
                DELIVERY.c.document_row == SENT.c.document_row, DELIVERY.c.state.in_(states)
            )
        )
        if page.state == DeliveryState.HELD:  # few among many: found by their own index
            held = sa.select(DELIVERY.c.document_row).where(sa.text("state = 'held'"))
            wanted = wanted.where(SENT.c.document_row.in_(held))
    if page.after:
        wanted = wanted.where(SENT.c.document_row < _cursor(page.after))
    wanted = wanted.where(*sent_conditions(page.filters))
    ordered = wanted.order_by(SENT.c.document_row.desc()).limit(page.limit + 1)
    return list(connection.scalars(ordered))


def _deliveries(connection: Connection, sent: OutboxEntry, page: PageRequest) -> DeliveriesPage:
    wanted = sa.select(DELIVERY).where(DELIVERY.c.document_row == sent.position)
    if page.agencies:
        wanted = wanted.where(DELIVERY.c.recipient.in_(page.agencies))
    if states := _states(page):
        wanted = wanted.where(DELIVERY.c.state.in_(states))
    if page.after:
        wanted = wanted.where(DELIVERY.c.id > _cursor(page.after))
    rows = connection.execute(wanted.order_by(DELIVERY.c.id).limit(page.limit + 1)).all()
    shown = rows[: page.limit]
    document = connection.execute(DOCUMENTS.where(DOCUMENT.c.id == sent.position)).one()
    rest = str(shown[-1].id) if len(rows) > page.limit else ""
    return DeliveriesPage(entries=delivery_views(connection, document, shown), next=rest)


def _states(page: PageRequest) -> tuple[str, ...]:
    """The states of rows that a page asks for; empty: all."""
    if page.state == DeliveryState.QUEUED:
        return QUEUED_STATES
    return (page.state,) if page.state else ()


def _cursor(text: str) -> int:
    if not _CURSOR.fullmatch(text):
        raise RequestInvalidError(
            f"{text[:40]!r} is no cursor.", hint="Use `next` of the page before."
        )
    return int(text)


def _find(connection: Connection, text: str) -> Found:
    document_id, messages = _one_document(connection, text)
    return _load(connection, document_id, messages)


def find_document(connection: Connection, text: str) -> DocumentId:
    """The document that an id, a message id or a unique beginning of one names.

    Raises:
        DocumentUnknownError, IdAmbiguousError, RequestInvalidError: As ``OfficeStore.find``.
    """
    return DocumentId(_one_document(connection, text)[0])


def _one_document(connection: Connection, text: str) -> tuple[bytes, set[bytes]]:
    """The document that a text names, and the messages if it names those instead.

    Raises:
        DocumentUnknownError, IdAmbiguousError, RequestInvalidError: As ``OfficeStore.find``.
        DocumentQuarantinedError: It is kept apart, or waits for its scan.
    """
    low, high = id_span(text)
    by_document = set(_ids(connection, DOCUMENT.c.document_id, low, high))
    by_document |= set(_ids(connection, INBOX.c.document_id, low, high))
    sent = _messages(connection, DELIVERY, low, high)
    received = _messages(connection, INCOMING, low, high)
    documents = by_document | set(sent.values()) | set(received.values())
    if not documents:
        check_not_kept_back(connection, low, high)
        raise DocumentUnknownError(
            f"No document here has an id that begins with {text}.",
            hint="See: edocnode inbox, edocnode outbox",
            id=text,
        )
    if len(documents) > 1:
        raise IdAmbiguousError(
            f"{len(documents)} or more documents begin with {text}; give more of the id.",
            hint="The whole id is in: edocnode inbox --json, edocnode outbox --json",
            id=text,
        )
    messages = set() if by_document else sent.keys() | received.keys()
    return documents.pop(), messages


def _ids(
    connection: Connection, column: sa.Column[Any], low: bytes, high: bytes
) -> Iterable[bytes]:
    wanted = sa.select(column).where(column >= low, column <= high).distinct().limit(_MATCHES)
    return connection.scalars(wanted)


def _messages(
    connection: Connection, table: sa.Table, low: bytes, high: bytes
) -> dict[bytes, bytes]:
    """Document ids by message id; of messages that offices see."""
    wanted = sa.select(table.c.message_id, table.c.document_id).where(
        table.c.message_id >= low, table.c.message_id <= high
    )
    if table is INCOMING:
        wanted = wanted.where(
            sa.or_(
                sa.exists().where(INBOX.c.incoming_id == INCOMING.c.id),
                sa.exists().where(_VERSION.c.incoming_id == INCOMING.c.id),
            )
        )
    rows = connection.execute(wanted.limit(_MATCHES))
    return {row.message_id: row.document_id for row in rows}


def _load(connection: Connection, document_id: bytes, messages: set[bytes]) -> Found:
    received = connection.execute(
        INBOX_ENTRIES.where(INBOX.c.document_id == document_id).order_by(INBOX.c.position)
    ).all()
    entries = inbox_entries(connection, received, messages)
    named = tuple(each for each in entries if _is_named(each, messages)) or entries
    sent = connection.execute(
        DOCUMENTS.where(DOCUMENT.c.document_id == document_id).order_by(DOCUMENT.c.id)
    ).all()
    if not received and not sent:
        check_not_kept_back(connection, document_id, document_id)  # what has its sender's status
        raise DocumentUnknownError(
            f"Id {uuid_text(document_id)} is of a status, not of a document.",
            id=uuid_text(document_id),
        )
    if rows := _rows_of(connection, messages):  # a message names its version alone
        sent = [row for row in sent if row.id in rows]
    outgoing = outbox_entries(connection, sent[:1], shown=SHOWN_ALONE)
    return Found(
        received=named,
        sent=outgoing[0] if outgoing else None,
        message_id=MessageId(next(iter(messages))) if len(messages) == 1 else None,
        updates=outbox_entries(connection, sent[1:], shown=SHOWN_IN_LISTS),
    )


def _rows_of(connection: Connection, messages: set[bytes]) -> set[int]:
    """The documents, or versions of one, that messages sent from here carry."""
    return {row.document_row for row in select_by(connection, _ROW_OF, sorted(messages))}


def _is_named(entry: InboxEntry, messages: set[bytes]) -> bool:
    """Whether messages brought a document, or a version of it."""
    return bool({entry.message_id, *(each.message_id for each in entry.versions)} & messages)


def _inline_of(connection: Connection, found: Found) -> sa.Select[Any]:
    """The small parts of a document, as received or, when that was destroyed, as sent from here.

    Raises:
        DocumentRevokedError: It was received and destroyed.
        DocumentQuarantinedError: A scan found malware in it.
    """
    entry = found.received[0] if found.received else None
    if entry is not None and entry.state is not DocumentState.REVOKED:
        content = entry.content_id or entry.incoming_id
        check_not_blocked(connection, content, found.document.document_id)
        return sa.select(INCOMING.c.inline).where(INCOMING.c.id == content)
    if found.newest is None:
        raise DocumentRevokedError(
            f"Document {uuid_text(found.document.document_id)} was taken back by "
            f"{found.document.sender} and destroyed here.",
            hint=f"See: edocnode show {uuid_text(found.document.document_id)}",
            document_id=uuid_text(found.document.document_id),
        )
    return sa.select(DOCUMENT.c.inline).where(DOCUMENT.c.id == found.newest.position)


def _is_destroyed(connection: Connection, found: Found) -> bool:
    """Whether a document was received here and destroyed, so that its files are gone."""
    ids = [entry.content_id or entry.incoming_id for entry in found.received[:1]]
    gone = sa.select(_DESTROYED.c.incoming_id).where(_DESTROYED.c.incoming_id.in_(ids))
    return bool(ids) and found.sent is None and connection.scalar(gone) is not None


def _inline_part(connection: Connection, found: Found, index: int) -> bytes | None:
    document = found.document
    if index >= len(document.parts):
        raise DocumentUnknownError(
            f"Document {uuid_text(document.document_id)} has no part {index}.", part=str(index)
        )
    part = document.parts[index]
    wanted = _inline_of(
        connection, found
    )  # also for what lies elsewhere: nothing of a revoked one is read
    if part.size > INLINE_PART_BYTES and not _is_destroyed(connection, found):
        return None
    piece = inline_piece(document.parts, connection.scalars(wanted).first() or b"", index)
    if len(piece) != part.size:
        raise DocumentUnknownError(
            f"Part {index} of document {uuid_text(document.document_id)} is no longer here.",
            part=str(index),
        )
    if sha256(piece).hexdigest() != part.sha256:
        raise StorageDamagedError(
            f"Part {index} of document {uuid_text(document.document_id)} has other bytes in the "
            f"database than were sealed.",
            hint="It is asked for again from a node that has had it; try later.",
            sha256=part.sha256,
        )
    return piece


def _fetch(connection: Connection, consumer: str, limit: int) -> Sequence[InboxEntry]:
    after = connection.scalar(_place(consumer)) or 0
    wanted = INBOX_ENTRIES.where(INBOX.c.position > after).order_by(INBOX.c.position).limit(limit)
    return inbox_entries(connection, connection.execute(wanted).all())


def _acknowledge(connection: Connection, consumer: str, position: int) -> int:
    newest = connection.scalar(sa.select(sa.func.max(INBOX.c.position))) or 0
    wanted = min(position, newest)  # a place ahead of the inbox would skip documents to come
    insert_missing(connection, _CONSUMER, [{"name": _READER + consumer, "position": 0}])
    mine = _CONSUMER.c.name == _READER + consumer
    connection.execute(
        sa.update(_CONSUMER).where(mine, _CONSUMER.c.position < wanted).values(position=wanted)
    )
    return int(connection.execute(_place(consumer)).scalar_one())


def _place(consumer: str) -> sa.Select[Any]:
    return sa.select(_CONSUMER.c.position).where(_CONSUMER.c.name == _READER + consumer)


def _oldest_undelivered(connection: Connection) -> Mapping[str, datetime]:
    oldest: dict[str, int] = {}
    for state in _UNDELIVERED:
        wanted = (
            sa.select(DELIVERY.c.to_node, sa.func.min(DELIVERY.c.document_row).label("row"))
            .where(DELIVERY.c.state == sa.literal_column(f"'{state}'"))
            .group_by(DELIVERY.c.to_node)
        )
        for row in connection.execute(wanted):
            oldest[row.to_node] = min(row.row, oldest.get(row.to_node, row.row))
    created = {
        row.id: row.created_at for row in select_by(connection, _CREATED, sorted(oldest.values()))
    }
    return {node: created[row] for node, row in oldest.items()}


def _undelivered(connection: Connection) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for state in _UNDELIVERED:
        wanted = (
            sa.select(DELIVERY.c.to_node, sa.func.count().label("deliveries"))
            .where(DELIVERY.c.state == sa.literal_column(f"'{state}'"))
            .group_by(DELIVERY.c.to_node)
        )
        found.update({row.to_node: row.deliveries for row in connection.execute(wanted)})
    return found


def _unsealed(connection: Connection) -> int:
    waiting = (
        sa.select(sa.func.count()).where(DELIVERY.c.state == sa.literal_column("'unsealed'")),
        sa.select(sa.func.count()).where(_EFFECT.c.seal_id.is_(None)),
    )
    return sum(connection.scalar(count) or 0 for count in waiting) + count_waiting(connection)
