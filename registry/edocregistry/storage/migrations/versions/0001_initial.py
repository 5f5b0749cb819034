"""Makes the first tables: agencies, certificates, invites, endpoints, revocations, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_agencies()
    _create_certificates()
    _create_officers_tables()
    _create_log_tables()
    op.create_table(
        "invite",
        sa.Column("token_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("agency", sa.String(35), nullable=False, index=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger),
        sa.Column("certificate_sha256", sa.String(64)),
    )
    for name in ("endpoint", "subagency_list"):
        op.create_table(
            name,
            sa.Column("agency", sa.String(35), primary_key=True),
            sa.Column("counter", sa.BigInteger, nullable=False),
            sa.Column("statement", sa.LargeBinary, nullable=False),
            sa.Column("leaf", sa.BigInteger, nullable=False),
            sa.Column("proof", sa.LargeBinary, nullable=False),
            sa.Column("seal", sa.LargeBinary, nullable=False),
            sa.Column("signature", sa.LargeBinary, nullable=False),
            sa.Column("published_at", sa.BigInteger, nullable=False),
        )
    op.create_table(
        "space",
        sa.Column("space", sa.String(37), primary_key=True),
        sa.Column("agency", sa.String(35), nullable=False, index=True),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("result", sa.String(64), nullable=False),
    )


def _create_agencies() -> None:
    op.create_table(
        "agency",
        sa.Column("code", sa.String(35), primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("owner", sa.String(35)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("valid_from", sa.BigInteger, nullable=False),
        sa.Column("valid_to", sa.BigInteger),
        sa.Column("successors", sa.String, nullable=False),
    )
    op.create_table(
        "agency_code",
        sa.Column("code", sa.String(35), primary_key=True),
        sa.Column("agency", sa.String(35), nullable=False, index=True),
        sa.Column("place", sa.Integer, nullable=False),
    )


def _create_certificates() -> None:
    op.create_table(
        "seal_certificate",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("agency", sa.String(35), nullable=False, index=True),
        sa.Column("key_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "revocation",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("agency", sa.String(35), nullable=False, index=True),
        sa.Column("serial", sa.String(49)),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("compromised_since", sa.BigInteger),
    )
    op.create_table(
        "outside_authority",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("crl", sa.LargeBinary),
        sa.Column("added_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "crl",
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
    )


def _create_officers_tables() -> None:
    op.create_table(
        "suite_minimum",
        sa.Column("agency", sa.String(35), primary_key=True),
        sa.Column("suite", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "former_authority",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("crl", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "published_draft",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def _create_log_tables() -> None:
    op.create_table(
        "witness",
        sa.Column("agency", sa.String(35), primary_key=True),
        sa.Column("key", sa.String, nullable=False),
    )
    op.create_table(
        "log_policy",
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("threshold", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in (
        "audit",
        "log_policy",
        "witness",
        "published_draft",
        "former_authority",
        "space",
        "subagency_list",
        "endpoint",
        "invite",
        "crl",
        "outside_authority",
        "revocation",
        "suite_minimum",
        "seal_certificate",
        "agency_code",
        "agency",
    ):
        op.drop_table(table)
