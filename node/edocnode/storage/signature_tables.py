"""The table of signature checks; see ``tables``.

Only documents with a PDF or XML part have rows.
"""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field

from edocnode.storage.columns import (
    ROWID,
    byte_column,
    moment,
    optional_bytes,
    optional_moment,
    partial_index,
)
from edocnode.storage.tables import NodeTable


class SignatureCheckRow(NodeTable, table=True):
    """The check of one document on one side: as received (``owner`` in incoming) or as sent.

    ``state``: pending; done; skipped (nothing can be checked here: taken up again when it can);
    aside (this program met a fault in judging it: checked again when somebody asks for it).
    ``verdict`` is JSON, see ``domain.signatures``, by version ``checker``. ``known_at`` is when
    this node had the document. ``agency`` is the other side, for the event. ``legal`` is the legal
    status that the newest verdict gives, ``counted`` the one that statistics have it under; both
    number ``signature_checks.LEGAL_STATUS``.
    """

    __tablename__ = "signature_check"
    __table_args__ = (
        Index("ix_signature_check_document_id", "document_id"),
        partial_index(
            "ix_signature_check_pending", "lane", "side", "owner", where="state = 'pending'"
        ),
        partial_index("ix_signature_check_skipped", "side", "owner", where="state = 'skipped'"),
        partial_index("ix_signature_check_aside", "checked_at", where="state = 'aside'"),
        partial_index("ix_signature_check_uncounted", "side", "owner", where="legal <> counted"),
    )

    side: str = Field(primary_key=True, max_length=8)
    owner: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    document_id: bytes = byte_column(16)
    message_id: bytes = byte_column(16)
    agency: str = Field(max_length=35)
    lane: int
    state: str = Field(max_length=8)
    known_at: datetime = moment()
    checker: int
    checked_at: datetime | None = optional_moment()
    verdict: bytes | None = optional_bytes()
    legal: int
    counted: int
