"""Databases of nodes with their tables and nothing in them, copied from one that was migrated once.

The tables are those that the product's own migrations make, once in each process of the tests;
making them is most of the processor time of a test of storage.
"""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edockit.database import Database
from edocnode.storage.store import open_store
from tests.support.postgres import PostgresServer

SQLITE_MEMORY = "sqlite://"


def new_file(path: Path) -> str:
    """Writes the database of a new node, which only its owner may read, and returns its URL."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(file, "wb") as database:
        database.write(_file())
    return f"sqlite:///{path}"


def open_in_memory() -> Database:
    """Opens the database of a new node in memory."""
    database = Database.open(SQLITE_MEMORY)
    driver: Any = database.engine.raw_connection().driver_connection
    driver.deserialize(serialized())
    return database


@functools.cache
def serialized() -> bytes:
    """The tables, as ``sqlite3.Connection.deserialize`` takes them."""
    database = open_store(SQLITE_MEMORY)
    try:
        driver: Any = database.engine.raw_connection().driver_connection
        data: bytes = driver.serialize()
    finally:
        database.close()
    return data


@functools.cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="edoc-tables-") as folder:
        path = Path(folder) / "node.db"
        open_store(f"sqlite:///{path}").close()
        assert os.listdir(folder) == [path.name]
        return path.read_bytes()


@pytest.fixture
def postgres_store(postgres_server: PostgresServer) -> Iterator[str]:
    """Gives the URL of a database of a new node on PostgreSQL."""
    template = postgres_server.template("node", lambda url: open_store(url).close())
    name = postgres_server.new_database(template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
