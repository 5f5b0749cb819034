"""The tables for those who work with a node: offices and operators; see ``tables``."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from edocnode.storage.columns import byte_column, moment, number, optional_moment, rowid
from edocnode.storage.tables import NodeTable


class EventRow(NodeTable, table=True):
    """Something an office may want to know, in the order in which it happened.

    Written in the transaction of what it tells. ``kind``: an ``EventKind`` such as
    document.received or delivery.delivered. ``agency`` is the other side.
    """

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_document_id", "document_id", "position"),)

    position: int | None = rowid()
    kind: str = Field(max_length=32)
    document_id: bytes = byte_column(16)
    message_id: bytes = byte_column(16)
    agency: str = Field(max_length=35)
    at: datetime = moment()


class ConsumerRow(NodeTable, table=True):
    """How far a reader of events has come."""

    __tablename__ = "consumer"

    name: str = Field(primary_key=True, max_length=100)
    position: int = number()


class AlarmRow(NodeTable, table=True):
    """What a person must know: until it has ended, or with a ``proof`` for good.

    One row for each proof; an acknowledgement is never taken back.
    """

    __tablename__ = "alarm"

    kind: str = Field(primary_key=True, max_length=63)
    subject: str = Field(primary_key=True, max_length=100)
    proof: str = Field(primary_key=True, max_length=200)
    message: str
    since: datetime = moment()
    updated_at: datetime = moment()
    times: int = number()
    acknowledged_at: datetime | None = optional_moment()
    actor: str | None = Field(default=None, max_length=200)
    reason: str | None = Field(default=None, max_length=500)


class MetaRow(NodeTable, table=True):
    """Single values: name and value."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True, max_length=63)
    value: str
