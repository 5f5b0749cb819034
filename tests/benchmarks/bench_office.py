"""What lists and searches cost with a million documents, beside an inbox with a few.

    .venv/bin/python -m tests.benchmarks.bench_office [--quick | --long] [--rounds N]

Inbox and outbox of a node are filled with documents of metadata size (see ``growing``) and varied
subjects; an office then asks over the node's socket. What is looked for and not there is the worst
case: every row is read.
"""

import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

from edocnode.rpc.office_client import OfficeClient, Wanted, open_office
from tests.benchmarks.exchanging import PATIENCE_S
from tests.benchmarks.figures import Figures
from tests.benchmarks.filling import fill
from tests.benchmarks.growing import grow
from tests.benchmarks.observing import memory_mib, wait_until
from tests.benchmarks.pair import RECIPIENT, SENDER, Pair, pair
from tests.benchmarks.report import Report, Scale, run_alone

TRIES = 5
FEW = 100
HOW = "An office asks a node with so many documents over its socket; the median of five answers."
GOAL = "each answer under 1 s at 1,000,000 documents, memory flat"
MEMORY = "peak MiB"
# Words that make subjects differ: number of the row, modulo each, picks one.
_WORDS = (
    "kế hoạch, báo cáo, hướng dẫn, chỉ thị, công điện, tờ trình, đề án".split(", "),
    "đất đai, y tế, giáo dục, ngân sách, đầu tư công, thủy lợi, giao thông, môi trường, an sinh, "
    "chuyển đổi số, cải cách hành chính".split(", "),
    "quý một, quý hai, quý ba, quý tư, năm 2025, năm 2026, giai đoạn mới".split(", "),
)
QUESTIONS: dict[str, Callable[[OfficeClient], object]] = {}


def question(what: str, asked: str, **wanted: object) -> None:
    """Adds a question to inbox or outbox."""

    def ask(office: OfficeClient) -> object:
        given = Wanted(**wanted)  # type: ignore[arg-type]  # a table of texts
        listed = office.inbox if asked == "inbox" else office.outbox
        return listed(agency="", state="", limit=100, after="", wanted=given)

    QUESTIONS[f"{asked}, {what}, ms"] = ask


for _asked in ("inbox", "outbox"):
    question("newest page", _asked)
    question("words that many have", _asked, text="ngan sach bao cao")
    question("a word that none has", _asked, text="zzzz")
    question("words of which none has all", _asked, text="bao cao ngan sach quy zzzz")
    question("number", _asked, number="777/QĐ-UBND")
    question("agency and due date, none", _asked, other_agency="REGISTRY", due_before="2020-01-01")


def run(scale: Scale) -> Report:
    """Measures with few and with many documents, in each round with a pair of its own."""
    size = scale.pick(5_000, 1_000_000, 3_000_000)
    rounds = 1 if scale.long else scale.rounds
    figures = Figures().interleaved(rounds, partial(measured, size))
    report = Report("lists and searches of the office", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    for what in (*QUESTIONS, MEMORY):
        ratio = figures.ratio(f"{size:,} rows: {what}", f"{FEW:,} rows: {what}")
        report.row(f"{what}: {size:,} rows / {FEW:,} rows", ratio, "times")
    return report


def measured(size: int) -> dict[str, float]:
    """One pair of nodes with few documents, then with many."""
    found: dict[str, float] = {}
    with pair() as nodes:
        _exchange_some(nodes)
        for rows in (FEW, size):
            grow(nodes.recipient.database, rows)
            _vary(nodes.recipient.database, rows)
            found |= {f"{rows:,} rows: {what}": value for what, value in _asked_all(nodes).items()}
    return found


def _exchange_some(nodes: Pair) -> None:
    """Delivers documents, so that there is something to copy; both nodes are stopped after."""
    fill(
        nodes.sender.database,
        nodes.nation.directory(),
        sender=SENDER,
        recipient=RECIPIENT,
        count=10,
        size=1024,
    )
    nodes.sender.start()
    nodes.recipient.start()
    outbox = nodes.sender.progress()
    wait_until(outbox.is_done, within_s=PATIENCE_S, what="all receipts")
    outbox.close()
    nodes.sender.stop()
    nodes.recipient.stop()


def _vary(database: str, rows: int) -> None:
    """Gives received documents subjects and numbers, and the outbox as many documents."""
    path = database.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("subject", 1, _subject, deterministic=True)
        connection.create_function("folded", 1, _folded, deterministic=True)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.execute(
            "UPDATE inbox SET subject = subject(position), search = folded(position), "
            "number = position % 5000, notation = 'QĐ-UBND', due_date = '2026-12-05'"
        )
        connection.execute("DELETE FROM sent")
        connection.execute(
            "INSERT INTO document SELECT position, document_id, 'r-' || position, NULL, recipient, "
            "'normal', 'new', NULL, received_at, received_at, 1, '{}', '[]', x'' FROM inbox "
            "WHERE position > (SELECT coalesce(max(id), 0) FROM document)"
        )
        connection.execute(
            "INSERT INTO sent SELECT position, recipient, lane, received_at, number, notation, "
            "document_type, issued_date, due_date, search FROM inbox"
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert connection.execute("SELECT count(*) FROM sent").fetchone() >= (rows,)


def _subject(row: int) -> str:
    chosen = " ".join(words[row % len(words)] for words in _WORDS)
    return f"Về việc {chosen} trên địa bàn các huyện, thị xã, thành phố thuộc tỉnh ({row})"


def _folded(row: int) -> str:
    from edocnode.domain.folding import folded

    return folded(f"{_subject(row)} {row % 5000} QĐ-UBND 2026-12-05")


def _asked_all(nodes: Pair) -> dict[str, float]:
    """Median time of each question, and what the node's memory came to."""
    nodes.recipient.start()
    found = {}
    with open_office(nodes.recipient.socket) as office:
        for what, ask in QUESTIONS.items():
            took = []
            for _ in range(TRIES):
                began = time.perf_counter()
                ask(office)
                took.append((time.perf_counter() - began) * 1000)
            found[what] = statistics.median(took)
    found[MEMORY] = memory_mib(nodes.recipient.pid, "VmHWM")
    nodes.recipient.stop()
    return found


if __name__ == "__main__":
    run_alone(run)
