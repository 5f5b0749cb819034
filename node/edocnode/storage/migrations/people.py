"""Part of the first migration: the tables of ``storage.people_tables``."""

import sqlalchemy as sa
from alembic import op

ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_people() -> None:
    """Makes events, consumers, alarms and single values."""
    _create_event()
    _create_consumer()
    _create_alarm()
    _create_meta()


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("position", ROWID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("ix_event_document_id", "event", ["document_id", "position"])


def _create_consumer() -> None:
    op.create_table(
        "consumer",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_alarm() -> None:
    op.create_table(
        "alarm",
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("proof", sa.String(200), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger()),
        sa.Column("actor", sa.String(200)),
        sa.Column("reason", sa.String(500)),
        sa.PrimaryKeyConstraint("kind", "subject", "proof"),
    )


def _create_meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
