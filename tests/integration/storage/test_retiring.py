"""What is open is counted by what waits, on both databases."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from edockit.database import Database
from edocnode.domain.retiring import OpenWork
from edocnode.storage.retiring import _COUNTS, _UNSEALED_EFFECTS, SqlOpenWork
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import NOW, Office, arrival, submission

SMALL = {"stage", "damaged_part", "damaged_message"}  # rows come with faults or offers only


async def counted(database: Database) -> OpenWork:
    return await SqlOpenWork(database).count()


async def test_work_is_counted_until_it_is_done(database: Database, peer: Office) -> None:
    store = NodeStore(database)
    office = Office("H29", store)
    await office.open()
    assert await counted(database) == OpenWork()
    await store.submit(submission(to=["G01", "H30"]))
    await store.submit_many([replace(submission(), send_at=NOW + timedelta(days=1))])
    back = submission("G01", ["H29"])
    await store.keep([arrival(peer.envelope(back), back.inline)])
    assert await counted(database) == OpenWork(unsealed=1, undelivered=3)
    await office.seal_all()
    assert await counted(database) == OpenWork(undelivered=3, undecided=1)
    await store.record(peer.delivered(await store.due("G01", NOW, 10)), NOW)
    assert await counted(database) == OpenWork(undelivered=2, undecided=1, unanswered=1)
    salt = bytes(range(16))
    assert not await SqlOpenWork(database).has_effect(salt)
    await store.add_effect(salt, b"{}")
    assert await SqlOpenWork(database).has_effect(salt)
    assert (await counted(database)).unsealed == 1


@pytest.mark.parametrize("kind", _COUNTS)
def test_no_count_reads_what_was_done(kind: str, tmp_path: Path) -> None:
    database = open_store(f"sqlite:///{tmp_path}/node.db")

    def plans(connection: sa.Connection) -> list[str]:
        return [
            row[3]
            for each in (*_COUNTS[kind], *_UNSEALED_EFFECTS)
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}")
        ]

    steps = database.write(plans).result(60)
    database.close()
    scans = [step for step in steps if step.startswith("SCAN ") and " USING " not in step]
    assert {step.split()[1] for step in scans} <= SMALL
