"""Makes the tables of what offices do with documents, as part of the first revision."""

import sqlalchemy as sa
from alembic import op

ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create() -> None:
    """Makes them."""
    _create_step()
    _create_status_got()
    _create_revoked_delivery()
    _create_passed_over()
    _create_revocation()
    _create_destroyed()
    _create_version()
    _create_link()


def _create_step() -> None:
    op.create_table(
        "step",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("incoming_id", sa.BigInteger(), nullable=False),
        sa.Column("step_order", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("assignee", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("answers", sa.LargeBinary(32), nullable=True),
        sa.Column("still_held", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_step_order", "step", ["incoming_id", "step_order"], unique=True)
    op.create_index("ix_step_at", "step", ["at"])


def _create_status_got() -> None:
    op.create_table(
        "status_got",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=True),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("step_order", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("assignee", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("answers", sa.LargeBinary(32), nullable=True),
        sa.Column("still_held", sa.String(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    op.create_index("ix_status_got_document_id", "status_got", ["document_id"])
    op.create_index("ix_status_got_message", "status_got", ["message_id"])


def _create_revoked_delivery() -> None:
    op.create_table(
        "revoked_delivery",
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index("ix_revoked_delivery_document", "revoked_delivery", ["document_id"])


def _create_passed_over() -> None:
    op.create_table(
        "passed_over",
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("node", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("envelope", sa.LargeBinary(32), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("step_order", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("answers", sa.LargeBinary(32), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("message_id", "node"),
    )
    op.create_index("ix_passed_over_envelope", "passed_over", ["envelope"])


def _create_revocation() -> None:
    op.create_table(
        "revocation",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("envelope", sa.LargeBinary(32), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    op.create_index("ix_revocation_document", "revocation", ["document_id"])
    _partial("ix_revocation_pending", "revocation", "state = 'pending'")


def _create_destroyed() -> None:
    op.create_table(
        "destroyed",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    _partial("ix_destroyed_files", "destroyed", "files = 1")


def _create_version() -> None:
    op.create_table(
        "version",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("was_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    op.create_index("ix_version_head", "version", ["head"])
    moved, taken = sa.text("was_at > 0"), sa.text("head = incoming_id")
    op.create_index(
        "ix_version_was_at", "version", ["was_at"], sqlite_where=moved, postgresql_where=moved
    )
    op.create_index("ix_version_document", "version", ["document_id"])
    op.create_index(
        "ix_version_taken", "version", ["document_id"], sqlite_where=taken, postgresql_where=taken
    )
    _partial("ix_version_pending", "version", "state = 'pending'")


def _create_link() -> None:
    op.create_table(
        "link",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("earlier", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("here", sa.String(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_link_document", "link", ["document_id"])
    op.create_index("ix_link_earlier", "link", ["earlier"])
    once = sa.text("kind = 'replaces' AND here = 'sent'")
    op.create_index(
        "uq_link_replaced",
        "link",
        ["earlier"],
        unique=True,
        sqlite_where=once,
        postgresql_where=once,
    )


def _partial(name: str, table: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, ["incoming_id"], sqlite_where=condition, postgresql_where=condition
    )
