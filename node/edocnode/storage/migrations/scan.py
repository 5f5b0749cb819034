"""Makes the table of scans for malware, for the first migration."""

import sqlalchemy as sa
from alembic import op

_ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_scan() -> None:
    op.create_table(
        "scan",
        sa.Column("incoming_id", _ROWID, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("blocked", sa.Integer(), nullable=False),
        sa.Column("breaks", sa.Integer(), nullable=False),
        sa.Column("again_at", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("scanned_at", sa.BigInteger(), nullable=True),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("scanner", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    _where("waiting", ["lane", "sender", "incoming_id"], "state = 'waiting'")
    _where("again", ["again_at"], "state = 'again'")
    _where("kept_apart", ["incoming_id"], "state IN ('infected', 'held')")
    _where("hidden", ["document_id"], "shown = 0")


def _where(name: str, columns: list[str], text: str) -> None:
    condition = sa.text(text)
    op.create_index(
        f"ix_scan_{name}", "scan", columns, sqlite_where=condition, postgresql_where=condition
    )
