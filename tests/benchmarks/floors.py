"""What no node can be cheaper than: the bare work of disk and keys, done by a few lines.

Each returns documents per second on all processors of this machine, under its name.
"""

import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.benchmarks.pair import FOLDER_VARIABLE
from tests.benchmarks.raw_echo import echo

GROUP_COMMIT, ECDSA = "bare SQLite, FULL, 200 rows a commit", "bare ECDSA, 2 signs 2 verifies"
IN_COMMIT, IN_BATCH = 200, 200
ECHO, BATCHED = "raw gRPC echo, one each", f"raw gRPC echo, {IN_BATCH} in a message"
ECHO_APART = f"{ECHO}, a processor a side"
_ALGORITHM = ec.ECDSA(hashes.SHA256())


def echoes(size: int, count: int) -> dict[str, float]:
    """Echo of the same bytes over mutual TLS, unbatched and batched; also processor time."""
    found = {}
    for name, in_one, apart in (
        (ECHO, 1, False),
        (ECHO_APART, 1, True),
        (BATCHED, IN_BATCH, False),
    ):
        messages = max(count // in_one, 20)
        seconds, client, server = echo(size * in_one, messages, apart=apart)
        found[f"{name}: documents/s"] = messages * in_one / seconds
        found[f"{name}: CPU us"] = (client + server) / (messages * in_one) * 1e6
    return found


def group_commit(size: int, count: int) -> dict[str, float]:
    """Rows of the size of a document and a unique id, in a WAL with synchronous=FULL."""
    rows = [(os.urandom(16), os.urandom(size)) for _ in range(IN_COMMIT)]
    rounds = max(count // IN_COMMIT, 5)
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE t (id BLOB UNIQUE, data BLOB)")
            began = time.perf_counter()
            for number in range(rounds):
                head = number.to_bytes(8, "big")
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO t VALUES (?, ?)", [(head + key[8:], data) for key, data in rows]
                )
                connection.execute("COMMIT")
            seconds = time.perf_counter() - began
    return {f"{GROUP_COMMIT}: documents/s": rounds * IN_COMMIT / seconds}


def ecdsa(count: int) -> dict[str, float]:
    """Two signatures and two verifications a document, as without batches, on every processor."""
    processes = os.cpu_count() or 1
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_sign_and_verify, [10] * processes))  # started and imported
        began = time.perf_counter()
        list(pool.map(_sign_and_verify, [count] * processes))
        seconds = time.perf_counter() - began
    return {f"{ECDSA}: documents/s": processes * count / seconds}


def fdatasync_ms(times: int) -> float:
    """Median time until 4 KiB appended to a file are on disk, milliseconds."""
    took = []
    with tempfile.NamedTemporaryFile(dir=os.environ.get(FOLDER_VARIABLE)) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def _sign_and_verify(count: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public, data = key.public_key(), os.urandom(4096)
    for _ in range(count):
        for _ in range(2):
            public.verify(key.sign(data, _ALGORITHM), data, _ALGORITHM)
