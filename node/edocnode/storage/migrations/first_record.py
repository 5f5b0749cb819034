"""Part of migration 0001: tables for the metadata of documents; see ``official_number_tables``."""

import sqlalchemy as sa
from alembic import op

from edocnode.storage.columns import ROWID


def create_official_numbers() -> None:
    """Makes the tables of official numbers."""
    op.create_table(
        "number_series",
        sa.Column("book", sa.String(8), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("series", sa.String(100), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("book", "agency", "series", "year"),
    )
    op.create_table(
        "official_number",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("book", sa.String(8), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("series", sa.String(100), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(200), nullable=True),
        sa.Column("incoming_id", sa.BigInteger(), nullable=True),
        sa.Column("document_id", sa.LargeBinary(16), nullable=True),
        sa.Column("issued_date", sa.String(10), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("book", "agency", "series", "year", "number"),
        sa.UniqueConstraint("request_id"),
        sa.UniqueConstraint("incoming_id"),
    )
    op.create_index("ix_official_number_page", "official_number", ["book", "agency", "year", "id"])
