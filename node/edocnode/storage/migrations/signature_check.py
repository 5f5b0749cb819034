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
        sa.Column("legal", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("side", "owner"),
    )
    op.create_index("ix_signature_check_document_id", "signature_check", ["document_id"])
    _where("pending", ["lane", "side", "owner"], "state = 'pending'")
    _where("skipped", ["side", "owner"], "state = 'skipped'")
    _where("aside", ["checked_at"], "state = 'aside'")
    _where("uncounted", ["side", "owner"], "legal <> counted")


def _where(name: str, columns: list[str], text: str) -> None:
    condition = sa.text(text)
    op.create_index(
        f"ix_signature_check_{name}",
        "signature_check",
        columns,
        sqlite_where=condition,
        postgresql_where=condition,
    )
