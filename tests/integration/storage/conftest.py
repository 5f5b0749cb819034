"""Fixtures of the storage contract: the same promises on a SQLite file, in memory, PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edockit.database import Database
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import Office
from tests.support.stores import SQLITE_MEMORY, new_file, open_in_memory


@pytest.fixture(
    params=["sqlite-file", "sqlite-memory", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite-file":
        return new_file(tmp_path / "node.db")
    if request.param == "sqlite-memory":
        return SQLITE_MEMORY
    return request.getfixturevalue("postgres_store")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_in_memory() if url == SQLITE_MEMORY else open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> NodeStore:
    return NodeStore(database)


@pytest.fixture
def office(store: NodeStore) -> Office:
    """H29, whose node keeps everything in the store under test."""
    return Office("H29", store)


@pytest.fixture
def peer() -> Office:
    """G01, which has no storage here: it words envelopes and receipts."""
    return Office("G01")
