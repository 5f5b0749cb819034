"""The tables of a node. Only migrations make them.

Three rules give their form. Rows with statements or documents are only added (append-only), what
changes stands in narrow rows beside them. Keys grow with time (rowids, UUIDv7), so that inserting
touches the end of an index. Waiting work is found by partial indexes, which stay small; a query
that is to use one writes the state as a literal, as its WHERE here does.

Ids of documents and messages are the 16 bytes of a UUIDv7, digests 32 bytes, proofs hashes of 32
bytes one after another, moments whole milliseconds. ``leaf``, ``proof`` and ``seal_id`` beside a
statement prove it: its place in the tree of that seal.
"""

from datetime import datetime

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, and_
from sqlmodel import Field, SQLModel

from edocnode.storage.columns import (
    ROWID,
    byte_column,
    key_bytes,
    moment,
    number,
    optional_bytes,
    optional_moment,
    optional_number,
    partial_index,
    rowid,
)


class NodeTable(SQLModel):
    """What all tables of a node share: their own collection."""

    metadata = MetaData()


def table_of(row: type[SQLModel]) -> Table:
    """The Core table of a row class, for statements on hot paths."""
    table: Table = row.__table__  # type: ignore[attr-defined]  # set by table=True
    return table


# --- Sending ---------------------------------------------------------------------------------


class DocumentRow(NodeTable, table=True):
    """One submission: a document, or a status, and its content. Append-only.

    ``request_id`` is empty for what a peer gave back after a restore, and while the deliveries of a
    document to many are still being added (see ``schedule``). ``document_id`` is not
    unique: a status carries the id of the document it is about. ``parts`` is the JSON list of
    ``Part``; ``inline`` the bytes of all parts up to 64 KiB, joined. With ``complete`` 0 only the
    record is here (given back after a restore). ``listing`` is JSON: subject, number, ...
    """

    __tablename__ = "document"
    __table_args__ = (
        Index("ix_document_document_id", "document_id"),
        partial_index("ix_document_incomplete", "id", where="complete = 0"),
    )

    id: int | None = rowid()
    document_id: bytes = byte_column(16)
    request_id: str | None = Field(default=None, unique=True, max_length=200)
    request_hash: bytes | None = optional_bytes(32)
    sender: str = Field(max_length=35)
    urgency: str = Field(max_length=16)
    operation: str = Field(max_length=16)
    about: bytes | None = optional_bytes(32)
    created_at: datetime = moment()
    expires_at: datetime = moment()
    complete: int = Field(sa_column=Column(Integer, nullable=False))
    listing: bytes = byte_column()
    parts: bytes = byte_column()
    inline: bytes = byte_column()


