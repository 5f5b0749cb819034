"""The exchange beside what an office would use instead: django-pyas2, and S/MIME mail.

    .venv/bin/python -m tests.benchmarks.bench_others [--quick] [--rounds N]

Documents of 4 KiB, each signed by its sender, kept by its recipient, answered by a signed receipt.
The others run in an environment of their own, which ``peers/make`` makes on first use, with their
best tuning that was found (see ``peers/as2.py`` and ``peers/mail.py``). They use no TLS, and
django-pyas2 fsyncs no message, which favours them. Without an index of packages they are skipped.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.exchanging import Load, both_at_once, sealing_then_delivery
from tests.benchmarks.figures import Figures, Measure
from tests.benchmarks.observing import tree_cpu_seconds
from tests.benchmarks.pair import FOLDER_VARIABLE
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.ports import free_port

PEERS = Path(__file__).parent / "peers"
ENVIRONMENT = Path(__file__).resolve().parents[2] / ".tools" / "benchmarks" / "bin"
SIZE = 4 * 1024
WORKERS = 2
WITHIN_S, MAKE_WITHIN_S = 900, 600
NODE, SEALED = "node, sealing included", "node, sealed outbox"
AS2 = "django-pyas2, best tuning"
MAIL = {"S/MIME in one process a side": "inside", "S/MIME by openssl cms": "openssl"}
HOW = "One sender, one recipient on this machine; each in the same round, one after another."
GOAL = "from a sealed outbox 170 times django-pyas2, 18 times in-process S/MIME"


def run(scale: Scale) -> Report:
    """Measures all that can run here."""
    report = Report("beside other ways", HOW, GOAL)
    measures: list[Measure] = [partial(node, scale.pick(2_000, 10_000))]
    others: list[str] = []
    if why := missing():
        report.skipped.append(f"django-pyas2 and S/MIME: {why}")
    else:
        measures.append(partial(as2, scale.pick(8, 200)))
        others = [AS2, *MAIL]
        measures += [
            partial(mail, name, kind, scale.pick(16, 1000 if kind == "inside" else 200))
            for name, kind in MAIL.items()
        ]
    figures = Figures().interleaved(scale.rounds, *measures)
    for name in figures.values:
        report.row_of(figures, name)
    shown = []
    for other in others:
        for own in (SEALED, NODE):
            ratio = figures.ratio(f"{own}: documents/s", f"{other}: documents/s")
            report.row(f"{own} / {other}", ratio, "times")
            shown.append((f"{own} / {other}", ratio))
    if shown:
        report.bars("Documents per second by other ways", "times", shown)
    return report


def missing() -> str:
    """Makes the environment; says why it cannot be made, or nothing."""
    try:
        done = subprocess.run(
            [PEERS / "make"], capture_output=True, text=True, timeout=MAKE_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "peers/make did not end in time"
    if done.returncode:
        *_, last = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"peers/make failed: {last}"
    return "" if shutil.which("openssl") else "openssl is missing"


def node(count: int) -> dict[str, float]:
    """Our own, from a filled outbox."""
    load = Load(count=count, size=SIZE)
    _, sealed = sealing_then_delivery(load)
    return sealed.figures(SEALED) | both_at_once(load).figures(NODE)


def as2(count: int) -> dict[str, float]:
    """django-pyas2 on two sites, gunicorn at the receiver."""
    with _folder() as folder:
        port = free_port()
        _run("as2.py", "make", folder, port)
        with _gunicorn(folder, port) as process_id:
            before = tree_cpu_seconds(process_id)
            found = _run("as2.py", "send", folder, count, SIZE)
            used = tree_cpu_seconds(process_id) - before + found["cpu"]
        messages = found["messages"]
        return {
            f"{AS2}: documents/s": messages / found["seconds"],
            f"{AS2}: CPU us": used / messages * 1e6,
        }


@contextlib.contextmanager
def _gunicorn(folder: Path, port: int) -> Iterator[int]:
    """The receiving site; gives the process that has the workers."""
    process = subprocess.Popen(
        [str(ENVIRONMENT / "gunicorn"), "--workers", str(WORKERS), "--no-control-socket"]
        + ["--bind", f"127.0.0.1:{port}", "as2_site:application"],
        env=os.environ | {"AS2_FOLDER": str(folder / "receiver")},
        cwd=PEERS,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        booted = 0
        for line in process.stderr:
            booted += "Booting worker" in line
            if booted == WORKERS:
                break
        yield process.pid
    finally:
        process.terminate()
        process.communicate()


def mail(name: str, kind: str, count: int) -> dict[str, float]:
    """Signed letters over SMTP."""
    with _folder() as folder:
        found = _run("mail.py", folder, count, SIZE, kind)
    return {f"{name}: documents/s": found["messages"] / found["seconds"]}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        yield Path(folder)


def _run(*words: object) -> dict[str, float]:
    """A script of the peers, in their environment; what it printed."""
    done = subprocess.run(
        [ENVIRONMENT / "python", *map(str, words)],
        cwd=PEERS,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout or "{}")
    return found


if __name__ == "__main__":
    run_alone(run)
