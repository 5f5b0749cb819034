"""Part of the first migration: the table of ``storage.timestamp_tables``."""

import sqlalchemy as sa
from alembic import op


def create_timestamps() -> None:
    """Makes the tokens."""
    op.create_table(
        "time_token",
        sa.Column("last_seal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_seal", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("last_seal"),
    )