class DeliveryRow(NodeTable, table=True):
    """Where a document stands on its way to one recipient. Narrow; its states change.

    ``state`` is a ``DeliveryState``, with three more that people see as ``queued``: ``scheduled``
    (not for the sealer yet, see ``schedule``), ``unsealed`` (waits for the sealer) and ``waiting``
    (waits until ``next_at``). ``envelope_rank`` says which envelope of the message is in force.
    ``ended_at``: when the recipient answered or nobody did. ``answered`` 1: somebody there has
    told what he did with it, or nobody is expected to.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_document_row", "document_row"),
        partial_index("ix_delivery_scheduled", "document_row", "id", where="state = 'scheduled'"),
        partial_index("ix_delivery_unsealed", "lane", "to_node", "id", where="state = 'unsealed'"),
        partial_index(  # all that choosing what to offer needs; SQLite wants the state in it too
            "ix_delivery_queued",
            *("to_node", "lane", "id", "expires_at", "state"),
            where="state = 'queued'",
        ),
        partial_index("ix_delivery_waiting", "to_node", "next_at", where="state = 'waiting'"),
        partial_index("ix_delivery_sending", "id", where="state = 'sending'"),
        partial_index("ix_delivery_expiry", "expires_at", where="state IN ('queued', 'waiting')"),
        partial_index("ix_delivery_held", "id", where="state = 'held'"),
        partial_index(
            "ix_delivery_unanswered",
            *("lane", "ended_at", "sender"),
            where="state = 'delivered' AND answered = 0",
        ),
        partial_index(
            "ix_delivery_never_asked",
            "to_node",
            "id",
            where="state = 'expired' AND reason = 'PEER_UNREACHABLE'",
        ),
    )

    id: int | None = rowid()
    message_id: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False, unique=True))
    document_row: int = number()
    document_id: bytes = byte_column(16)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    to_node: str = Field(max_length=35)
    lane: int
    state: str = Field(max_length=16)
    envelope_rank: int
    attempts: int
    digest_failures: int
    answered: int
    next_at: datetime | None = optional_moment()
    expires_at: datetime = moment()
    ended_at: datetime | None = optional_moment()
    reason: str
    message: str


class ScheduleRow(NodeTable, table=True):
    """A document whose deliveries are ``scheduled``; gone when the sealer has them all.

    ``due_at`` is when they are for the sealer. Empty: not all of them are here yet, so nobody was
    answered and nobody sees the document (see ``fanout``).
    """

    __tablename__ = "schedule"
    __table_args__ = (Index("ix_schedule_due_at", "due_at"),)

    document_row: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    lane: int
    kept_at: datetime = moment()
    due_at: datetime | None = optional_moment()


class DeliveryEnvelopeRow(NodeTable, table=True):
    """A sealed envelope of a message. Append-only; a higher rank was adopted from the recipient."""

    __tablename__ = "delivery_envelope"
    __table_args__ = (
        Index("ix_delivery_envelope_seq", "to_node", "epoch", "seq"),
        Index("ix_delivery_envelope_seal", "seal_id"),
    )

    message_id: bytes = key_bytes(16)
    rank: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    to_node: str = Field(max_length=35)
    epoch: bytes = byte_column(16)
    seq: int = number()
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    data: bytes = byte_column()


class ReceiptGotRow(NodeTable, table=True):
    """A receipt for a message. Append-only.

    Rank 0 came first and stays in force, later ones that differ are kept beside it. ``result``:
    delivered or rejected.
    """

    __tablename__ = "receipt_got"
    __table_args__ = (Index("ix_receipt_got_seal", "seal_id"),)

    message_id: bytes = key_bytes(16)
    rank: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    result: str = Field(max_length=16)
    got_at: datetime = moment()
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    data: bytes = byte_column()


class StatusGotRow(NodeTable, table=True):
    """A step of a recipient, told by a sealed status; see ``step``. Append-only.

    ``message_id`` is the delivery that ``about`` names; empty when there is none here. ``at`` is
    the moment that the record states.
    """

    __tablename__ = "status_got"
    __table_args__ = (
        Index("ix_status_got_document_id", "document_id"),
        Index("ix_status_got_message", "message_id"),
        partial_index("ix_status_got_agreed", "received_at", where="step = 'agreed'"),
    )

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    document_id: bytes = byte_column(16)
    message_id: bytes | None = optional_bytes(16)
    agency: str = Field(max_length=35)
    step_order: int = number()
    step: str = Field(max_length=16)
    state: str = Field(max_length=16)
    actor: str
    at: datetime = moment()
    assignee: str
    code: str
    reason: str
    answers: bytes | None = optional_bytes(32)
    still_held: str
    received_at: datetime = moment()


class SeqRow(NodeTable, table=True):
    """Highest seq given for envelopes of one sealing agency to one node."""

    __tablename__ = "seq_given"

    agency: str = Field(primary_key=True, max_length=35)
    to_node: str = Field(primary_key=True, max_length=35)
    seq: int = number()


# --- Receiving -------------------------------------------------------------------------------


class IncomingRow(NodeTable, table=True):
    """A received message, accepted or rejected under seal. Append-only.

    Never pruned: it is the memory against doubles. Under one (sender, message_id) rank 0 came
    first; higher ranks are rivals with another content, kept as rejected. ``envelope`` states the
    parts; ``inline`` has the bytes of those up to 64 KiB, joined; ``listing`` is JSON. ``epoch``
    and ``seq`` are the envelope's.
    """

    __tablename__ = "incoming"
    __table_args__ = (
        Index("uq_incoming_message", "message_id", "sender", "rank", unique=True),
        Index("ix_incoming_seal", "seal_id"),
        Index("ix_incoming_seq", "signer", "epoch", "seq"),
        partial_index("ix_incoming_urgent", "lane", "id", where="lane < 3"),
    )

    id: int | None = rowid()
    message_id: bytes = byte_column(16)
    rank: int
    signer: str = Field(max_length=35)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    document_id: bytes = byte_column(16)
    lane: int
    operation: str = Field(max_length=16)
    about: bytes | None = optional_bytes(32)
    epoch: bytes = byte_column(16)
    seq: int = number()
    result: str = Field(max_length=16)
    reason: str = Field(max_length=63)
    kept_at: datetime = moment()
    digest: bytes = byte_column(32)
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    listing: bytes = byte_column()
    envelope: bytes = byte_column()
    inline: bytes = byte_column()


class ReceiptGivenRow(NodeTable, table=True):
    """The sealed receipt for a received message. Append-only."""

    __tablename__ = "receipt_given"
    __table_args__ = (Index("ix_receipt_given_seal", "seal_id"),)

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    data: bytes = byte_column()


class InboxRow(NodeTable, table=True):
    """A received document as offices see it: from its sealed receipt on, in order of position.

    ``recipient`` is the code it was addressed to, ``state`` a ``DocumentState``; ``search`` is
    subject, number, notation, ... folded (see ``domain.folding``).
    """

    __tablename__ = "inbox"
    __table_args__ = (
        Index("ix_inbox_recipient", "recipient", "position"),
        Index("ix_inbox_document_id", "document_id", "recipient"),
        partial_index(
            "ix_inbox_undecided",
            *("lane", "received_at", "recipient"),
            where="state = 'received'",
        ),
        partial_index(
            "ix_inbox_due",
            *("due_date", "recipient"),
            where="due_date <> '' AND state IN ('received', 'accepted', 'assigned', 'processing')",
        ),
    )

    position: int | None = rowid()
    incoming_id: int = Field(sa_column=Column(ROWID, nullable=False, unique=True))
    message_id: bytes = byte_column(16)
    document_id: bytes = byte_column(16)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    lane: int
    operation: str = Field(max_length=16)
    about: bytes | None = optional_bytes(32)
    state: str = Field(max_length=16)
    received_at: datetime = moment()
    subject: str
    number: str
    notation: str
    document_type: str
    document_code: str
    issued_date: str
    due_date: str
    search: str


class StageRow(NodeTable, table=True):
    """An offer whose large parts are on their way. ``ended`` 1: decided, its files may go."""

    __tablename__ = "stage"
    __table_args__ = (Index("ix_stage_expiry", "expires_at"),)

    sender: str = Field(primary_key=True, max_length=35)
    message_id: bytes = key_bytes(16)
    digest: bytes = byte_column(32)
    offered_at: datetime = moment()
    expires_at: datetime = moment()
    ended: int


class StagePartRow(NodeTable, table=True):
    """How much of a part of an offer is on disk."""

    __tablename__ = "stage_part"

    sender: str = Field(primary_key=True, max_length=35)
    message_id: bytes = key_bytes(16)
    part_index: int = Field(
        primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False}
    )
    size: int = number()
    sha256: bytes = byte_column(32)
    bytes_on_disk: int = number()
    complete: int


class BlobUseRow(NodeTable, table=True):
    """One use of a file in the blob folder. A file without any may be removed.

    ``kind``: ``document`` or ``incoming``, with ``owner`` its row; ``agency`` sealed it.
    """

    __tablename__ = "blob_use"

    sha256: bytes = key_bytes(32)
    kind: str = Field(primary_key=True, max_length=16)
    owner: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    agency: str = Field(max_length=35)
    size: int = number()


# --- Sealing ---------------------------------------------------------------------------------


class SealRow(NodeTable, table=True):
    """A seal of any agency. Append-only.

    Rank 0 came first; a higher rank under the same agency, epoch and index is another seal for
    the same place: with the first it proves two histories.
    """

    __tablename__ = "seal"
    __table_args__ = (Index("uq_seal_place", "agency", "epoch", "seal_index", "rank", unique=True),)

    id: int | None = rowid()
    agency: str = Field(max_length=35)
    epoch: bytes = byte_column(16)
    seal_index: int = number()
    rank: int
    sealed_at: datetime = moment()
    digest: bytes = byte_column(32)
    data: bytes = byte_column()
    signature: bytes = byte_column()


class LeaseRow(NodeTable, table=True):
    """The epoch in which an agency of this node may seal: the fence of its sealer.

    Each message received up to row ``answered_to`` has its receipt, see ``awaiting``.
    """

    __tablename__ = "lease"

    agency: str = Field(primary_key=True, max_length=35)
    epoch: bytes = byte_column(16)
    taken_at: datetime = moment()
    answered_to: int = number()


class OwnStatementRow(NodeTable, table=True):
    """A sealed statement about this agency itself: epoch opening, endpoint. Append-only."""

    __tablename__ = "own_statement"
    __table_args__ = (
        Index("ix_own_statement_kind", "kind", "id"),
        Index("ix_own_statement_seal", "seal_id"),
    )

    id: int | None = rowid()
    kind: str = Field(max_length=32)
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    data: bytes = byte_column()


class EffectRow(NodeTable, table=True):
    """Something done here that the journal commits to; without ``seal_id`` it waits.

    ``message_id`` only when it belongs into the evidence of that message.
    """

    __tablename__ = "effect"
    __table_args__ = (
        partial_index("ix_effect_unsealed", "id", where="seal_id IS NULL"),
        Index("ix_effect_seal", "seal_id"),
        partial_index("ix_effect_message", "message_id", where="message_id IS NOT NULL"),
    )

    id: int | None = rowid()
    seal_id: int | None = optional_number()
    leaf: int | None = optional_number()
    proof: bytes | None = optional_bytes()
    salt: bytes = byte_column(16)
    data: bytes = byte_column()
    message_id: bytes | None = optional_bytes(16)


# --- Peers and people ------------------------------------------------------------------------


class PeerRow(NodeTable, table=True):
    """How the node of another agency answers."""

    __tablename__ = "peer"

    agency: str = Field(primary_key=True, max_length=35)
    down_since: datetime | None = optional_moment()
    attempts: int
    next_at: datetime | None = optional_moment()
    reason: str
    message: str
    last_seen: datetime | None = optional_moment()


class OpeningRow(NodeTable, table=True):
    """The opening of the newest epoch of an agency."""

    __tablename__ = "opening"

    agency: str = Field(primary_key=True, max_length=35)
    epoch: bytes = byte_column(16)
    noted_at: datetime = moment()
    seal_id: int = number()
    leaf: int = number()
    proof: bytes = byte_column()
    data: bytes = byte_column()


_DELIVERY, _ENVELOPE = table_of(DeliveryRow), table_of(DeliveryEnvelopeRow)
DELIVERY_WITH_ENVELOPE = _DELIVERY.join(  # the one in force
    _ENVELOPE,
    and_(
        _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
        _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
    ),
)
