"""The table of what people were reminded of. Only migrations make it."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from edocnode.storage.columns import key_bytes, moment
from edocnode.storage.tables import NodeTable


class ToldRow(NodeTable, table=True):
    """An outlet was told of a document; ``kind`` is a ``ReminderKind``."""

    __tablename__ = "told"
    __table_args__ = (Index("ix_told_at", "told_at"),)

    outlet: str = Field(primary_key=True, max_length=64)
    message_id: bytes = key_bytes(16)
    kind: str = Field(primary_key=True, max_length=16)
    told_at: datetime = moment()
