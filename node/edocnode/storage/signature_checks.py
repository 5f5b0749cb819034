"""Documents that wait for a check of their signatures, and verdicts: see ``SignatureChecks``.

Rows come with what they belong to: at the sender in the transaction that keeps the document, at the
recipient in the one that shows it. So nothing is forgotten by a restart, and what has no PDF or XML
part costs nothing here.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import StorageDamagedError
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Part
from edockit.database import Database
from edocnode.domain.encryption import is_encrypted
from edocnode.domain.model import (
    INLINE_PART_BYTES,
    DocumentId,
    Lane,
    ReceiptDraft,
    Submission,
)
from edocnode.domain.signature_checks import (
    CHECKS_AT_ONCE,
    CheckJob,
    CheckPlace,
    Side,
    SignatureCheck,
)
from edocnode.domain.signatures import (
    CHECKER_VERSION,
    CheckState,
    DocumentVerdict,
    LegalStatus,
    PartToCheck,
    decode_verdict,
    encode_verdict,
    has_parts_to_check,
    kind_to_check,
)
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.listing import decode_parts, inline_piece
from edocnode.storage.signature_tables import SignatureCheckRow
from edocnode.storage.sql import (
    AnyRow,
    Row,
    among,
    change_each,
    insert_missing,
    select_by,
    select_plain,
)
from edocnode.storage.tables import DocumentRow, IncomingRow, table_of

LEGAL_STATUS = (  # as ``legal`` and ``counted`` number them
    LegalStatus.NOT_CHECKED,
    LegalStatus.REPLACES_PAPER,
    LegalStatus.REFERENCE_ONLY,
)

_CHECK = table_of(SignatureCheckRow)
_DOCUMENT = table_of(DocumentRow)
_INCOMING = table_of(IncomingRow)

_KEY = (_CHECK.c.side, _CHECK.c.owner)
_NEXT = (
    sa.select(_CHECK)
    .where(sa.text("state = 'pending'"))
    .order_by(_CHECK.c.lane, _CHECK.c.side, _CHECK.c.owner)
    .limit(1)
)
_PIECES = {
    state: sa.select(*_KEY)
    .where(sa.text(f"state = '{state}'"))
    .order_by(*_KEY)
    .limit(sa.bindparam("limit"))
    for state in ("pending", "skipped")
}
_MINE = (_CHECK.c.side == sa.bindparam("on_side"), _CHECK.c.owner == sa.bindparam("of"))
_SKIP = (
    sa.update(_CHECK)
    .where(*_MINE)
    .values(state="skipped", verdict=sa.bindparam("instead"), legal=0)
)
_RESUME = sa.update(_CHECK).where(*_MINE).values(state="pending")
_ASIDE = "aside"
_SET_ASIDE = (
    sa.select(_CHECK.c.document_id)
    .where(sa.text("state = 'aside'"))
    .order_by(_CHECK.c.checked_at.desc())
    .limit(sa.bindparam("limit"))
)
_OF_OWNERS = {
    side: sa.select(_CHECK.c.owner, _CHECK.c.state, _CHECK.c.verdict).where(
        _CHECK.c.side == side.value, among(_CHECK.c.owner)
    )
    for side in Side
}


class SqlSignatureChecks:
    """See ``domain.signature_checks.SignatureChecks``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def next_check(self) -> CheckPlace | None:
        """The most urgent document that waits for its check; None when none does."""
        return await self._database.aread(_next)

    async def check_job(self, place: CheckPlace) -> CheckJob:
        """A document with its parts; without any when it is gone."""
        return await self._database.aread(lambda connection: _job(connection, place))

    async def settle_check(self, place: CheckPlace, verdict: DocumentVerdict) -> None:
        """Keeps a verdict and tells of it, unless the document was settled or is gone."""
        state = CheckState.DONE.value
        await self._database.awrite(lambda connection: _settle(connection, place, verdict, state))

    async def set_check_aside(self, place: CheckPlace, verdict: DocumentVerdict) -> None:
        """The same of a document that could not be judged; it waits for ``recheck``."""
        await self._database.awrite(lambda connection: _settle(connection, place, verdict, _ASIDE))

    async def checks_set_aside(self, limit: int) -> Sequence[DocumentId]:
        """Documents that were set aside and not checked since, the newest first."""
        found = await self._database.aread(
            lambda connection: connection.scalars(_SET_ASIDE, {"limit": limit}).all()
        )
        return [DocumentId(document_id) for document_id in found]

    async def skip_checks(self, verdict: DocumentVerdict) -> int:
        """Settles up to ``CHECKS_AT_ONCE`` of what waits, unchecked; returns how many."""
        changes = {"instead": encode_verdict(verdict)}
        return await self._database.awrite(
            lambda connection: _change_piece(connection, "pending", _SKIP, changes)
        )

    async def resume_checks(self) -> int:
        """Makes up to ``CHECKS_AT_ONCE`` that were skipped wait again; returns how many."""
        return await self._database.awrite(
            lambda connection: _change_piece(connection, "skipped", _RESUME, {})
        )

    async def recheck(self, document_id: DocumentId) -> int:
        """Makes the checks of a document wait again, on both sides; returns how many."""
        again = sa.update(_CHECK).where(_CHECK.c.document_id == document_id)
        again = again.values(state=CheckState.PENDING.value)
        return await self._database.awrite(lambda connection: connection.execute(again).rowcount)

    async def recheck_after(
        self, place: tuple[str, int], before: datetime
    ) -> tuple[int, tuple[str, int] | None]:
        """Makes a bounded piece of all checks wait again; returns how many, and the next place."""
        return await self._database.awrite(
            lambda connection: _recheck_piece(connection, place, before)
        )

    async def waiting_checks(self) -> int:
        """How many documents wait for their check."""
        count = sa.select(sa.func.count()).select_from(_CHECK).where(sa.text("state = 'pending'"))
        return await self._database.aread(lambda connection: connection.scalar(count) or 0)


