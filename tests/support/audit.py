"""What must hold between two nodes when nothing is under way: looked up in their own databases.

Not through the programs, since they are what is judged.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy

from tests.support.network import Node

DELIVERIES = """
    SELECT d.message_id, d.state, d.to_node, e.data AS envelope, r.data AS receipt
    FROM delivery d
    LEFT JOIN delivery_envelope e ON e.message_id = d.message_id AND e.rank = d.envelope_rank
    LEFT JOIN receipt_got r ON r.message_id = d.message_id AND r.rank = 0
"""
RECEIVED = """
    SELECT i.message_id, i.digest, i.envelope, r.data AS receipt
    FROM incoming i JOIN receipt_given r ON r.incoming_id = i.id
"""
DOUBLE_SEQS = """
    SELECT to_node, epoch, seq, count(*) FROM delivery_envelope
    GROUP BY to_node, epoch, seq HAVING count(*) > 1
"""
DOUBLE_ROWS = "SELECT document_id, count(*) FROM inbox GROUP BY document_id HAVING count(*) > 1"
UNSEALED = """
    SELECT count(*) FROM incoming i
    WHERE NOT EXISTS (SELECT 1 FROM receipt_given g WHERE g.incoming_id = i.id)
"""


@contextmanager
def rows_of(node: Node) -> Iterator[sqlalchemy.Connection]:
    """The database of a node, beside it."""
    url = node.settings.get("DATABASE") or f"sqlite:///{node.data / 'node.db'}"
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def read(node: Node, query: str) -> Sequence[Any]:
    """Rows that a query finds."""
    with rows_of(node) as connection:
        return connection.execute(sqlalchemy.text(query)).all()


def check_both_agree(sender: Node, recipient: Node) -> int:
    """Each delivered message has a receipt for the envelope that both have stored.

    Returns:
        How many were looked at.
    """
    received = {bytes(row.message_id): row for row in read(recipient, RECEIVED)}
    deliveries = [row for row in read(sender, DELIVERIES) if row.to_node == recipient.code]
    for row in deliveries:
        assert row.state == "delivered", (row.state, row.message_id.hex())
        digest = sha256(row.envelope).digest()
        kept = received[bytes(row.message_id)]
        assert json.loads(row.receipt)["envelope"] == digest.hex()
        assert (bytes(kept.digest), bytes(kept.envelope)) == (digest, bytes(row.envelope))
        assert bytes(kept.receipt) == bytes(row.receipt)
    return len(deliveries)


def check_nothing_twice(*nodes: Node) -> None:
    """No document twice in an inbox, no seq twice in an epoch, nothing left unanswered."""
    for node in nodes:
        assert read(node, DOUBLE_ROWS) == []
        assert read(node, DOUBLE_SEQS) == []
        assert read(node, UNSEALED)[0][0] == 0


def left_in_staging(node: Node) -> list[Path]:
    """Files of parts that are unfinished."""
    return sorted((node.data / "blobs" / "staging").iterdir())
