"""Checks of signatures: their own rate, and what they cost documents that have none.

    .venv/bin/python -m tests.benchmarks.bench_signatures [--quick] [--rounds N]

The checks run as in a node: one process, parts by pipe, one after another. Beside them the exchange
of documents without PDF parts, by nodes that check signatures and by nodes without a trust store:
they differ only if something stands in the way of documents that have nothing to be checked.
"""

import asyncio
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from edocnode.domain.signatures import PartToCheck, Reason
from edocnode.signatures.process import CheckingProcess
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from tests.benchmarks.exchanging import Load, both_at_once
from tests.benchmarks.figures import Figures
from tests.benchmarks.report import Report, Scale, run_alone
from tests.support.signing_pki import DECISION, Authority, sign_pdf

BYTES = 4 * 1024
ON, OFF = "exchange, signatures checked", "exchange, no trust store"
HOW = (
    "A decision of 45 KB with one and with two signatures (ECDSA P-256, one with a timestamp), "
    "checked in the checking process with a revocation list; and small documents without PDF "
    "parts between two nodes, from a filled outbox."
)
GOAL = "documents without PDF parts cost at most 10 % more processor time"


def run(scale: Scale) -> Report:
    """Measures checks and both exchanges, interleaved."""
    count = scale.pick(2_000, 10_000)
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.make("CA đo tốc độ")
        trust = _trust(Path(folder), authority)
        stores = [{"name": each.name, "folder": each.folder} for each in trust.stores]
        figures = Figures().interleaved(
            scale.rounds,
            partial(checks, _documents(authority), trust, scale.pick(5, 200)),
            partial(exchange, ON, count, {"TRUST_STORES": json.dumps(stores)}),
            partial(exchange, OFF, count, {}),
        )
    report = Report("checks of signatures", HOW, GOAL)
    for name in figures.values:
        report.row_of(figures, name)
    ratio = figures.ratio(f"{ON}: CPU us", f"{OFF}: CPU us")
    report.row("processor time, signatures checked / no trust store", ratio, "times")
    shown = [(name, figures.spread(name)) for name in figures.values if name.endswith("ms each")]
    report.bars("One document checked", "milliseconds", shown)
    return report


def checks(documents: Mapping[str, bytes], trust: TrustSettings, count: int) -> dict[str, float]:
    """How long a document of each kind takes, once the process is warm."""
    found: dict[str, float] = {}
    for name, content in documents.items():
        seconds = asyncio.run(_seconds(content, trust, count))
        found[f"{name}: ms each"] = seconds / count * 1000
        found[f"{name}: documents/s"] = count / seconds
    return found


def exchange(name: str, count: int, settings: Mapping[str, str]) -> dict[str, float]:
    """Documents of one part that is no PDF."""
    return both_at_once(Load(count=count, size=BYTES, settings=settings)).figures(name)


async def _seconds(content: bytes, trust: TrustSettings, count: int) -> float:
    process = CheckingProcess(trust, largest_bytes=1 << 30)
    part = PartToCheck(
        index=1,
        name=DECISION.name,
        kind="pdf",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        known_at=datetime.now(UTC),
        data=content,
    )
    try:
        assert (await process.check(part)).reason in (Reason.VALID, Reason.UNSIGNED)
        began = time.perf_counter()
        for _ in range(count):
            await process.check(part)
        return time.perf_counter() - began
    finally:
        await process.close()


def _documents(authority: Authority) -> dict[str, bytes]:
    plain = DECISION.read_bytes()
    one = sign_pdf(plain, authority.person(), timestamper=authority.timestamper())
    two = sign_pdf(one, authority.office())
    return {"no signature": plain, "one signature": one, "two signatures": two}


def _trust(folder: Path, authority: Authority) -> TrustSettings:
    roots, crls = folder / "roots", folder / "crl"
    roots.mkdir()
    crls.mkdir()
    (roots / "root.pem").write_bytes(authority.root.pem())
    (crls / "list.crl").write_bytes(authority.crl())
    store = StoreSettings(name=authority.name, folder=str(roots))
    return TrustSettings(stores=(store,), crl_folder=str(crls))


if __name__ == "__main__":
    run_alone(run)
