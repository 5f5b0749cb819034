"""Part of the first migration: what watches over documents."""

import sqlalchemy as sa
from alembic import op

_ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_overview() -> None:
    """Makes the indexes of what is late, the tables of sums and of reminders."""
    _create_late_indexes()
    _create_daily()
    _create_daily_detail()
    _create_counted()
    _create_reported()
    _create_told()
    _create_appointed()


def _create_late_indexes() -> None:
    _partial(
        "ix_delivery_unanswered",
        "delivery",
        ["lane", "ended_at", "sender"],
        "state = 'delivered' AND answered = 0",
    )
    undealt = "state IN ('received', 'accepted', 'assigned', 'processing')"
    _partial("ix_inbox_due", "inbox", ["due_date", "recipient"], f"due_date <> '' AND {undealt}")
    _partial("ix_status_got_agreed", "status_got", ["received_at"], "step = 'agreed'")
    undecided = ["lane", "received_at", "recipient"]
    _partial("ix_inbox_undecided", "inbox", undecided, "state = 'received'")


def _create_daily() -> None:
    figures = (
        *("sent_documents", "sent", "sent_on_time", "paper", "sent_checked", "sent_signed"),
        *("replacements", "corrections", "updates", "revocations"),
        *("received", "received_checked", "received_signed", "alike", "repeated", "updated"),
        *("acknowledged", "accepted", "refused", "finished", "due", "finished_on_time"),
    )
    op.create_table(
        "daily",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("direction", sa.String(3), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("peer", sa.String(35), nullable=False),
        sa.Column("document_type", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in figures),
        sa.PrimaryKeyConstraint("day", "direction", "agency", "peer", "document_type", "lane"),
    )


def _create_daily_detail() -> None:
    op.create_table(
        "daily_detail",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("detail", sa.String(16), nullable=False),
        sa.Column("item", sa.String(35), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "agency", "detail", "item"),
    )


def _create_counted() -> None:
    op.create_table(
        "counted",
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def _create_reported() -> None:
    op.create_table(
        "reported",
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("incoming_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", "agency"),
    )


def _create_told() -> None:
    op.create_table(
        "told",
        sa.Column("outlet", sa.String(64), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("outlet", "message_id", "kind"),
    )
    op.create_index("ix_told_at", "told", ["told_at"])


def _create_appointed() -> None:
    op.create_table(
        "appointed",
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("owner", _ROWID, autoincrement=False, nullable=False),
        sa.Column("deliver_by", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("side", "owner"),
    )


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
