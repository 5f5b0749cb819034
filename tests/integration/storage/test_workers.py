"""Several workers on one database, and workers that die in the middle."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edoccore.errors import EpochSupersededError
from edockit.database import Database
from edocnode.domain.model import KeepKind
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import Office, submission
from tests.integration.storage.test_inbox import incoming, variant
from tests.support.stores import new_file

ROUNDS = int(os.environ.get("EDOC_TEST_ROUNDS", "10"))
KILLS = max(2, ROUNDS // 5)
NO_RECEIPT = "NOT EXISTS (SELECT 1 FROM receipt_given g WHERE g.incoming_id = i.id)"


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Databases that two processes can open."""
    if request.param == "sqlite-file":
        return new_file(tmp_path / "node.db")
    return request.getfixturevalue("postgres_store")


@pytest.fixture
def workers(url: str) -> Iterator[tuple[NodeStore, NodeStore]]:
    first, second = open_store(url), open_store(url)
    yield NodeStore(first), NodeStore(second)
    first.close()
    second.close()


def rows(database: Database, query: str) -> Any:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


async def test_workers_racing_with_one_message_keep_it_once(
    workers: tuple[NodeStore, NodeStore], peer: Office, database: Database
) -> None:
    for _ in range(ROUNDS):
        batch = incoming(peer, 4)
        results = await asyncio.gather(*(store.keep(batch) for store in workers * 3))
        ids = {tuple(item.known.incoming_id for item in outcomes) for outcomes in results}
        assert len(ids) == 1  # everybody was told the same rows
    [row] = rows(database, "SELECT count(*) AS kept FROM incoming")
    assert row.kept == 4 * ROUNDS
    [row] = rows(database, "SELECT count(*) AS waiting FROM incoming i WHERE " + NO_RECEIPT)
    assert row.waiting == 4 * ROUNDS


async def test_rivals_racing_in_both_orders_end_as_one_accepted_and_one_rejected(
    workers: tuple[NodeStore, NodeStore], peer: Office, database: Database
) -> None:
    office = Office("H29", workers[0])
    await office.open()
    for round_ in range(ROUNDS):
        [first] = incoming(peer)
        rival = variant(peer, first)
        order = [first, rival] if round_ % 2 else [rival, first]
        one, two = await asyncio.gather(
            *(store.keep([each]) for store, each in zip(workers, order, strict=True))
        )
        assert {one[0].kind, two[0].kind} == {KeepKind.NEW, KeepKind.CONFLICT}
    await office.seal_all()
    results = rows(database, "SELECT result, count(*) AS count FROM incoming GROUP BY result")
    assert {row.result: row.count for row in results} == {"received": ROUNDS, "rejected": ROUNDS}
    assert len(rows(database, "SELECT 1 FROM inbox")) == ROUNDS
    assert len(rows(database, "SELECT 1 FROM receipt_given")) == 2 * ROUNDS


async def test_of_two_sealers_only_the_newer_one_ever_commits(
    workers: tuple[NodeStore, NodeStore], database: Database
) -> None:
    old, new = Office("H29", workers[0]), Office("H29", workers[1])
    await old.open()
    for _ in range(20):
        await workers[0].submit(submission())
    late, _ = old.word(await workers[0].unsealed(100))
    await new.open()
    fresh, _ = new.word(await workers[1].unsealed(100))
    results = await asyncio.gather(
        workers[0].commit_seal(late), workers[1].commit_seal(fresh), return_exceptions=True
    )
    assert isinstance(results[0], EpochSupersededError)
    assert results[1] is True
    [row] = rows(
        database, "SELECT count(DISTINCT seq) AS seqs, count(*) AS n FROM delivery_envelope"
    )
    assert (row.seqs, row.n) == (20, 20)


WRITER = """
import asyncio, sys
from tests.integration.storage.offices import NOW, Office, arrival, submission
from edocnode.storage.store import NodeStore, open_store

async def main(url):
    store = NodeStore(open_store(url))
    office, peer = Office("H29", store), Office("G01")
    await office.open()
    print("ready", flush=True)
    while True:
        made = [submission(to=["G01", "H30"]) for _ in range(5)]
        await asyncio.gather(*map(store.submit, made))
        back = [submission("G01", ["H29"]) for _ in range(5)]
        arrivals = [arrival(peer.envelope(each), each.inline) for each in back]
        await store.keep(arrivals)
        commit = await office.seal_all()
        await store.record(peer.delivered(await store.due("G01", NOW, 20)), NOW)
        done = [each.request_id for each in made] + [a.message_id.hex() for a in arrivals]
        print(" ".join(done), flush=True)

asyncio.run(main(sys.argv[1]))
"""

