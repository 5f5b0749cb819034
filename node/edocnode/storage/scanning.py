"""What waits for its scan, and what becomes of it: see ``domain.scanning.ScanStore``."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.statements import Envelope
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
    Finding,
    ScanEntry,
    ScanJob,
    ScanOutcome,
    ScanPart,
    ScanState,
    Waiting,
    state_for,
)
from edocnode.storage.deciding import take_step
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.listing import inline_piece
from edocnode.storage.scan_gate import show_scanned
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, in_order
from edocnode.storage.steps import steps_taken
from edocnode.storage.tables import IncomingRow, table_of

PIECE = 500  # rows changed in one transaction
KEPT_APART = (ScanState.INFECTED.value, ScanState.HELD.value)

_INCOMING, _SCAN = table_of(IncomingRow), table_of(ScanRow)
_OPEN = (ScanState.WAITING.value, ScanState.AGAIN.value)
_IS_WAITING = sa.text("state = 'waiting'")
_SENDER = sa.select(sa.func.min(_SCAN.c.sender)).where(
    _IS_WAITING,
    _SCAN.c.lane == sa.bindparam("lane"),
    _SCAN.c.sender > sa.bindparam("after"),
)
_OLDEST = (
    sa.select(_SCAN.c.incoming_id, _SCAN.c.sender, _SCAN.c.lane, _SCAN.c.breaks)
    .where(
        _IS_WAITING,
        _SCAN.c.lane == sa.bindparam("lane"),
        _SCAN.c.sender == sa.bindparam("sender"),
    )
    .order_by(_SCAN.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_BROKEN = (
    sa.select(_SCAN.c.incoming_id, _SCAN.c.sender, _SCAN.c.lane, _SCAN.c.breaks)
    .where(
        sa.text("state = 'again'"),
        _SCAN.c.again_at <= sa.bindparam("now", type_=_SCAN.c.again_at.type),
    )
    .order_by(_SCAN.c.again_at)
    .limit(1)
)
_ONE = sa.select(_SCAN).where(_SCAN.c.incoming_id == sa.bindparam("of"))
_ARRIVAL = sa.select(_INCOMING).where(_INCOMING.c.id == sa.bindparam("of"))
_WAITING = sa.select(_SCAN.c.incoming_id).where(_IS_WAITING).limit(sa.bindparam("limit"))
_AGAIN = sa.select(_SCAN.c.incoming_id).where(sa.text("state = 'again'")).limit(PIECE)
_COUNTS = [
    sa.select(sa.func.count()).select_from(_SCAN).where(sa.text(f"state = '{state}'"))
    for state in _OPEN
]


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
            row = scan_row(connection, incoming_id)
            return scan_job_of(connection, row) if row is not None and row.state in _OPEN else None

        return await self._database.aread(read)

    async def settle_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Keeps an outcome with all that follows from it; False when it did not wait any more."""
        return await self._database.awrite(
            lambda connection: keep_outcome(connection, outcome, salts, waits=True)
        )

    async def scan_broke(self, incoming_id: IncomingId, *, breaks: int, again_at: datetime) -> None:
        """Lets an arrival wait after a scan that the scanner did not survive or finish."""
        change = sa.update(_SCAN).where(
            _SCAN.c.incoming_id == incoming_id, _SCAN.c.state.in_(_OPEN)
        )
        change = change.values(state=ScanState.AGAIN.value, breaks=breaks, again_at=again_at)
        await self._database.awrite(lambda connection: connection.execute(change))

    async def hold_unjudged(self, incoming_id: IncomingId, finding: Finding, at: datetime) -> bool:
        """Holds an arrival that could not be judged; False when it did not wait any more."""
        return await self._database.awrite(
            lambda connection: _hold(connection, incoming_id, finding, at)
        )

    async def show_unscanned(self, limit: int) -> int:
        """Shows what waits for a scanner that is no longer wanted; returns how many."""
        return await self._database.awrite(lambda connection: _show_unscanned(connection, limit))

    async def waiting_scans(self) -> int:
        """How many arrivals wait for their scan."""
        return await self._database.aread(
            lambda connection: sum(connection.scalar(count) or 0 for count in _COUNTS)
        )


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


def scan_row(connection: Connection, incoming_id: int) -> AnyRow | None:
    """The scan of an arrival; None when it has none."""
    return connection.execute(_ONE, {"of": incoming_id}).one_or_none()


def scan_job_of(connection: Connection, row: AnyRow) -> ScanJob:
    """An arrival with its parts, by the row of its scan."""
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
        shown=bool(row.shown),
        blocked=bool(row.blocked),
        steps=steps,
    )


def keep_outcome(
    connection: Connection, outcome: ScanOutcome, salts: Sequence[bytes], *, waits: bool
) -> bool:
    """Keeps an outcome, if its arrival still waits for a scan, or still does not."""
    in_order(connection)
    incoming_id = outcome.subject.incoming_id
    row = scan_row(connection, incoming_id)
    if row is None or row.state not in (_OPEN if waits else KEPT_APART):
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
        tell_of(connection, EventKind.DOCUMENT_QUARANTINED, row, outcome.at)
    if outcome.effect is not None:
        add_effect(connection, effect_salt, outcome.effect)
    return True


def _hold(connection: Connection, incoming_id: int, finding: Finding, at: datetime) -> bool:
    """Reads nothing but the row: what the arrival brought is what could not be read."""
    in_order(connection)
    row = scan_row(connection, incoming_id)
    if row is None or row.state not in _OPEN:
        return False
    change = sa.update(_SCAN).where(_SCAN.c.incoming_id == incoming_id)
    values = {
        "state": ScanState.HELD.value,
        "again_at": None,
        "finding": encode_finding(finding),
        "scanner": "",
        "scanned_at": at,
    }
    connection.execute(change.values(values))
    if not row.finding:
        tell_of(connection, EventKind.DOCUMENT_QUARANTINED, row, at)
    return True


def tell_of(connection: Connection, kind: EventKind, row: AnyRow, at: datetime) -> None:
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
        before = scan_entry_of(row).finding
        values = {"state": ScanState.RELEASED.value, "shown": 1, "blocked": 0}
        if before is not None:
            values = {"state": state_for(before).value}
        change = sa.update(_SCAN).where(_SCAN.c.incoming_id == row.incoming_id)
        connection.execute(change.values(again_at=None, **values))
    return len(ids)


def _never_scanned(row: AnyRow) -> bool:
    return not row.shown and not row.finding


def _waiting(row: AnyRow) -> Waiting:
    return Waiting(
        incoming_id=IncomingId(row.incoming_id),
        sender=row.sender,
        lane=Lane(row.lane),
        breaks=row.breaks,
    )


def scan_entry_of(row: AnyRow) -> ScanEntry:
    """An arrival as an administrator sees it, by the row of its scan."""
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