def wait_for_checks(connection: Connection, new: Sequence[tuple[Submission, int]]) -> None:
    """Notes documents that were kept now, in these rows, and have parts to be checked."""
    rows = [_sent(each, row) for each, row in new if has_parts_to_check(each.parts)]
    insert_missing(connection, _CHECK, rows)


def wait_for_received(connection: Connection, shown: Sequence[ReceiptDraft]) -> None:
    """Notes documents that are shown from now on and have parts to be checked."""
    insert_missing(connection, _CHECK, [_received(each) for each in shown])


def check_repaired(connection: Connection, side: Side, owners: Sequence[int]) -> None:
    """Makes checks wait again that found a part missing or damaged, now that it is back."""
    for row in select_by(connection, _OF_OWNERS[side], owners):
        if row.state == CheckState.DONE.value and _lacked_a_part(row.verdict):
            mine = (_CHECK.c.side == side.value, _CHECK.c.owner == row.owner)
            again = sa.update(_CHECK).where(*mine).values(state=CheckState.PENDING.value)
            connection.execute(again)


def _lacked_a_part(verdict: bytes | None) -> bool:
    try:
        return verdict is not None and decode_verdict(verdict).lacks_a_part
    except StorageDamagedError:
        return True


def checks_of(
    connection: Connection, side: Side, owners: Sequence[int]
) -> dict[int, SignatureCheck]:
    """Where checks stand, by row of the document; those without parts to check are absent."""
    found = select_by(connection, _OF_OWNERS[side], owners)
    return {row.owner: _check(row) for row in found}


def _check(row: AnyRow) -> SignatureCheck:
    if row.state == CheckState.PENDING.value or row.verdict is None:
        return SignatureCheck(state=CheckState.PENDING, verdict=None)
    try:
        verdict = decode_verdict(row.verdict)
    except StorageDamagedError:  # told as such in its place; the list goes on
        return SignatureCheck(state=CheckState.DONE, verdict=None)
    return SignatureCheck(state=CheckState.DONE, verdict=verdict)


def _sent(submission: Submission, row: int) -> Row:
    return {
        "side": Side.SENT.value,
        "owner": row,
        "document_id": submission.document_id,
        "message_id": b"",
        "agency": submission.sender,
        "lane": Lane.of(submission.urgency).value,
        "state": CheckState.PENDING.value,
        "known_at": submission.created,
        "checker": 0,
        "legal": 0,
        "counted": 0,
    }


def _received(draft: ReceiptDraft) -> Row:
    return {
        "side": Side.RECEIVED.value,
        "owner": draft.incoming_id,
        "document_id": draft.document_id,
        "message_id": draft.message_id,
        "agency": draft.sender,
        "lane": draft.lane.value,
        "state": CheckState.PENDING.value,
        "known_at": draft.kept_at,
        "checker": 0,
        "legal": 0,
        "counted": 0,
    }


