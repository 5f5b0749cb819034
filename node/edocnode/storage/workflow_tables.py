"""The tables of what offices do with documents, see ``domain.workflow``. Only migrations make them.

Rows come with people's decisions, never with a document on its way.
"""

from datetime import datetime

from sqlalchemy import Column, Index, Integer, text
from sqlmodel import Field

from edocnode.storage.columns import (
    ROWID,
    byte_column,
    key_bytes,
    moment,
    number,
    optional_bytes,
    optional_moment,
    partial_index,
    rowid,
)
from edocnode.storage.tables import NodeTable


class StepRow(NodeTable, table=True):
    """A step that was taken here on a received document, and told to its sender. Append-only.

    ``incoming_id`` is the document's arrival. ``step_order`` counts its steps from 1, ``step`` is a
    ``StatusStep``, ``state`` a ``DocumentState``; ``still_held`` is a JSON list of texts.
    """

    __tablename__ = "step"
    __table_args__ = (
        Index("uq_step_order", "incoming_id", "step_order", unique=True),
        Index("ix_step_at", "at"),
    )

    id: int | None = rowid()
    incoming_id: int = number()
    step_order: int = number()
    step: str = Field(max_length=16)
    state: str = Field(max_length=16)
    actor: str
    assignee: str
    code: str
    reason: str
    answers: bytes | None = optional_bytes(32)
    still_held: str
    at: datetime = moment()


class RevokedDeliveryRow(NodeTable, table=True):
    """A delivery that was taken back here. Append-only.

    ``sent``: whether a revocation went to the recipient, under the request ``revoke/<message id>``.
    """

    __tablename__ = "revoked_delivery"
    __table_args__ = (Index("ix_revoked_delivery_document", "document_id"),)

    message_id: bytes = key_bytes(16)
    document_id: bytes = byte_column(16)
    actor: str
    reason: str
    at: datetime = moment()
    sent: int


class PassedOverRow(NodeTable, table=True):
    """A node that was silent while a delivery to it went on to another, and may have it too.

    ``envelope`` is the digest of what it was offered, by which its words about the copy are known.
    ``step`` to ``at`` are of the newest of them, the one with the highest ``step_order``;
    0: it has said nothing.
    """

    __tablename__ = "passed_over"
    __table_args__ = (Index("ix_passed_over_envelope", "envelope"),)

    message_id: bytes = key_bytes(16)
    node: str = Field(primary_key=True, max_length=35)
    recipient: str = Field(max_length=35)
    envelope: bytes = byte_column(32)
    since: datetime = moment()
    step_order: int = number()
    step: str = Field(max_length=16)
    state: str = Field(max_length=16)
    answers: bytes | None = optional_bytes(32)
    reason: str
    at: datetime | None = optional_moment()


class RevocationRow(NodeTable, table=True):
    """A revocation that a sender sealed, and what became of it here.

    ``state`` is a ``RevocationState``. Every document from that sender to that recipient under the
    id is destroyed once it is ``agreed``, also one that comes later.
    """

    __tablename__ = "revocation"
    __table_args__ = (
        Index("ix_revocation_document", "document_id"),
        partial_index("ix_revocation_pending", "incoming_id", where="state = 'pending'"),
    )

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    document_id: bytes = byte_column(16)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    envelope: bytes = byte_column(32)
    actor: str
    reason: str
    at: datetime = moment()
    state: str = Field(max_length=16)


class DestroyedRow(NodeTable, table=True):
    """What stays of a received document that was destroyed, beside its envelope and receipt.

    ``files`` 1: files of its large parts may still be there.
    """

    __tablename__ = "destroyed"
    __table_args__ = (partial_index("ix_destroyed_files", "incoming_id", where="files = 1"),)

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    at: datetime = moment()
    files: int = Field(sa_column=Column(Integer, nullable=False))


class VersionRow(NodeTable, table=True):
    """A version of a received document beside the one that came first. Small: of updates only.

    ``incoming_id`` brought it; ``head`` is the arrival whose inbox row and steps it belongs to.
    ``created_at`` is the sender's moment, which says which version is newer. ``state``: pending,
    agreed, declined, or destroyed. ``was_at`` is where its document stood in the inbox before this
    version moved it to the end; 0: it did not. So a document is counted once, where it first stood.
    """

    __tablename__ = "version"
    __table_args__ = (
        Index("ix_version_document", "document_id"),
        partial_index("ix_version_pending", "incoming_id", where="state = 'pending'"),
        partial_index("ix_version_was_at", "was_at", where="was_at > 0"),
        Index("ix_version_head", "head"),
        # One of each document, however many updates of it come.
        partial_index("ix_version_taken", "document_id", where="head = incoming_id"),
    )

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    head: int = number()
    document_id: bytes = byte_column(16)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    created_at: datetime = moment()
    received_at: datetime = moment()
    reason: str
    state: str = Field(max_length=16)
    was_at: int = number()


class LinkRow(NodeTable, table=True):
    """That one document replaces or corrects another of the same sender. Append-only.

    ``kind``: replaces or corrects. ``here``: sent or received; ``sender`` sent the later one.
    """

    __tablename__ = "link"
    __table_args__ = (
        Index("ix_link_document", "document_id"),
        Index("ix_link_earlier", "earlier"),
        Index(
            "uq_link_replaced",
            "earlier",
            unique=True,
            sqlite_where=text("kind = 'replaces' AND here = 'sent'"),
            postgresql_where=text("kind = 'replaces' AND here = 'sent'"),
        ),
    )

    id: int | None = rowid()
    document_id: bytes = byte_column(16)
    earlier: bytes = byte_column(16)
    kind: str = Field(max_length=16)
    here: str = Field(max_length=16)
    sender: str = Field(max_length=35)
