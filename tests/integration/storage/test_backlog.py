"""On PostgreSQL a look at what is to be done costs what it finds, however much waits.

SQLite's steps are read in ``test_plans``. PostgreSQL chooses by what it takes tables to hold, so
here the tables hold much that it knows nothing of, as after a day on which a peer was down.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import Operation
from edockit.database import Database
from edocnode.storage.store import NodeStore
from edocnode.storage.tables import DeliveryEnvelopeRow, DeliveryRow, NodeTable, table_of
from edocnode.storage.versions import heads_of
from edocnode.storage.workflow_tables import VersionRow
from tests.integration.storage.offices import NOW, Office, submission
from tests.integration.storage.test_duplicates import came

WAITING = 20_000
FOUND = 50
FEW = 1_000
READ = sa.text(  # entries of indexes and rows that the transaction has read
    "SELECT sum(pg_stat_get_xact_tuples_returned(oid))::int FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace"
)
pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_store: str) -> str:
    return postgres_store


@contextmanager
def counted(database: Database) -> Iterator[list[int]]:
    """Rows that each read of a block has read."""
    found: list[int] = []

    def note(connection: Connection) -> None:
        found.append(connection.scalar(READ) or 0)

    sa.event.listen(database._reading, "commit", note)
    yield found
    sa.event.remove(database._reading, "commit", note)


def many_more(database: Database, *rows: type[NodeTable]) -> None:
    """Makes the rows there are into many with keys of their own."""
    new = dict.fromkeys(("id", "incoming_id", "seq"), "1000 + number")
    new["message_id"] = "decode(lpad(to_hex(number), 32, '0'), 'hex')"
    for table in map(table_of, rows):
        names = [column.name for column in table.c]
        values = [new.get(name, name) for name in names]
        more = (
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)} "
            f"FROM {table.name}, generate_series(1, {WAITING}) AS number"
        )
        database.write(lambda connection, more=more: connection.exec_driver_sql(more)).result()


async def test_what_is_sealed_next_is_found_among_much(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    await store.submit(submission(to=["G01"]))
    many_more(database, DeliveryRow)
    with counted(database) as read:
        assert len((await store.unsealed(FOUND)).envelopes) == FOUND
    assert FOUND <= sum(read) < FEW


async def test_what_is_offered_next_is_found_among_much(
    database: Database, store: NodeStore, office: Office
) -> None:
    await office.open()
    await store.submit(submission(to=["G01"]))
    await office.seal_all()
    many_more(database, DeliveryEnvelopeRow, DeliveryRow)
    with counted(database) as read:
        assert [queue.to_node for queue in await store.queues()] == ["G01"]
        assert len(await store.due("G01", NOW, FOUND)) == FOUND
    assert FOUND <= sum(read) < FEW


async def test_where_an_update_belongs_is_found_among_many_of_its_document(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    update = came(peer, operation=Operation.UPDATE)
    await store.keep([update])
    await office.seal_all()
    many_more(database, VersionRow)
    with counted(database) as read:
        assert database.read(lambda connection: heads_of(connection, [update])) == {}
    assert sum(read) < FEW
