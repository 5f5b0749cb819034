"""What waits for its scan, and what was found: see ``domain.scanning``."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import DocumentUnknownError, IdAmbiguousError
from edoccore.office_errors import DocumentHeldError
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Operation, Result, uuid_text
from edockit.database import Database
from edocnode.domain.encryption import place_in
from edocnode.domain.model import (
    INLINE_PART_BYTES,
    DocumentId,
    IncomingId,
    Lane,
    MessageId,
)
from edocnode.domain.office_model import Subject
from edocnode.domain.scanning import (
    Discard,
    Finding,
    ScanEntry,
    ScanJob,
    ScanOutcome,
    ScanPart,
    ScanState,
    Waiting,
    state_for,
)
from edocnode.storage.awaiting import ARRIVALS, receipt_draft
from edocnode.storage.deciding import take_step
from edocnode.storage.destroying import destroy
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.holds import is_held
from edocnode.storage.ids import id_span
from edocnode.storage.listing import inline_piece
from edocnode.storage.scan_gate import scan_values, show_scanned
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, among, in_order, insert_missing, select_by
from edocnode.storage.steps import steps_taken
from edocnode.storage.tables import InboxRow, IncomingRow, table_of
from edocnode.storage.workflow_tables import DestroyedRow

PIECE = 500  # rows changed in one transaction
_MATCHES = 20  # more need not be read to know that an id is ambiguous

_DESTROYED, _INCOMING = table_of(DestroyedRow), table_of(IncomingRow)
_INBOX, _SCAN = table_of(InboxRow), table_of(ScanRow)
_OPEN = (ScanState.WAITING.value, ScanState.AGAIN.value)
_APART = (ScanState.INFECTED.value, ScanState.HELD.value)
_IS_WAITING = sa.text("state = 'waiting'")
_SENDER = sa.select(sa.func.min(_SCAN.c.sender)).where(
    _IS_WAITING,
    _SCAN.c.lane == sa.bindparam("lane"),
    _SCAN.c.sender > sa.bindparam("after"),
)
_OLDEST = (
    sa.select(_SCAN.c.incoming_id, _SCAN.c.sender, _SCAN.c.lane)
    .where(
        _IS_WAITING,
        _SCAN.c.lane == sa.bindparam("lane"),
        _SCAN.c.sender == sa.bindparam("sender"),
    )
    .order_by(_SCAN.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_BROKEN = (
    sa.select(_SCAN.c.incoming_id, _SCAN.c.sender, _SCAN.c.lane)
    .where(
        sa.text("state = 'again'"),
        _SCAN.c.again_at <= sa.bindparam("now", type_=_SCAN.c.again_at.type),
    )
    .order_by(_SCAN.c.again_at)
    .limit(1)
)
_ONE = sa.select(_SCAN).where(_SCAN.c.incoming_id == sa.bindparam("of"))
_ARRIVAL = sa.select(_INCOMING).where(_INCOMING.c.id == sa.bindparam("of"))
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
_WAITING = sa.select(_SCAN.c.incoming_id).where(_IS_WAITING).limit(sa.bindparam("limit"))
_AGAIN = sa.select(_SCAN.c.incoming_id).where(sa.text("state = 'again'")).limit(PIECE)
_COUNTS = [
    sa.select(sa.func.count()).select_from(_SCAN).where(sa.text(f"state = '{state}'"))
    for state in _OPEN
]
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


class SqlScans:
    """See ``domain.scanning``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def next_scans(self, limit: int, *, after: Mapping[int, str]) -> Sequence[Waiting]:
        """What is to be scanned next, urgent first, in turns between senders."""
        return await self._database.aread(lambda connection: _next(connection, limit, after))

    async def broken_scans(self, now: datetime) -> Waiting | None:
        """What broke the scanner before and whose time has come."""
        rows = await self._database.aread(
            lambda connection: connection.execute(_BROKEN, {"now": now}).all()
        )
        return next((_waiting(row) for row in rows), None)

    async def scan_job(self, incoming_id: IncomingId) -> ScanJob | None:
        """An arrival with its parts; None when it does not wait any more."""

        def read(connection: Connection) -> ScanJob | None:
            row = connection.execute(_ONE, {"of": incoming_id}).one_or_none()
            return _job(connection, row) if row is not None and row.state in _OPEN else None

        return await self._database.aread(read)

    async def settle_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Keeps an outcome with all that follows from it; False when it did not wait any more."""
        return await self._database.awrite(
            lambda connection: _keep(connection, outcome, salts, waits=True)
        )

    async def scan_broke(self, incoming_id: IncomingId, *, breaks: int, again_at: datetime) -> None:
        """Lets an arrival wait after a scan that the scanner did not survive or finish."""
        change = sa.update(_SCAN).where(
            _SCAN.c.incoming_id == incoming_id, _SCAN.c.state.in_(_OPEN)
        )
        change = change.values(state=ScanState.AGAIN.value, breaks=breaks, again_at=again_at)
        await self._database.awrite(lambda connection: connection.execute(change))

    async def show_unscanned(self, limit: int) -> int:
        """Shows what waits for a scanner that is no longer wanted; returns how many."""
        return await self._database.awrite(lambda connection: _show_unscanned(connection, limit))

    async def waiting_scans(self) -> int:
        """How many arrivals wait for their scan."""
        return await self._database.aread(
            lambda connection: sum(connection.scalar(count) or 0 for count in _COUNTS)
        )

    async def scans(self, after: int, limit: int) -> Sequence[ScanEntry]:
        """Arrivals that are infected or held, oldest first."""
        rows = await self._database.aread(
            lambda connection: connection.execute(
                _KEPT_APART, {"after": after, "limit": limit}
            ).all()
        )
        return [_entry(row) for row in rows]

    async def scan_entry(self, message_id: MessageId) -> ScanEntry | None:
        """The scan of a received message; None when there is none."""

        def read(connection: Connection) -> ScanEntry | None:
            row = _of_message(connection, message_id)
            return None if row is None else _entry(row)

        return await self._database.aread(read)

    async def received_named(self, text: str) -> Sequence[MessageId]:
        """Messages that brought the document, or the version, that an id or its beginning names."""
        return await self._database.aread(lambda connection: _named(connection, text))

    async def scan_subject(self, message_id: MessageId) -> ScanJob | None:
        """A received message that is kept apart, for a decision on it."""

        def read(connection: Connection) -> ScanJob | None:
            row = _of_message(connection, message_id)
            return None if row is None else _job(connection, row)

        return await self._database.aread(read)

    async def release_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Lets an arrival through; False when something changed meanwhile."""
        return await self._database.awrite(
            lambda connection: _keep(connection, outcome, salts, waits=False)
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


def encode_finding(finding: Finding | None) -> str:
    """A finding as JSON; empty when there is none."""
    return "" if finding is None else msgspec.json.encode(finding).decode()


def _next(connection: Connection, limit: int, after: Mapping[int, str]) -> list[Waiting]:
    """Every lane gives the oldest of each sender in turn; the lowest always has some places."""
    found: list[Waiting] = []
    for lane in Lane:
        room = limit - len(found)
        if lane is not Lane.NORMAL:
            room = min(room, limit - max(limit // 4, 1))
        found += _of_lane(connection, lane.value, room, after.get(lane.value, ""))
    return found


def _of_lane(connection: Connection, lane: int, room: int, after: str) -> list[Waiting]:
    if room <= 0:
        return []
    senders = _senders(connection, lane, room, after)
    share = max(room // max(len(senders), 1), 1)
    columns = [
        connection.execute(_OLDEST, {"lane": lane, "sender": sender, "limit": share}).all()
        for sender in senders
    ]
    turns = [column[place] for place in range(share) for column in columns if place < len(column)]
    return [_waiting(row) for row in turns[:room]]


def _senders(connection: Connection, lane: int, room: int, after: str) -> list[str]:
    """So many senders at the most, beginning behind one and coming round to it."""
    found: list[str] = []
    place, came_round = after, not after
    while len(found) < room:
        sender = connection.scalar(_SENDER, {"lane": lane, "after": place})
        if sender is None and not came_round:
            place, came_round = "", True
            continue
        if sender is None or sender in found:
            break
        found.append(sender)
        place = sender
    return found


def _job(connection: Connection, row: AnyRow) -> ScanJob:
    arrival = connection.execute(_ARRIVAL, {"of": row.incoming_id}).one()
    envelope = canonical.decode(arrival.envelope, Envelope)
    parts = tuple(
        ScanPart(
            index=part.index,
            name=part.name,
            size=part.size,
            sha256=part.sha256,
            data=b""
            if part.size > INLINE_PART_BYTES
            else inline_piece(envelope.parts, arrival.inline, place),
            encrypted=place_in(envelope, part),
        )
        for place, part in enumerate(envelope.parts)
    )
    subject = Subject(
        incoming_id=IncomingId(arrival.id),
        message_id=MessageId(arrival.message_id),
        document_id=DocumentId(arrival.document_id),
        sender=arrival.sender,
        signer=arrival.signer,
        recipient=arrival.recipient,
        envelope_digest=arrival.digest,
        urgency=envelope.urgency,
    )
    steps = steps_taken(connection, [arrival.id]).get(arrival.id, ())
    return ScanJob(
        subject=subject,
        parts=parts,
        breaks=row.breaks,
        shown=bool(row.shown),
        blocked=bool(row.blocked),
        steps=steps,
    )


def _keep(
    connection: Connection, outcome: ScanOutcome, salts: Sequence[bytes], *, waits: bool
) -> bool:
    """Keeps an outcome, if its arrival still waits for a scan, or still does not."""
    in_order(connection)
    incoming_id = outcome.subject.incoming_id
    row = connection.execute(_ONE, {"of": incoming_id}).one_or_none()
    if row is None or row.state not in (_OPEN if waits else _APART):
        return False
    plan_salt, effect_salt = salts
    if outcome.plan is not None and not take_step(connection, outcome.plan, plan_salt):
        return False  # somebody took a step meanwhile; it is judged again
    lets_through = outcome.state in (ScanState.CLEAN, ScanState.RELEASED)
    if lets_through and not row.shown:
        show_scanned(connection, [incoming_id])
    is_blocked = not lets_through and (outcome.state is ScanState.INFECTED or bool(row.blocked))
    values: dict[str, object] = {
        "state": outcome.state.value,
        "shown": int(row.shown or lets_through),
        "blocked": int(is_blocked),
        "again_at": None,
    }
    if outcome.scanner:
        values |= {
            "finding": encode_finding(outcome.finding),
            "scanner": outcome.scanner,
            "scanned_at": outcome.at,
        }
    connection.execute(sa.update(_SCAN).where(_SCAN.c.incoming_id == incoming_id).values(values))
    if outcome.finding is not None and not row.finding:
        _tell(connection, EventKind.DOCUMENT_QUARANTINED, row, outcome.at)
    if outcome.effect is not None:
        add_effect(connection, effect_salt, outcome.effect)
    return True


def _discard(connection: Connection, discard: Discard, salts: Sequence[bytes]) -> bool:
    """Destroys an arrival, if it is still kept apart and nobody has seen it."""
    in_order(connection)
    subject = discard.subject
    row = connection.execute(_ONE, {"of": subject.incoming_id}).one_or_none()
    if row is None or row.state not in _APART or row.shown:
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
    _tell(connection, EventKind.DOCUMENT_DISCARDED, row, discard.at)
    return True


def _tell(connection: Connection, kind: EventKind, row: AnyRow, at: datetime) -> None:
    """Lets offices know of a document that they may not open."""
    event = event_values(kind, row.document_id, row.message_id, agency=row.sender, at=at)
    tell(connection, [event])


def _show_unscanned(connection: Connection, limit: int) -> int:
    """Shows what waits; what was to be scanned again stays as it was found before."""
    in_order(connection)
    ids = list(connection.scalars(_WAITING, {"limit": limit})) or list(connection.scalars(_AGAIN))
    rows = [connection.execute(_ONE, {"of": incoming_id}).one() for incoming_id in ids]
    show_scanned(connection, sorted(row.incoming_id for row in rows if _never_scanned(row)))
    for row in rows:
        before = _entry(row).finding
        values = {"state": ScanState.RELEASED.value, "shown": 1, "blocked": 0}
        if before is not None:
            values = {"state": state_for(before).value}
        change = sa.update(_SCAN).where(_SCAN.c.incoming_id == row.incoming_id)
        connection.execute(change.values(again_at=None, **values))
    return len(ids)


def _never_scanned(row: AnyRow) -> bool:
    return not row.shown and not row.finding


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
        row = connection.execute(_ONE, {"of": found.id}).one_or_none()
        if row is not None:
            return row
    return None


def _waiting(row: AnyRow) -> Waiting:
    return Waiting(incoming_id=IncomingId(row.incoming_id), sender=row.sender, lane=Lane(row.lane))


def _entry(row: AnyRow) -> ScanEntry:
    finding = msgspec.json.decode(row.finding.encode(), type=Finding) if row.finding else None
    return ScanEntry(
        place=row.incoming_id,
        document_id=DocumentId(row.document_id),
        message_id=MessageId(row.message_id),
        sender=row.sender,
        recipient=row.recipient,
        state=ScanState(row.state),
        shown=bool(row.shown),
        blocked=bool(row.blocked),
        received_at=row.received_at,
        scanned_at=row.scanned_at,
        finding=finding,
        scanner=row.scanner,
    )
