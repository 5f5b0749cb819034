"""Makes the first tables: deliveries, received messages, seals, peers, events."""

import sqlalchemy as sa
from alembic import op

from edocnode.storage.migrations import workflow
from edocnode.storage.migrations.access import create_access
from edocnode.storage.migrations.first_record import create_record_tables
from edocnode.storage.migrations.overview import create_overview
from edocnode.storage.migrations.people import create_people
from edocnode.storage.migrations.scan import create_scan
from edocnode.storage.migrations.signature_check import create_signature_check
from edocnode.storage.migrations.timestamps import create_timestamps

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_document()
    _create_delivery()
    _create_schedule()
    _create_delivery_envelope()
    _create_receipt_got()
    _create_seq_given()
    _create_incoming()
    _create_receipt_given()
    _create_inbox()
    workflow.create()
    _create_stage()
    _create_stage_part()
    _create_blob_use()
    _create_damaged_part()
    _create_damaged_message()
    _create_settled()
    _create_accounted()
    _create_explained()
    _create_seal()
    _create_lease()
    _create_own_statement()
    _create_effect()
    _create_peer()
    _create_opening()
    create_people()
    create_overview()
    create_record_tables()
    create_signature_check()
    create_timestamps()
    create_access()
    create_scan()


def _create_document() -> None:
    op.create_table(
        "document",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("request_id", sa.String(200), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(32), nullable=True),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("urgency", sa.String(16), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("about", sa.LargeBinary(32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Integer(), nullable=False),
        sa.Column("listing", sa.LargeBinary(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("inline", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_id"),
    )
    op.create_index("ix_document_document_id", "document", ["document_id"])
    _partial("ix_document_incomplete", "document", ["id"], "complete = 0")
    _documents_in_one_piece("document", "inline")


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("document_row", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("to_node", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("envelope_rank", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("digest_failures", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_index("ix_delivery_document_row", "delivery", ["document_row"])
    _partial("ix_delivery_expiry", "delivery", ["expires_at"], "state IN ('queued', 'waiting')")
    _partial("ix_delivery_held", "delivery", ["id"], "state = 'held'")
    _partial(
        "ix_delivery_never_asked",
        "delivery",
        ["to_node", "id"],
        "state = 'expired' AND reason = 'PEER_UNREACHABLE'",
    )
    queued = ["to_node", "lane", "id", "expires_at", "state"]
    _partial("ix_delivery_queued", "delivery", queued, "state = 'queued'")
    _partial("ix_delivery_scheduled", "delivery", ["document_row", "id"], "state = 'scheduled'")
    _partial("ix_delivery_sending", "delivery", ["id"], "state = 'sending'")
    _partial("ix_delivery_unsealed", "delivery", ["lane", "to_node", "id"], "state = 'unsealed'")
    _partial("ix_delivery_waiting", "delivery", ["to_node", "next_at"], "state = 'waiting'")


def _create_schedule() -> None:
    op.create_table(
        "schedule",
        sa.Column("document_row", ROWID, autoincrement=False, nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("document_row"),
    )
    op.create_index("ix_schedule_due_at", "schedule", ["due_at"])


def _create_delivery_envelope() -> None:
    op.create_table(
        "delivery_envelope",
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("to_node", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "rank"),
    )
    op.create_index("ix_delivery_envelope_seq", "delivery_envelope", ["to_node", "epoch", "seq"])
    op.create_index("ix_delivery_envelope_seal", "delivery_envelope", ["seal_id"])


def _create_receipt_got() -> None:
    op.create_table(
        "receipt_got",
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("got_at", sa.BigInteger(), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "rank"),
    )
    op.create_index("ix_receipt_got_seal", "receipt_got", ["seal_id"])


def _create_seq_given() -> None:
    op.create_table(
        "seq_given",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("to_node", sa.String(35), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "to_node"),
    )


def _create_incoming() -> None:
    op.create_table(
        "incoming",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("signer", sa.String(35), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("about", sa.LargeBinary(32), nullable=True),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(63), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("listing", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("inline", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_incoming_seal", "incoming", ["seal_id"])
    op.create_index("ix_incoming_seq", "incoming", ["signer", "epoch", "seq"])
    _partial("ix_incoming_urgent", "incoming", ["lane", "id"], "lane < 3")
    op.create_index(
        "uq_incoming_message", "incoming", ["message_id", "sender", "rank"], unique=True
    )
    _documents_in_one_piece("incoming", "inline")


def _create_receipt_given() -> None:
    op.create_table(
        "receipt_given",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )
    op.create_index("ix_receipt_given_seal", "receipt_given", ["seal_id"])


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("position", ROWID, nullable=False),
        sa.Column("incoming_id", ROWID, nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("document_id", sa.LargeBinary(16), nullable=False),
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("recipient", sa.String(35), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("about", sa.LargeBinary(32), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("notation", sa.String(), nullable=False),
        sa.Column("document_type", sa.String(), nullable=False),
        sa.Column("document_code", sa.String(), nullable=False),
        sa.Column("issued_date", sa.String(), nullable=False),
        sa.Column("due_date", sa.String(), nullable=False),
        sa.Column("search", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("incoming_id"),
    )
    op.create_index("ix_inbox_document_id", "inbox", ["document_id", "recipient"])
    op.create_index("ix_inbox_recipient", "inbox", ["recipient", "position"])


def _create_stage() -> None:
    op.create_table(
        "stage",
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("offered_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sender", "message_id"),
    )
    op.create_index("ix_stage_expiry", "stage", ["expires_at"])


def _create_stage_part() -> None:
    op.create_table(
        "stage_part",
        sa.Column("sender", sa.String(35), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("part_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("bytes_on_disk", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sender", "message_id", "part_index"),
    )


def _create_blob_use() -> None:
    op.create_table(
        "blob_use",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", ROWID, autoincrement=False, nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "kind", "owner"),
    )


def _create_damaged_part() -> None:
    op.create_table(
        "damaged_part",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )


def _create_damaged_message() -> None:
    op.create_table(
        "damaged_message",
        sa.Column("incoming_id", ROWID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("incoming_id"),
    )


def _create_settled() -> None:
    op.create_table(
        "settled",
        sa.Column("to_node", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("to_node", "epoch"),
    )


def _create_accounted() -> None:
    op.create_table(
        "accounted",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "epoch"),
    )


def _create_explained() -> None:
    op.create_table(
        "explained",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "epoch", "seq"),
    )


def _create_seal() -> None:
    op.create_table(
        "seal",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("seal_index", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("sealed_at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_seal_place", "seal", ["agency", "epoch", "seal_index", "rank"], unique=True)


def _create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_to", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency"),
    )


def _create_own_statement() -> None:
    op.create_table(
        "own_statement",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_own_statement_kind", "own_statement", ["kind", "id"])
    op.create_index("ix_own_statement_seal", "own_statement", ["seal_id"])


def _create_effect() -> None:
    op.create_table(
        "effect",
        sa.Column("id", ROWID, nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=True),
        sa.Column("leaf", sa.BigInteger(), nullable=True),
        sa.Column("proof", sa.LargeBinary(), nullable=True),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    _partial("ix_effect_unsealed", "effect", ["id"], "seal_id IS NULL")
    _partial("ix_effect_message", "effect", ["message_id"], "message_id IS NOT NULL")
    op.create_index("ix_effect_seal", "effect", ["seal_id"])


def _create_peer() -> None:
    op.create_table(
        "peer",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("down_since", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agency"),
    )


def _create_opening() -> None:
    op.create_table(
        "opening",
        sa.Column("agency", sa.String(35), nullable=False),
        sa.Column("epoch", sa.LargeBinary(16), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("agency"),
    )


def _documents_in_one_piece(table: str, column: str) -> None:
    """Spares PostgreSQL compressing PDF in vain, and cutting what fits into a page."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
        op.execute(f"ALTER TABLE {table} SET (toast_tuple_target = 8160)")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
