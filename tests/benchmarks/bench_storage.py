"""What the storage of a node costs, beside bare sqlite3 writing the same bytes.

    .venv/bin/python -m tests.benchmarks.bench_storage [--quick] [--rounds N]

Documents of 4 KiB in batches of 200, SQLite with synchronous=FULL. Rows are documents carried
through a whole step; processor time counts every thread of this process. Only the storage is
timed: statements and seals are worded before. Bare is one table, one executemany and one COMMIT
per batch with the bytes of documents, envelopes and receipts: what no storage can be cheaper than.
"""

import asyncio
import os
import resource
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edocnode.storage.store import NodeStore, open_store
from tests.benchmarks.figures import Figures
from tests.benchmarks.pair import FOLDER_VARIABLE
from tests.benchmarks.report import Report, Scale, run_alone
from tests.integration.storage.offices import NOW, Office, arrival, submission

BATCH = 200
INLINE = os.urandom(4096 - 400)  # the record makes up the rest
# Sizes of document, envelope, receipt and proofs of 8 hashes, as the rows of the node hold them.
BARE = {"sending": (4096, 900, 700, 512), "receiving": (4096, 900, 500, 512)}
STEPS = {
    "sending": ("submit", "unsealed (sending)", "commit_seal (sending)", "due", "record"),
    "receiving": ("keep", "unsealed (receiving)", "commit_seal (receiving)"),
}
HOW = (
    f"In one process, batches of {BATCH} documents of 4 KiB, SQLite FULL; statements worded before."
)


class Clock:
    """Adds up wall and processor seconds by name."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Counts what happens inside."""
        began, used = time.perf_counter(), processor_seconds()
        yield
        self.wall[name] += time.perf_counter() - began
        self.processor[name] += processor_seconds() - used


def processor_seconds() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def sending(store: NodeStore, clock: Clock, rounds: int) -> None:
    """submit, commit_seal, due, record."""
    office, peer = Office("H29", store), Office("G01")
    await office.open()
    for _ in range(rounds):
        made = [submission(content=INLINE) for _ in range(BATCH)]
        with clock.on("submit"):
            await asyncio.gather(*map(store.submit, made))
        with clock.on("unsealed (sending)"):
            waiting = await store.unsealed(BATCH)
        commit, group = office.word(waiting)
        with clock.on("commit_seal (sending)"):
            await store.commit_seal(commit)
        office.state.committed(group)
        with clock.on("due"):
            queued = await store.due("G01", NOW, BATCH)
        outcomes = peer.delivered(queued)
        with clock.on("record"):
            await store.record(outcomes, NOW)


async def receiving(store: NodeStore, clock: Clock, rounds: int) -> None:
    """keep, commit_seal."""
    office, peer = Office("H29", store), Office("G01")
    await office.open()
    for _ in range(rounds):
        made = [submission("G01", ["H29"], content=INLINE) for _ in range(BATCH)]
        arrivals = batch_of(peer, made)
        with clock.on("keep"):
            await store.keep(arrivals)
        with clock.on("unsealed (receiving)"):
            waiting = await store.unsealed(BATCH)
        commit, group = office.word(waiting)
        with clock.on("commit_seal (receiving)"):
            await store.commit_seal(commit)
        office.state.committed(group)


def batch_of(peer: Office, made: list) -> list:
    """Arrivals under one seal, as a busy sender delivers them."""
    envelopes = peer.envelopes(made)
    return [arrival(envelope, item.inline) for envelope, item in zip(envelopes, made, strict=True)]


def bare(path: Path, clock: Clock, rounds: int, *, name: str, sizes: tuple[int, ...]) -> None:
    """The same bytes in one executemany and one COMMIT."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    columns = ", ".join(f"c{number} BLOB" for number in range(len(sizes)))
    connection.execute(f"CREATE TABLE t (id BLOB UNIQUE, {columns})")
    marks = ", ".join("?" for _ in range(len(sizes) + 1))
    for round_ in range(rounds):
        rows = [
            ((round_ * BATCH + number).to_bytes(16, "big"), *map(os.urandom, sizes))
            for number in range(BATCH)
        ]
        with clock.on(name):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)
            connection.execute("COMMIT")
    connection.close()


def run(scale: Scale) -> Report:
    """Runs all steps and the bare floor in each round."""
    batches = scale.pick(2, 50)
    report = Report("storage of a node", HOW)
    figures = Figures().interleaved(scale.rounds, partial(measured, batches))
    for name in figures.values:
        report.row_of(figures, name)
    shown = []
    for way, steps in STEPS.items():
        figures.values[f"{way}: CPU us"] = [
            sum(each)
            for each in zip(*(figures.values[f"{step}: CPU us"] for step in steps), strict=True)
        ]
        ratio = figures.ratio(f"{way}: CPU us", f"bare ({way}): CPU us")
        report.row(f"{way}: processor time / bare SQLite", ratio, "times")
        shown.append((way, ratio))
    report.bars("Processor time of the storage by bare SQLite", "times", shown)
    return report


def measured(batches: int) -> dict[str, float]:
    """Processor time per document of each step, and of the floor."""
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        for step in (sending, receiving):
            database = open_store(f"sqlite:///{folder}/{step.__name__}.db")
            asyncio.run(step(NodeStore(database), clock, batches))
            database.close()
        for way, sizes in BARE.items():
            bare(Path(folder) / way, clock, batches, name=f"bare ({way})", sizes=sizes)
    rows = batches * BATCH
    return {f"{name}: CPU us": used / rows * 1e6 for name, used in clock.processor.items()}


if __name__ == "__main__":
    run_alone(run)
