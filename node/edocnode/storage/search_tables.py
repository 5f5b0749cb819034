"""Tables for looking documents up; see ``tables``."""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field

from edocnode.storage.columns import ROWID, byte_column, key_bytes, moment, partial_index
from edocnode.storage.tables import NodeTable


class ReceivedNumberRow(NodeTable, table=True):
    """A received document with an official number; see ``domain.duplicates``."""

    __tablename__ = "received_number"
    __table_args__ = (Index("ix_received_number_key", "key", "recipient"),)

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    key: str
    recipient: str = Field(max_length=35)
    document_id: bytes = byte_column(16)


class DuplicateRow(NodeTable, table=True):
    """A received document that looks like ``document_id``, which came before."""

    __tablename__ = "duplicate"

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    document_id: bytes = key_bytes(16)


class SentRow(NodeTable, table=True):
    """A document handed in here, as far as a search looks at it; added once it counts.

    Narrow, so that looking through a million of them takes a third of a second: ``document`` has
    the content of each between one row and the next. ``search`` is as in ``inbox``.
    """

    __tablename__ = "sent"
    __table_args__ = (
        partial_index("ix_sent_number", "number", "notation", where="number != ''"),
        Index("ix_sent_sender", "sender", "document_row"),
    )

    document_row: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    sender: str = Field(max_length=35)
    lane: int
    created_at: datetime = moment()
    number: str
    notation: str
    document_type: str
    issued_date: str
    due_date: str
    search: str
