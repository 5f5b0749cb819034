"""The tables of who may see what, and who saw it; see ``tables``. Only migrations make them.

Nothing of them is touched by a document on its way.
"""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from edocnode.storage.columns import byte_column, key_bytes, moment, optional_moment, rowid
from edocnode.storage.columns import optional_bytes as bytes_or_none
from edocnode.storage.tables import NodeTable


class AccountRow(NodeTable, table=True):
    """An account of an office. Never removed, so that no name comes back as another's.

    ``agencies`` and ``may`` are JSON lists; ``subtree`` 1: all that the node serves.
    """

    __tablename__ = "account"

    name: str = Field(primary_key=True, max_length=28)
    agencies: str
    subtree: int
    may: str
    token_digest: bytes = byte_column(32)
    cursor_key: bytes = byte_column(32)
    created_at: datetime = moment()
    changed_at: datetime = moment()
    ended_at: datetime | None = optional_moment()


class RestrictionRow(NodeTable, table=True):
    """An account that sees a restricted document; others see it no longer.

    ``may``: a JSON list of what it may do with it, in order.
    """

    __tablename__ = "restriction"
    __table_args__ = (Index("ix_restriction_account", "account", "document_id"),)

    document_id: bytes = key_bytes(16)
    account: str = Field(primary_key=True, max_length=28)
    may: str


class AccessLogRow(NodeTable, table=True):
    """Who saw or did what. Append-only; the oldest go when their time is over."""

    __tablename__ = "access_log"
    __table_args__ = (
        Index("ix_access_log_document_id", "document_id", "id"),
        Index("ix_access_log_account", "account", "id"),
    )

    id: int | None = rowid()
    at: datetime = moment()
    account: str = Field(max_length=28)
    actor: str
    action: str = Field(max_length=32)
    document_id: bytes | None = bytes_or_none(16)
    detail: str


class HoldRow(NodeTable, table=True):
    """A document that nothing destroys until it is released, see ``domain.holds``."""

    __tablename__ = "hold"

    document_id: bytes = key_bytes(16)
    reason: str
    actor: str
    at: datetime = moment()
