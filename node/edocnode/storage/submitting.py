"""Documents that the office hands in are kept: see ``domain.ports.Submissions``.

Many documents are many rows of few statements, which is what makes handing in cheap. A document to
more than ``FANOUT_PIECE`` recipients is kept in several transactions, so that the one writer is
never blocked for long, and yet whole or not at all:

1. the document comes first, without its request id, with a row in ``schedule`` that is not due;
2. its deliveries follow in pieces, ``scheduled``, where neither sealer nor office sees them;
3. the last transaction gives the document its request id and the row in ``schedule`` its moment. It
   alone counts: only after it the caller is answered and do deliveries go to the sealer.

What was cut off before 3 is forgotten after a while; the caller, never answered, asks again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import DecisionConflictError, EdocError, RequestConflictError
from edoccore.signing.statements import Operation, uuid_text
from edockit.database import Database
from edockit.gathering import Gathering
from edocnode.domain.model import (
    DeliveryState,
    DocumentId,
    Lane,
    MessageId,
    NewDelivery,
    Submission,
    SubmissionResult,
)
from edocnode.storage.appointed import appoint_sent
from edocnode.storage.links import add_sent
from edocnode.storage.listing import encode_listing, encode_parts, large_parts
from edocnode.storage.official_numbers import use_numbers
from edocnode.storage.search_tables import SentRow
from edocnode.storage.searching import sent_values
from edocnode.storage.signature_checks import wait_for_checks
from edocnode.storage.sql import (
    AnyRow,
    NotPlainError,
    Row,
    chunks,
    insert_new,
    insert_plain,
    insert_returning,
    insert_rows,
    new_ids,
)
from edocnode.storage.tables import (
    BlobUseRow,
    DeliveryRow,
    DocumentRow,
    ScheduleRow,
    table_of,
)

FANOUT_PIECE = 500  # deliveries added in one transaction
NOT_ANSWERED = frozenset({Operation.STATUS, Operation.REVOKE})  # as a document is
_QUEUED = frozenset({"scheduled", "unsealed", "waiting"})  # as people see it

_BLOB_USE = table_of(BlobUseRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_SCHEDULE = table_of(ScheduleRow)
_SENT = table_of(SentRow)

_NEWEST_EVENT = "SELECT max(position) FROM event"
_OF_REQUEST = sa.select(
    _DOCUMENT.c.id, _DOCUMENT.c.document_id, _DOCUMENT.c.request_hash, _DOCUMENT.c.created_at
).where(_DOCUMENT.c.request_id == sa.bindparam("request_id"))
_DELIVERIES_OF = (
    sa.select(_DELIVERY.c.message_id, _DELIVERY.c.recipient, _DELIVERY.c.state)
    .where(_DELIVERY.c.document_row == sa.bindparam("document_row"))
    .order_by(_DELIVERY.c.id)
)
_TAKE_REQUEST = (
    sa.update(_DOCUMENT)
    .where(_DOCUMENT.c.id == sa.bindparam("row"))
    .values(request_id=sa.bindparam("its_request"))
)
_MAKE_DUE = (
    sa.update(_SCHEDULE)
    .where(_SCHEDULE.c.document_row == sa.bindparam("row"))
    .values(due_at=sa.bindparam("at", type_=_SCHEDULE.c.due_at.type))
)

Kept = SubmissionResult | RequestConflictError | DecisionConflictError


class SqlSubmissions:
    """See ``domain.ports.Submissions``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database
        self._together: Gathering[Submission, SubmissionResult] = Gathering(
            self.submit_many, weight=lambda each: len(each.deliveries), most=FANOUT_PIECE
        )

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document and its deliveries; they wait for the sealer, or for their moment.

        The same request id and hash again keeps nothing and returns what was kept. Documents of
        many callers at the same time are kept by the same statements.

        Raises:
            RequestConflictError: The request id stands for another request.
            DecisionConflictError: What it changes may not be changed, or its number was given up.
        """
        if len(submission.deliveries) > FANOUT_PIECE:
            return await self._submit_in_pieces(submission)
        return await self._together.one(submission)

    async def submit_many(self, submissions: Sequence[Submission]) -> Sequence[Kept]:
        """Keeps documents; what is wrong with one is returned in its place and spoils no other.

        Each has at most ``FANOUT_PIECE`` recipients.
        """
        kept: list[Kept] = []
        for piece in _pieces(submissions):
            kept += await self._keep_piece(piece)
        return kept

    async def _keep_piece(self, piece: Sequence[Submission]) -> Sequence[Kept]:
        try:
            try:
                return await self._database.awrite(partial(_keep_new, piece))
            except NotPlainError:
                return await self._database.awrite(partial(_keep_piece, piece))
        except DecisionConflictError as conflict:  # somebody gave the number of one up meanwhile
            if len(piece) == 1:
                return [conflict]
        return [kept for each in piece for kept in await self._keep_piece([each])]

    async def handed_in(self, request_id: str) -> datetime | None:
        """When a request was first handed in; None when it is not known."""
        found = await self._database.aread(lambda connection: _request(connection, request_id))
        return None if found is None else found.created_at

    async def _submit_in_pieces(self, submission: Submission) -> SubmissionResult:
        begun = await self._database.awrite(lambda connection: _begin(connection, submission))
        if isinstance(begun, SubmissionResult):
            return begun
        for piece in chunks(submission.deliveries, FANOUT_PIECE):
            rows = [_delivery(submission, item, begun) | {"state": "scheduled"} for item in piece]
            await self._database.awrite(partial(_add_deliveries, rows))
        try:
            return await self._database.awrite(
                lambda connection: _finish(connection, submission, begun)
            )
        except sa.exc.IntegrityError:  # another worker finished the same request at this moment
            return await self._database.aread(lambda connection: _known(connection, submission))


def keep_submission(connection: Connection, submission: Submission) -> SubmissionResult:
    """Keeps a document and its deliveries inside another change; see ``SqlSubmissions.submit``.

    Raises:
        RequestConflictError: The request id stands for another request.
    """
    [kept] = keep_submissions(connection, [submission])
    if isinstance(kept, EdocError):
        raise kept
    return kept


def keep_submissions(connection: Connection, submissions: Sequence[Submission]) -> list[Kept]:
    """Keeps documents inside another change; see ``SqlSubmissions.submit_many``."""
    position = _position(connection)
    added = insert_new(
        connection, _DOCUMENT, [_document(each) for each in submissions], key="request_id"
    )
    rows = [added.pop(each.request_id, None) for each in submissions]  # of a double only the first
    new = [(each, row) for each, row in zip(submissions, rows, strict=True) if row is not None]
    places = _add_rest(connection, new)
    return [
        _known_or_conflict(connection, each) if row is None else _new(each, position, places)
        for each, row in zip(submissions, rows, strict=True)
    ]


def _add_rest(
    connection: Connection, new: Sequence[tuple[Submission, int]]
) -> Mapping[MessageId, int]:
    """Adds what belongs to documents, which are in these rows; returns rows of deliveries."""
    deliveries = [(each, item, row) for each, row in new for item in each.deliveries]
    places = new_ids(connection, _DELIVERY, len(deliveries))
    insert_rows(
        connection,
        _DELIVERY,
        [{"id": place, **_delivery(*each)} for place, each in zip(places, deliveries, strict=True)],
    )
    insert_rows(connection, _BLOB_USE, [use for each, row in new for use in _uses(each, row)])
    add_sent(connection, [each for each, _ in new])
    _list_sent(connection, new)
    _use_numbers(connection, [each for each, _ in new])
    later = [_scheduled(each, row, each.send_at) for each, row in new if each.send_at is not None]
    insert_rows(connection, _SCHEDULE, later)
    _watch(connection, new)
    return {item.message_id: place for place, (_, item, _) in zip(places, deliveries, strict=True)}


def _watch(connection: Connection, new: Sequence[tuple[Submission, int]]) -> None:
    """Notes what is to be looked at again: signatures, and moments that senders name."""
    wait_for_checks(connection, new)
    appoint_sent(connection, new)


def _list_sent(connection: Connection, new: Sequence[tuple[Submission, int]]) -> None:
    """Puts documents into the list that offices look through.

    Each version has its row: an update is found by its new subject and number, what it changed by
    the old ones.
    """
    rows = [
        sent_values(
            row, each.listing, sender=each.sender, urgency=each.urgency, created=each.created
        )
        for each, row in new
        if each.operation not in NOT_ANSWERED
    ]
    insert_rows(connection, _SENT, rows)


def _use_numbers(connection: Connection, submissions: Sequence[Submission]) -> None:
    use_numbers(
        connection, [(each.number, each) for each in submissions if each.number is not None]
    )


def shown_state(state: str) -> DeliveryState:
    """The state of a delivery as people see it."""
    return DeliveryState.QUEUED if state in _QUEUED else DeliveryState(state)


def _keep_new(submissions: Sequence[Submission], connection: Connection) -> list[Kept]:
    """Keeps documents without a look, since nearly all are new; the keys tell.

    Raises:
        NotPlainError: Some are not.
    """
    position = _position(connection)
    rows = new_ids(connection, _DOCUMENT, len(submissions))
    new = list(zip(submissions, rows, strict=True))
    documents = [{"id": row, **_document(each)} for each, row in new]
    insert_plain(connection, _DOCUMENT, documents)
    places = _add_rest(connection, new)
    return [_new(each, position, places) for each in submissions]


def _keep_piece(submissions: Sequence[Submission], connection: Connection) -> list[Kept]:
    return keep_submissions(connection, submissions)


def _add_deliveries(rows: Sequence[Row], connection: Connection) -> None:
    insert_rows(connection, _DELIVERY, rows)


def _pieces(submissions: Sequence[Submission]) -> Iterator[list[Submission]]:
    """Cuts submissions into pieces of at most ``FANOUT_PIECE`` deliveries."""
    piece: list[Submission] = []
    deliveries = 0
    for each in submissions:
        if piece and deliveries + len(each.deliveries) > FANOUT_PIECE:
            yield piece
            piece, deliveries = [], 0
        piece.append(each)
        deliveries += len(each.deliveries)
    if piece:
        yield piece


def _begin(connection: Connection, submission: Submission) -> SubmissionResult | int:
    """Adds a document to many that nobody sees yet; returns its row, or what is known of it."""
    if _request(connection, submission.request_id) is not None:
        return _known(connection, submission)
    row = insert_returning(connection, _DOCUMENT, _document(submission) | {"request_id": None})
    assert row is not None  # it has no key but its row
    insert_rows(connection, _BLOB_USE, _uses(submission, row))
    insert_rows(connection, _SCHEDULE, [_scheduled(submission, row, None)])
    return row


def _finish(connection: Connection, submission: Submission, row: int) -> SubmissionResult:
    """Lets a document to many count; when the same request was faster, that one stands."""
    if _request(connection, submission.request_id) is not None:
        return _known(connection, submission)
    position = _position(connection)
    add_sent(connection, [submission])
    due = {"row": row, "at": submission.send_at or submission.created}
    if not connection.execute(_MAKE_DUE, due).rowcount:
        raise EdocError(
            f"Keeping the document for {len(submission.deliveries)} recipients took too long; "
            "nothing was sent.",
            hint="Send it again with the same request id.",
        )
    connection.execute(_TAKE_REQUEST, {"row": row, "its_request": submission.request_id})
    _list_sent(connection, [(submission, row)])
    _use_numbers(connection, [submission])
    _watch(connection, [(submission, row)])
    return _new(submission, position, {})


def _position(connection: Connection) -> int:
    return connection.exec_driver_sql(_NEWEST_EVENT).scalar() or 0


def _request(connection: Connection, request_id: str) -> AnyRow | None:
    return connection.execute(_OF_REQUEST, {"request_id": request_id}).one_or_none()


def _new(
    submission: Submission, position: int, places: Mapping[MessageId, int]
) -> SubmissionResult:
    """What was kept now; without ``places`` its deliveries wait for the scheduler."""
    return SubmissionResult(
        document_id=submission.document_id,
        deliveries=tuple(
            (item.message_id, item.recipient, DeliveryState.QUEUED)
            for item in submission.deliveries
        ),
        repeated=False,
        position=position,
        unsealed=bool(places) and submission.send_at is None,
        places=tuple([places[item.message_id] for item in submission.deliveries if places]),
    )


def _known_or_conflict(connection: Connection, submission: Submission) -> Kept:
    try:
        return _known(connection, submission)
    except RequestConflictError as conflict:
        return conflict


def _known(connection: Connection, submission: Submission) -> SubmissionResult:
    """What was kept for a request id.

    Raises:
        RequestConflictError: It was another request.
    """
    row = connection.execute(_OF_REQUEST, {"request_id": submission.request_id}).one()
    if row.request_hash != submission.request_hash:
        raise RequestConflictError(
            request_id=submission.request_id, document_id=uuid_text(row.document_id)
        )
    deliveries = connection.execute(_DELIVERIES_OF, {"document_row": row.id})
    return SubmissionResult(
        document_id=DocumentId(row.document_id),
        deliveries=tuple(
            (MessageId(each.message_id), each.recipient, shown_state(each.state))
            for each in deliveries
        ),
        repeated=True,
        position=_position(connection),
    )


def _document(submission: Submission) -> dict[str, object]:
    return {
        "document_id": submission.document_id,
        "request_id": submission.request_id,
        "request_hash": submission.request_hash,
        "sender": submission.sender,
        "urgency": submission.urgency.value,
        "operation": submission.operation.value,
        "about": submission.about,
        "created_at": submission.created,
        "expires_at": submission.expires,
        "complete": 1,
        "listing": encode_listing(submission.listing),
        "parts": encode_parts(submission.parts),
        "inline": submission.inline,
    }


def _delivery(submission: Submission, item: NewDelivery, document_row: int) -> dict[str, object]:
    return {
        "message_id": item.message_id,
        "document_row": document_row,
        "document_id": submission.document_id,
        "sender": submission.sender,
        "recipient": item.recipient,
        "to_node": item.to_node,
        "lane": Lane.of(submission.urgency).value,
        "state": "unsealed" if submission.send_at is None else "scheduled",
        "envelope_rank": 0,
        "attempts": 0,
        "digest_failures": 0,
        "answered": int(submission.operation in NOT_ANSWERED),
        "next_at": submission.send_at,
        "expires_at": submission.expires,
        "reason": "",
        "message": "",
    }


def _scheduled(submission: Submission, document_row: int, due_at: datetime | None) -> Row:
    return {
        "document_row": document_row,
        "lane": Lane.of(submission.urgency).value,
        "kept_at": submission.created,
        "due_at": due_at,
    }


def _uses(submission: Submission, document_row: int) -> list[Row]:
    parts = {part.sha256: part for part in large_parts(submission.parts)}
    return [
        {
            "sha256": bytes.fromhex(part.sha256),
            "kind": "document",
            "owner": document_row,
            "agency": "",
            "size": part.size,
        }
        for part in parts.values()
    ]
