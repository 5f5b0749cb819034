"""The table of documents that are to be in the recipient's hands by a moment; see ``tables``.

Only documents whose sender names such a moment (hỏa tốc hẹn giờ) have rows.
"""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field

from edocnode.storage.columns import ROWID, moment
from edocnode.storage.tables import NodeTable


class AppointedRow(NodeTable, table=True):
    """When a document is to be there: as sent (``owner`` in document) or received (in incoming).

    Of a received document it is what the version in force says.
    """

    __tablename__ = "appointed"

    side: str = Field(primary_key=True, max_length=8)
    owner: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))
    deliver_by: datetime = moment()
