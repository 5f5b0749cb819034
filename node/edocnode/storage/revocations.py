"""Revocations that arrive, and what they destroy: see ``domain.revoking.ReceivedRevocations``.

Two steps, as everywhere: first the document becomes inaccessible and its status is kept, in one
transaction; then its files go. A node that dies between goes on with the files at its start.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.statements import Envelope
from edockit.database import Database
from edocnode.domain.model import DocumentId, IncomingId, MessageId
from edocnode.domain.office_model import InboxEntry, RevocationState
from edocnode.domain.revoking import ReceivedRevocation, RevocationAnswer
from edocnode.domain.setting_aside import Waiting
from edocnode.storage.deciding import take_step
from edocnode.storage.destroying import conceal, destroy
from edocnode.storage.holds import hold_on
from edocnode.storage.listing import large_parts
from edocnode.storage.office_views import INBOX_ENTRIES, inbox_entries
from edocnode.storage.scan_gate import conceal_hidden, hidden_of
from edocnode.storage.sql import AnyRow, Row, change_each, in_order
from edocnode.storage.tables import InboxRow, IncomingRow, StageRow, table_of
from edocnode.storage.waiting import waiting
from edocnode.storage.workflow_tables import DestroyedRow, RevocationRow, VersionRow

_DESTROYED, _REVOCATION = table_of(DestroyedRow), table_of(RevocationRow)
_STAGE = table_of(StageRow)
_INBOX, _INCOMING, _VERSION = table_of(InboxRow), table_of(IncomingRow), table_of(VersionRow)

_WITH_MESSAGE = sa.select(
    _REVOCATION,
    _INCOMING.c.message_id,
    _INCOMING.c.signer,
    _INCOMING.c.digest,
    _INCOMING.c.envelope.label("statement"),
).select_from(_REVOCATION.join(_INCOMING, _INCOMING.c.id == _REVOCATION.c.incoming_id))
_IS_HERE = sa.exists().where(
    _INBOX.c.document_id == _REVOCATION.c.document_id,
    _INBOX.c.sender == _REVOCATION.c.sender,
    _INBOX.c.recipient == _REVOCATION.c.recipient,
)
_IS_PENDING = sa.text("revocation.state = 'pending'")
_PENDING = (
    sa.select(_REVOCATION.c.incoming_id.label("place"), _REVOCATION.c.document_id)
    .where(_IS_PENDING)
    .order_by(_REVOCATION.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_PENDING_AT = _WITH_MESSAGE.where(_REVOCATION.c.incoming_id == sa.bindparam("of"), _IS_PENDING)
_PENDING_NOT_HERE = _PENDING.where(~_IS_HERE)
_NEWEST_OF = (
    _WITH_MESSAGE.where(
        _REVOCATION.c.document_id == sa.bindparam("document_id"),
        _REVOCATION.c.sender == sa.bindparam("sender"),
        _REVOCATION.c.recipient == sa.bindparam("recipient"),
    )
    .order_by(_REVOCATION.c.incoming_id.desc())
    .limit(1)
)
_ENTRIES_OF = INBOX_ENTRIES.where(
    _INBOX.c.document_id == sa.bindparam("document_id"),
    _INBOX.c.sender == sa.bindparam("sender"),
    _INBOX.c.recipient == sa.bindparam("recipient"),
).order_by(_INBOX.c.position)
_ANSWER = (
    sa.update(_REVOCATION)
    .where(_REVOCATION.c.incoming_id == sa.bindparam("of"))
    .values(state=sa.bindparam("to_state"))
)
_STATE_OF = sa.select(_REVOCATION.c.state).where(_REVOCATION.c.incoming_id == sa.bindparam("of"))
_ARRIVALS_OF = sa.select(_INBOX.c.incoming_id).where(
    _INBOX.c.document_id == sa.bindparam("document_id"),
    _INBOX.c.sender == sa.bindparam("sender"),
    _INBOX.c.recipient == sa.bindparam("recipient"),
)
_FILES = (
    sa.select(_DESTROYED.c.incoming_id.label("place"), _INCOMING.c.document_id)
    .select_from(_DESTROYED.join(_INCOMING, _INCOMING.c.id == _DESTROYED.c.incoming_id))
    .where(sa.text("destroyed.files = 1"), _DESTROYED.c.incoming_id > sa.bindparam("after"))
    .order_by(_DESTROYED.c.incoming_id)
    .limit(sa.bindparam("limit"))
)
_ENVELOPE_OF = sa.select(_INCOMING.c.envelope).where(_INCOMING.c.id == sa.bindparam("of"))
_NO_FILES = (
    sa.update(_DESTROYED).where(_DESTROYED.c.incoming_id == sa.bindparam("of")).values(files=0)
)
_END_OFFER = (  # of which some parts may have come: its files go with the next sweep
    sa.update(_STAGE)
    .where(
        _STAGE.c.sender == sa.bindparam("of_sender"), _STAGE.c.digest == sa.bindparam("envelope")
    )
    .values(ended=1, expires_at=sa.bindparam("at", type_=_STAGE.c.expires_at.type))
)
_VERSIONS_OF = sa.select(_VERSION.c.incoming_id).where(
    _VERSION.c.document_id == sa.bindparam("document_id"),
    _VERSION.c.sender == sa.bindparam("sender"),
    _VERSION.c.recipient == sa.bindparam("recipient"),
)


class SqlReceivedRevocations:
    """See ``domain.revoking.ReceivedRevocations``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def open_revocations(
        self, limit: int, *, asks: bool, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Revocations to be answered now, oldest first."""
        wanted = _PENDING_NOT_HERE if asks else _PENDING
        return await self._database.aread(
            lambda connection: waiting(connection, wanted, limit, without)
        )

    async def revocation_at(self, place: int) -> ReceivedRevocation | None:
        """A revocation to be answered; None when it has its answer by now."""

        def read(connection: Connection) -> ReceivedRevocation | None:
            row = connection.execute(_PENDING_AT, {"of": place}).one_or_none()
            return None if row is None else _received(connection, row)

        return await self._database.aread(read)

    async def revocation_of(self, entry: InboxEntry) -> ReceivedRevocation | None:
        """The newest revocation of a received document."""
        place = _place(entry.document.document_id, entry.document.sender, entry.recipient)

        def read(connection: Connection) -> ReceivedRevocation | None:
            row = connection.execute(_NEWEST_OF, place).one_or_none()
            return None if row is None else _received(connection, row)

        return await self._database.aread(read)

    async def answer_revocation(self, answer: RevocationAnswer, salt: bytes) -> bool:
        """Keeps an answer; agreeing makes the document inaccessible in the same transaction."""
        return await self._database.awrite(lambda connection: _answer(connection, answer, salt))

    async def to_be_removed(
        self, after: int, limit: int, *, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Destroyed documents whose files may still be there, by place, after one."""
        return await self._database.aread(
            lambda connection: waiting(connection, _FILES, limit, without, after=after)
        )

    async def destroyed_files(self, place: int) -> Sequence[str]:
        """Digests of the large parts of a destroyed document."""
        envelope = await self._database.aread(
            lambda connection: connection.execute(_ENVELOPE_OF, {"of": place}).scalar_one()
        )
        return [part.sha256 for part in large_parts(canonical.decode(envelope, Envelope).parts)]

    async def removed(self, places: Iterable[int]) -> None:
        """Notes that the files of destroyed documents are gone, or stay for others."""
        rows = [{"of": place} for place in places]
        if rows:
            await self._database.awrite(lambda connection: change_each(connection, _NO_FILES, rows))


def _received(connection: Connection, row: AnyRow) -> ReceivedRevocation:
    place = _place(row.document_id, row.sender, row.recipient)
    first = connection.execute(_ENTRIES_OF.limit(1), place).all()
    entries = inbox_entries(connection, first)
    hold = hold_on(connection, row.document_id)
    return ReceivedRevocation(
        incoming_id=IncomingId(row.incoming_id),
        message_id=MessageId(row.message_id),
        digest=row.digest,
        document_id=DocumentId(row.document_id),
        sender=row.sender,
        signer=row.signer,
        recipient=row.recipient,
        urgency=canonical.decode(row.statement, Envelope).urgency,
        envelope=row.envelope,
        actor=row.actor,
        reason=row.reason,
        state=RevocationState(row.state),
        entry=entries[0] if entries else None,
        hold=hold.reason if hold is not None else "",
    )


def _answer(connection: Connection, answer: RevocationAnswer, salt: bytes) -> bool:
    revocation = answer.revocation
    in_order(connection)  # what becomes visible meanwhile on PostgreSQL waits for this, or is here
    place = _place(revocation.document_id, revocation.sender, revocation.recipient)
    here = connection.scalars(_ARRIVALS_OF, place).all()
    versions = connection.scalars(_VERSIONS_OF, place).all()
    if bool(here) != (revocation.entry is not None):
        return False
    hold = hold_on(connection, revocation.document_id)
    if (hold.reason if hold else "") != revocation.hold:
        return False  # it was held or released since
    now = connection.scalar(_STATE_OF, {"of": revocation.incoming_id})
    if now == RevocationState.AGREED or not take_step(connection, answer.plan, salt):
        return False
    connection.execute(_ANSWER, {"of": revocation.incoming_id, "to_state": answer.state.value})
    if answer.state is RevocationState.AGREED:
        hidden = hidden_of(connection, place)
        if hold is not None:
            conceal(connection, here, versions)
            conceal_hidden(connection, hidden)
        else:
            destroy(connection, sorted({*here, *versions, *hidden}), answer.plan.step.at)
        offer = {"of_sender": revocation.signer, "envelope": revocation.envelope}
        connection.execute(_END_OFFER, {**offer, "at": answer.plan.step.at})
    return True


def _place(document_id: bytes, sender: str, recipient: str) -> Row:
    return {"document_id": document_id, "sender": sender, "recipient": recipient}
