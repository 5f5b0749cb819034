"""Which documents replace or correct which, and which may not be changed any more."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import DecisionConflictError
from edoccore.signing.statements import Operation, uuid_bytes, uuid_text
from edocnode.domain.checks import CORRECTS, REPLACES
from edocnode.domain.model import ReceiptDraft, Submission
from edocnode.domain.office_model import DocumentLink, LinkKind
from edocnode.storage.sql import Row, among, insert_rows, newest_among, select_by
from edocnode.storage.tables import table_of
from edocnode.storage.workflow_tables import LinkRow, RevokedDeliveryRow

SENT, RECEIVED = "sent", "received"  # where a document stands, as in ``link``
SHOWN = 100  # later documents that replace one, and that correct it: the newest

_LINK, _REVOKED = table_of(LinkRow), table_of(RevokedDeliveryRow)

_KINDS = {
    REPLACES: (LinkKind.REPLACES, LinkKind.REPLACED_BY),
    CORRECTS: (LinkKind.CORRECTS, LinkKind.CORRECTED_BY),
}
_LATER = (
    sa.select(_LINK)
    .where(
        newest_among(
            _LINK.c.id,
            _LINK.c.earlier,
            alike=(_LINK.c.earlier, _LINK.c.here, _LINK.c.sender, _LINK.c.kind),
            age=(_LINK.c.id,),
            limit=SHOWN,
        )
    )
    .order_by(_LINK.c.id)
)
_EARLIER = sa.select(_LINK).where(among(_LINK.c.document_id)).order_by(_LINK.c.id)
_REPLACED = sa.select(_LINK.c.document_id).where(
    _LINK.c.earlier == sa.bindparam("of"),
    sa.text("kind = 'replaces' AND here = 'sent'"),
)
_TAKEN_BACK = (
    sa.select(_REVOKED.c.message_id).where(_REVOKED.c.document_id == sa.bindparam("of")).limit(1)
)

Place = tuple[bytes, str]  # document and the agency that sent it


def add_sent(connection: Connection, submissions: Sequence[Submission]) -> None:
    """Notes what documents that are kept now replace or correct.

    Raises:
        DecisionConflictError: A document to be changed was taken back or replaced.
    """
    for each in submissions:
        if each.operation in (Operation.UPDATE, Operation.REPLACE):
            check_open(connection, _changed(each))
        if rows := _link_rows(each, here=SENT):
            insert_rows(connection, _LINK, rows)


def add_received(connection: Connection, drafts: Sequence[ReceiptDraft]) -> None:
    """Notes what documents that became visible replace or correct."""
    rows = [row for item in drafts for row in _link_rows(item, here=RECEIVED)]
    insert_rows(connection, _LINK, rows)


def check_open(connection: Connection, documents: Sequence[bytes]) -> None:
    """Checks that documents sent from here may still be changed.

    Raises:
        DecisionConflictError: One was taken back or replaced; says by what.
    """
    for document_id in documents:
        if connection.execute(_TAKEN_BACK, {"of": document_id}).first() is not None:
            raise DecisionConflictError(
                f"Document {uuid_text(document_id)} was taken back and cannot be changed any more.",
                hint="Send a new document: edocnode send",
                document_id=uuid_text(document_id),
            )
        later = connection.execute(_REPLACED, {"of": document_id}).first()
        if later is not None:
            raise DecisionConflictError(
                f"Document {uuid_text(document_id)} was replaced by "
                f"{uuid_text(later.document_id)}; only that one can be changed.",
                hint=f"See: edocnode show {uuid_text(later.document_id)}",
                document_id=uuid_text(document_id),
            )


def links_of(
    connection: Connection, places: Sequence[Place], here: str
) -> Mapping[Place, tuple[DocumentLink, ...]]:
    """How documents belong to others that the same agency sent, by document and sender.

    Of those that replace or correct one document, the newest ``SHOWN`` of each.
    """
    ids = sorted({document_id for document_id, _ in places})
    found: dict[Place, list[DocumentLink]] = {}
    for row in select_by(connection, _EARLIER, ids):
        if row.here == here:
            link = DocumentLink(kind=_KINDS[row.kind][0], document_id=row.earlier)
            found.setdefault((row.document_id, row.sender), []).append(link)
    for row in select_by(connection, _LATER, ids):
        if row.here == here:
            link = DocumentLink(kind=_KINDS[row.kind][1], document_id=row.document_id)
            found.setdefault((row.earlier, row.sender), []).append(link)
    return {place: tuple(dict.fromkeys(links)) for place, links in found.items()}


def _link_rows(item: Submission | ReceiptDraft, *, here: str) -> list[Row]:
    """Rows for what a document says of earlier ones."""
    listing, kinds = item.listing, [CORRECTS]
    if item.operation is Operation.REPLACE:
        kinds.append(REPLACES)
    return [
        {
            "document_id": item.document_id,
            "earlier": uuid_bytes(earlier),
            "kind": kind,
            "here": here,
            "sender": item.sender,
        }
        for kind in kinds
        if kind in listing
        for earlier in dict.fromkeys(listing[kind].split())
    ]


def _changed(submission: Submission) -> list[bytes]:
    """The documents that a submission changes."""
    if submission.operation is Operation.UPDATE:
        return [submission.document_id]
    return [uuid_bytes(text) for text in submission.listing.get(REPLACES, "").split()]
