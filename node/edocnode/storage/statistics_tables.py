"""The tables of sums: see ``domain.statistics``. Only migrations make them.

Written by the worker that counts, never with a document on its way.
"""

from sqlalchemy import Column, Integer
from sqlmodel import Field

from edocnode.storage.columns import number
from edocnode.storage.tables import NodeTable


class DailyRow(NodeTable, table=True):
    """Documents of one day, by what they are divided by; see ``domain.statistics.Figures``.

    ``day`` is ISO, ``document_type`` a code or ``-``.
    """

    __tablename__ = "daily"

    day: str = Field(primary_key=True, max_length=10)
    direction: str = Field(primary_key=True, max_length=3)
    agency: str = Field(primary_key=True, max_length=35)
    peer: str = Field(primary_key=True, max_length=35)
    document_type: str = Field(primary_key=True, max_length=35)
    lane: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    sent_documents: int = number()
    sent: int = number()
    sent_on_time: int = number()
    paper: int = number()
    sent_checked: int = number()
    sent_signed: int = number()
    replacements: int = number()
    corrections: int = number()
    updates: int = number()
    revocations: int = number()
    received: int = number()
    received_checked: int = number()
    received_signed: int = number()
    alike: int = number()
    repeated: int = number()
    updated: int = number()
    acknowledged: int = number()
    accepted: int = number()
    refused: int = number()
    finished: int = number()
    due: int = number()
    finished_on_time: int = number()


class DailyDetailRow(NodeTable, table=True):
    """What is counted by day and agency alone; see ``domain.statistics.Detail``."""

    __tablename__ = "daily_detail"

    day: str = Field(primary_key=True, max_length=10)
    agency: str = Field(primary_key=True, max_length=35)
    detail: str = Field(primary_key=True, max_length=16)
    item: str = Field(primary_key=True, max_length=35)
    count: int = number()


class CountedRow(NodeTable, table=True):
    """How far the rows of a source are in the sums: ``seal``, ``inbox``, ``step``."""

    __tablename__ = "counted"

    source: str = Field(primary_key=True, max_length=16)
    place: int = number()


class ReportedRow(NodeTable, table=True):
    """The newest monthly statement of an agency that arrived here; see ``domain.reporting``."""

    __tablename__ = "reported"

    month: str = Field(primary_key=True, max_length=7)
    agency: str = Field(primary_key=True, max_length=35)
    incoming_id: int = number()