def _next(connection: Connection) -> CheckPlace | None:
    row = connection.execute(_NEXT).one_or_none()
    if row is None:
        return None
    document_id = DocumentId(row.document_id)
    return CheckPlace(side=Side(row.side), owner=row.owner, document_id=document_id)


def _job(connection: Connection, place: CheckPlace) -> CheckJob:
    mine = (_CHECK.c.side == place.side.value, _CHECK.c.owner == place.owner)
    known_at = connection.scalars(sa.select(_CHECK.c.known_at).where(*mine)).one()
    sender, parts, inline = _content(connection, place)
    return CheckJob(
        side=place.side,
        owner=place.owner,
        document_id=place.document_id,
        parts=tuple(
            PartToCheck(
                index=part.index,
                name=part.name,
                kind=kind,
                size=part.size,
                sha256=part.sha256,
                known_at=known_at,
                data=b"" if part.size > INLINE_PART_BYTES else inline_piece(parts, inline, place),
                encrypted_from=sender if is_encrypted(part) else "",
            )
            for place, part in enumerate(parts)
            if place and (kind := kind_to_check(part.name, part.media_type))
        ),
    )


def _content(connection: Connection, check: CheckPlace) -> tuple[str, tuple[Part, ...], bytes]:
    """Sender and all parts of a document, and the bytes of small ones; empty when it is gone."""
    if check.side is Side.SENT:
        sent = sa.select(_DOCUMENT.c.sender, _DOCUMENT.c.parts, _DOCUMENT.c.inline)
        found = connection.execute(sent.where(_DOCUMENT.c.id == check.owner)).one_or_none()
        return ("", (), b"") if found is None else (found[0], decode_parts(found[1]), found[2])
    wanted = sa.select(_INCOMING.c.envelope, _INCOMING.c.inline)
    row = connection.execute(wanted.where(_INCOMING.c.id == check.owner)).one_or_none()
    if row is None:
        return "", (), b""
    envelope = canonical.decode(row.envelope, Envelope)
    return envelope.from_, envelope.parts, row.inline


def _settle(
    connection: Connection, place: CheckPlace, verdict: DocumentVerdict, state: str
) -> None:
    mine = (_CHECK.c.side == place.side.value, _CHECK.c.owner == place.owner)
    changed = connection.execute(
        sa.update(_CHECK)
        .where(*mine, _CHECK.c.state == CheckState.PENDING.value)
        .values(
            state=state,
            verdict=encode_verdict(verdict),
            legal=LEGAL_STATUS.index(verdict.legal_status),
            checker=CHECKER_VERSION,
            checked_at=verdict.checked_at,
        )
    )
    if not changed.rowcount:
        return
    row = connection.execute(sa.select(_CHECK).where(*mine)).one()
    event = event_values(
        EventKind.SIGNATURES_CHECKED,
        row.document_id,
        row.message_id,
        agency=row.agency,
        at=verdict.checked_at,
    )
    tell(connection, [event])


def _change_piece(connection: Connection, state: str, change: sa.Update, values: Row) -> int:
    """Changes up to ``CHECKS_AT_ONCE`` rows of a state, which then have another."""
    rows = select_plain(connection, _PIECES[state], {"limit": CHECKS_AT_ONCE})
    for side in Side:
        mine = {"on_side": side.value, **values}
        owners = [row.owner for row in rows if row.side == side.value]
        change_each(connection, change, [{**mine, "of": owner} for owner in owners])
    return len(rows)


def _recheck_piece(
    connection: Connection, place: tuple[str, int], before: datetime
) -> tuple[int, tuple[str, int] | None]:
    behind = sa.tuple_(*_KEY) > sa.tuple_(sa.literal(place[0]), sa.literal(place[1]))
    wanted = sa.select(_CHECK).where(behind).order_by(*_KEY).limit(CHECKS_AT_ONCE)
    rows = connection.execute(wanted).all()
    again = [row for row in rows if row.checked_at is not None and row.checked_at < before]
    for row in again:
        connection.execute(
            sa.update(_CHECK)
            .where(_CHECK.c.side == row.side, _CHECK.c.owner == row.owner)
            .values(state=CheckState.PENDING.value)
        )
    return len(again), (rows[-1].side, rows[-1].owner) if len(rows) == CHECKS_AT_ONCE else None
