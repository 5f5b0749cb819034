"""Makes the table of signature checks, for the first migration."""

import sqlalchemy as sa
from alembic import op

_ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_signature_check() -> None:
    op.create_table(
        "signature_check",
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("owner", _ROWID, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("checker", sa.Integer(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("side", "owner"),
    )
    op.create_index("ix_signature_check_document_id", "signature_check", ["document_id"])
    _in_state("pending", ["lane", "side", "owner"])
    _in_state("skipped", ["side", "owner"])


def _in_state(state: str, columns: list[str]) -> None:
    condition = sa.text(f"state = '{state}'")
    op.create_index(
        f"ix_signature_check_{state}",
        "signature_check",
        columns,
        sqlite_where=condition,
        postgresql_where=condition,
    )
