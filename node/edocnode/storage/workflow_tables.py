"""The tables of what offices do with documents, see ``domain.workflow``. Only migrations make them.

Rows come with people's decisions, never with a document on its way.
"""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from edocnode.storage.columns import moment, number, optional_bytes, rowid
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
