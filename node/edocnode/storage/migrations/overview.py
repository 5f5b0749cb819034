"""Part of the first migration: what watches over documents."""

import sqlalchemy as sa
from alembic import op


def create_overview() -> None:
    """Makes the indexes of what is late."""
    _partial(
        "ix_delivery_unanswered",
        "delivery",
        ["lane", "ended_at", "sender"],
        "state = 'delivered' AND answered = 0",
    )
    undealt = "state IN ('received', 'accepted', 'assigned', 'processing')"
    _partial("ix_inbox_due", "inbox", ["due_date", "recipient"], f"due_date <> '' AND {undealt}")
    undecided = ["lane", "received_at", "recipient"]
    _partial("ix_inbox_undecided", "inbox", undecided, "state = 'received'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
