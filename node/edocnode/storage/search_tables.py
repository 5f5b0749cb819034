"""Tables for looking documents up; see ``tables``."""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field

from edocnode.storage.columns import ROWID, moment, partial_index
from edocnode.storage.tables import NodeTable


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
