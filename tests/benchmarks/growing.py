"""Makes the inbox of a stopped node as large as one of many years, by copying what it received.

Rows of one received document are copied in every table that a received document has, with ids,
digests and numbers of their own that grow as real ones do, and without the bytes of its attachment.
Seals are shared with the original. Nothing waits for the disk until all is there.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

FIRST_MS = int(time.time() * 1000) - 400 * 86_400_000  # the copies came in the last 400 days
IN_COMMIT = 50_000
OLD_EPOCH = (FIRST_MS << 80 | 0x7 << 76 | 0x2 << 62).to_bytes(16, "big")
# Table and the column that numbers its rows.
TABLES = {
    "incoming": "id",
    "receipt_given": "incoming_id",
    "inbox": "position",
    "event": "position",
}


def grow(database: str, rows: int) -> None:
    """Adds documents until the inbox has so many.

    Args:
        database: SQLite URL of a stopped node that has received a document.
    """
    connection = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-262144")
        have = connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
        for start in range(0, rows - have, IN_COMMIT):
            _copy(connection, min(IN_COMMIT, rows - have - start))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _reach_disk(database.removeprefix("sqlite:///"))


def _reach_disk(path: str) -> None:
    """Waits for the disk now, or the first writes of the node that is measured would."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    incoming = connection.execute("SELECT max(id) FROM incoming").fetchone()[0] + 1
    ids = [_new_ids(incoming + number) for number in range(count)]
    for table, key in TABLES.items():
        first = connection.execute(f"SELECT max({key}) FROM {table}").fetchone()[0] + 1
        names, template = _template(connection, table, key)
        changes = _changes(names, key, ids, first=first, incoming=incoming)
        marks = ", ".join("?" * len(names))
        connection.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
            _rows(template, changes, count),
        )
    connection.execute("COMMIT")


def _new_ids(number: int) -> tuple[bytes, bytes, bytes]:
    """Message id, document id and a digest; the ids grow with the number, as with time."""
    random = os.urandom(50)
    head = (FIRST_MS + number).to_bytes(6, "big") + b"\x70"
    return head + random[:9], head + random[9:18], random[18:]


def _template(connection: sqlite3.Connection, table: str, key: str) -> tuple[list[str], list[Any]]:
    """Column names and values of the oldest row of a received document."""
    kind = "WHERE kind = 'document.received'" if table == "event" else ""
    cursor = connection.execute(f"SELECT * FROM {table} {kind} ORDER BY {key} LIMIT 1")
    row = list(cursor.fetchone())
    names = [column[0] for column in cursor.description]
    if "inline" in names:  # the record alone: what a document with large parts has here
        row[names.index("inline")] = row[names.index("inline")][:400]
    return names, row


def _changes(
    names: list[str], key: str, ids: list[tuple[bytes, bytes, bytes]], *, first: int, incoming: int
) -> dict[int, Callable[[int], object]]:
    """By place of the column: its value in a copy."""
    values: dict[str, Callable[[int], object]] = {
        "incoming_id": lambda number: incoming + number,
        "message_id": lambda number: ids[number][0],
        "document_id": lambda number: ids[number][1],
        "digest": lambda number: ids[number][2],
        "comparable": lambda number: ids[number][2],
        "epoch": lambda _: OLD_EPOCH,
        "seq": lambda number: incoming + number,
        key: lambda number: first + number,
    }
    return {names.index(name): value for name, value in values.items() if name in names}


def _rows(
    template: list[Any], changes: dict[int, Callable[[int], object]], count: int
) -> Iterator[list[Any]]:
    for number in range(count):
        row = template.copy()
        for place, value in changes.items():
            row[place] = value(number)
        yield row
