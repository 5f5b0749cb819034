"""Part of migration 0001: the tables of official numbers and of searches."""

import sqlalchemy as sa
from alembic import op

from edocnode.storage.columns import ROWID


def create_record_tables() -> None:
    """Makes the tables of official numbers, searches and duplicates."""
    _create_official_numbers()
    _create_search()
    _create_duplicates()


def _create_official_numbers() -> None:
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


def _create_search() -> None:
    op.create_table(
        "sent",
        sa.Column("document_row", ROWID, autoincrement=False, nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("notation", sa.String(), nullable=False),
        sa.Column("document_type", sa.String(), nullable=False),
        sa.Column("issued_date", sa.String(), nullable=False),
        sa.Column("due_date", sa.String(), nullable=False),
        sa.Column("search", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("document_row"),
    )
    op.create_index("ix_sent_sender", "sent", ["sender", "document_row"])
    numbered = sa.text("number != ''")
    op.create_index(
        "ix_sent_number",
        "sent",
        ["number", "notation"],
        sqlite_where=numbered,
        postgresql_where=numbered,
    )


def _create_duplicates() -> None:
    op.create_table(
        "received_number",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    op.create_index("ix_received_number_key", "received_number", ["key", "recipient"])
    op.create_table(
        "duplicate",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id", "document_id"),
    )
