"""The table of scans for malware; see ``tables``.

While the setting ``scanner`` is off no row comes.
"""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field

from edocnode.storage.columns import ROWID, byte_column, moment, optional_moment, partial_index
from edocnode.storage.tables import NodeTable


class ScanRow(NodeTable, table=True):
    """The scan of one received document (``incoming_id``).

    ``state`` is a ``ScanState``. ``shown`` 0: no office has seen it, and its lists and events do
    not have it. ``blocked`` 1: its content is given to nobody. ``breaks``: scans that the scanner
    did not survive or finish; then it waits until ``again_at``. ``finding`` is JSON, empty when
    there is none; ``scanner`` the version that found it, or found nothing.
    """

    __tablename__ = "scan"
    __table_args__ = (
        partial_index(
            "ix_scan_waiting", "lane", "sender", "incoming_id", where="state = 'waiting'"
        ),
        partial_index("ix_scan_again", "again_at", where="state = 'again'"),
        partial_index("ix_scan_kept_apart", "incoming_id", where="state IN ('infected', 'held')"),
        partial_index("ix_scan_hidden", "document_id", where="shown = 0"),
    )

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    message_id: bytes = byte_column(16)
    document_id: bytes = byte_column(16)
    sender: str = Field(max_length=35)
    recipient: str = Field(max_length=35)
    lane: int
    state: str = Field(max_length=8)
    shown: int
    blocked: int
    breaks: int
    again_at: datetime | None = optional_moment()
    received_at: datetime = moment()
    scanned_at: datetime | None = optional_moment()
    finding: str
    scanner: str
