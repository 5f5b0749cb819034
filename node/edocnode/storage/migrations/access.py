"""Makes the tables of who may see what, who saw it, and what is held; part of step 0001."""

import sqlalchemy as sa
from alembic import op

ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_access() -> None:
    """Makes the tables of ``storage.access_tables``."""
    op.create_table(
        "account",
        sa.Column("name", sa.String(28), nullable=False),
        sa.Column("agencies", sa.String(), nullable=False),
        sa.Column("subtree", sa.Integer(), nullable=False),
        sa.Column("may", sa.String(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("cursor_key", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "restriction",
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.String(28), nullable=False),
        sa.Column("may", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "account"),
    )
    op.create_index("ix_restriction_account", "restriction", ["account", "document_id"])
    _create_access_log()
    op.create_table(
        "hold",
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )


def _create_access_log() -> None:
    op.create_table(
        "access_log",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(28), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_access_log_document_id", "access_log", ["document_id", "id"])
    op.create_index("ix_access_log_account", "access_log", ["account", "id"])