# Each line: what must not exist, whatever moment the process died at.
NEVER = {
    "a sealed delivery without its envelope": (
        "SELECT 1 FROM delivery d WHERE state <> 'unsealed' AND NOT EXISTS (SELECT 1 FROM "
        "delivery_envelope e WHERE e.message_id = d.message_id AND e.rank = d.envelope_rank)"
    ),
    "a delivered one without its receipt": (
        "SELECT 1 FROM delivery d WHERE state = 'delivered' AND NOT EXISTS "
        "(SELECT 1 FROM receipt_got r WHERE r.message_id = d.message_id)"
    ),
    "a statement without its seal": (
        "SELECT 1 FROM (SELECT seal_id FROM delivery_envelope UNION ALL SELECT seal_id FROM "
        "receipt_given UNION ALL SELECT seal_id FROM receipt_got UNION ALL SELECT seal_id FROM "
        "incoming) s WHERE NOT EXISTS (SELECT 1 FROM seal WHERE seal.id = s.seal_id)"
    ),
    "a visible document without a receipt": (
        "SELECT 1 FROM inbox i WHERE NOT EXISTS "
        "(SELECT 1 FROM receipt_given g WHERE g.incoming_id = i.incoming_id)"
    ),
    "an arrival that nobody will answer": (
        f"SELECT 1 FROM incoming i WHERE {NO_RECEIPT} AND id <= (SELECT answered_to FROM lease)"
    ),
    "a message kept twice": (
        "SELECT 1 FROM incoming GROUP BY sender, message_id HAVING count(*) > 1"
    ),
    "a seq given twice in one epoch": (
        "SELECT 1 FROM delivery_envelope GROUP BY to_node, epoch, seq HAVING count(*) > 1"
    ),
    "a delivery without its document": (
        "SELECT 1 FROM delivery d WHERE NOT EXISTS "
        "(SELECT 1 FROM document o WHERE o.id = d.document_row)"
    ),
    "a visible document without its event": (
        "SELECT 1 FROM inbox i WHERE NOT EXISTS (SELECT 1 FROM event e WHERE "
        "e.message_id = i.message_id AND e.kind = 'document.received')"
    ),
}


@pytest.mark.slow
async def test_a_worker_killed_at_any_moment_leaves_everything_or_nothing(
    url: str, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    for number in range(KILLS):
        acknowledged += run_and_kill(url, rounds=1 + number % 3, share=(number * 0.37) % 1)
    await_end_of_transactions(url)
    database = open_store(url)
    try:
        for what, query in NEVER.items():
            assert rows(database, query) == [], what
        found = {row.request_id for row in rows(database, "SELECT request_id FROM document")}
        found |= {row.message_id.hex() for row in rows(database, "SELECT message_id FROM incoming")}
        assert acknowledged
        assert set(acknowledged) <= found
        office = Office("H29", NodeStore(database))
        await office.open()  # the journal is whole, and goes on
        await office.seal_all()
        assert rows(database, "SELECT 1 FROM incoming i WHERE " + NO_RECEIPT) == []
    finally:
        database.close()


def run_and_kill(url: str, *, rounds: int, share: float) -> list[str]:
    """Runs a writing process, kills it, returns what it was told to be kept.

    Args:
        url: Of the database.
        rounds: How many rounds of writes it finishes, however slow this machine is.
        share: How far into the next round it is killed, in lengths of the round before.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    lines = []
    for _ in range(rounds):
        began = time.monotonic()
        lines.append(process.stdout.readline())
        assert lines[-1].endswith("\n"), "the writing process ended by itself"
    time.sleep(share * (time.monotonic() - began))
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    lines += [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return [word for line in lines for word in line.split()]


def await_end_of_transactions(url: str) -> None:
    """PostgreSQL finishes what a killed program had asked for; a file has nobody to do so."""
    if not url.startswith("postgresql"):
        return
    others = sa.text(
        "SELECT 1 FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    deadline = time.monotonic() + 60
    with engine.connect() as connection:
        while connection.execute(others).first() is not None:
            assert time.monotonic() < deadline, "a killed program's transaction does not end"
            time.sleep(0.01)
    engine.dispose()
