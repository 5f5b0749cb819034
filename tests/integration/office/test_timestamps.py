"""Seals of running nodes and a real timestamp authority: nothing of the exchange waits for it."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import UUID
from zipfile import ZipFile

import pytest

from edockit import time_tokens
from edockit.database import Database
from edockit.time_tokens import check_token
from edocnode.app.evidence import known_directory
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.domain.timestamps import MAX_BATCH
from edocnode.evidence import asic
from edocnode.evidence.bundle import Exporter, write_bundle
from edocnode.evidence.verdict import Verdict, VerdictKind
from edocnode.evidence.verify import verify
from edocnode.rpc.admin_client import open_admin
from edocnode.settings import NodeSettings
from edocnode.storage.evidence import SqlEvidence
from edocnode.storage.folder import DataFolder
from edocnode.storage.seal_key import seal_signer
from edocnode.storage.store import NodeStore, open_store
from edocnode.storage.timestamps import SqlTimestamps
from edocnode.workers import timestamping
from edocnode.workers.timestamping import ALARM, Timestamper
from tests.support.nodes import Sent, TestNode, make_pair, running, until, utc_now
from tests.support.time_authority import Mood, TestAuthority


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority.make(tmp_path / "authority")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that failed is asked again soon."""
    monkeypatch.setattr(timestamping, "LOOK_EVERY", timedelta(seconds=0.05))
    monkeypatch.setattr(timestamping, "wait_after", lambda failures: timedelta(seconds=0.2))


def stamping(node: TestNode, authority: TestAuthority) -> TestNode:
    """Gives a node, which is stopped, its authority."""
    stores = [{"name": "TSA", "folder": str(authority.root_file.parent), "kind": "timestamp"}]
    more = {"trust_stores": stores, "timestamp_url": authority.url, "timestamp_every_s": 1}
    node.settings = NodeSettings.model_validate({**node.settings.model_dump(), **more})
    return node


def stamped(node: TestNode) -> int:
    """How many seals of a node have a token."""
    return sum(len(leaves) // 32 for (leaves,) in node.rows("SELECT leaves FROM time_token"))


def all_stamped(node: TestNode) -> bool:
    return stamped(node) == node.count("SELECT count(*) FROM seal") > 0


async def evidence(node: TestNode, sent: Sent, authority: TestAuthority) -> Verdict:
    """The evidence of a document, from the database of a node that was stopped, and its verdict."""
    folder = DataFolder(node.data)
    database = open_store(f"sqlite:///{folder.database_file}")
    try:
        found = await SqlEvidence(database).find(sent.message_id)  # type: ignore[arg-type]
        assert found is not None
        path = node.data.parent / "evidence.zip"
        directory = known_directory(folder)
        with path.open("wb") as file:
            write_bundle(
                file,
                found,
                directory=directory,
                exporter=Exporter(node.agency.code, seal_signer(folder)),
                open_blob=lambda digest: pytest.fail("no large parts"),
                now=datetime.now(UTC),
            )
    finally:
        database.close()
    return verify(
        path, root=None, known=directory, now=datetime.now(UTC), time_anchors=[authority.root]
    )


async def test_all_seals_are_stamped_and_evidence_shows_the_time(
    authority: TestAuthority, tmp_path: Path
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    with authority.serving():
        stamping(sender, authority)
        async with running(sender, recipient):
            sent = await sender.send(b"a", to=[recipient.agency.code])
            await sender.delivered(sent)
            await until(lambda: all_stamped(sender), within_s=60)
            assert sender.alarms() == {}
    assert recipient.count("SELECT count(*) FROM time_token") == 0
    verdict = await evidence(sender, sent, authority)
    assert (verdict.kind, verdict.findings, verdict.notes) == (VerdictKind.VALID, (), ())
    proven = verdict.facts["receipt_proven_by"]
    assert proven.startswith("timestamp authority"), "the recipient's seal is stamped as well"


async def test_running_node_exports_evidence_as_asic_e(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(b"a", to=[recipient.agency.code])
        await sender.delivered(sent)

        def export(container: EvidenceFormat) -> bytes:
            assert sender.where is not None
            with open_admin(sender.where.socket) as node:
                return b"".join(
                    node.export_evidence(str(UUID(bytes=sent.message_id)), "", container)
                )

        plain, signed = [await asyncio.to_thread(export, each) for each in EvidenceFormat]
    with ZipFile(BytesIO(plain)) as one, ZipFile(BytesIO(signed)) as other:
        assert set(other.namelist()) - set(one.namelist()) == asic.MEMBERS
    path = tmp_path / "evidence.asice"
    path.write_bytes(signed)
    known = known_directory(DataFolder(sender.data))
    assert verify(path, root=None, known=known, now=datetime.now(UTC)).kind is VerdictKind.VALID


@pytest.mark.parametrize("mood", [None, *(each for each in Mood if each is not Mood.HONEST)])
async def test_authority_that_is_down_slow_or_lies_stops_nothing_and_all_is_covered_afterwards(
    mood: Mood | None, authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``None``: nothing listens there."""
    monkeypatch.setitem(time_tokens.ask.__kwdefaults__, "patience_s", 1.0)
    _, sender, recipient = make_pair(tmp_path)
    with authority.serving():
        stamping(sender, authority)
    if mood is not None:
        authority.mood = mood
    failing = authority.serving() if mood is not None else contextlib.nullcontext()
    async with running(sender, recipient):
        with failing:
            sent = await sender.send(b"a", to=[recipient.agency.code])
            await sender.delivered(sent)
            told = await until(lambda: sender.alarms().get(ALARM), within_s=60)
            assert told.startswith("Not timestamped since ")
            assert authority.url in told
            more = await sender.send(b"b", to=[recipient.agency.code])
            await sender.delivered(more)
            assert sender.count("SELECT count(*) FROM time_token") == 0
        authority.mood = Mood.HONEST
        with authority.serving():
            await until(lambda: all_stamped(sender), within_s=60)
            await until(lambda: ALARM not in sender.alarms())


async def test_authority_whose_certificate_has_ended_is_told(tmp_path: Path) -> None:
    ended = TestAuthority.make(tmp_path / "ended", until=datetime.now(UTC) - timedelta(days=1))
    _, sender, _ = make_pair(tmp_path)
    with ended.serving():
        stamping(sender, ended)
        async with running(sender):
            told = await until(lambda: sender.alarms().get(ALARM), within_s=60)
            assert "certificate has expired" in told


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_store(f"sqlite:///{tmp_path}/node.db")
    yield opened
    opened.close()


async def test_batches_follow_each_other_without_a_gap_over_restarts(
    database: Database, tmp_path: Path, authority: TestAuthority
) -> None:
    seals = 2 * MAX_BATCH + 5
    with sqlite3.connect(tmp_path / "node.db") as raw:
        raw.executemany(
            "INSERT INTO seal (agency, epoch, seal_index, rank, sealed_at, digest, data, signature)"
            " VALUES ('H29', x'01', ?, 0, ?, ?, ?, ?)",
            [
                (n, 1_700_000_000_000 + n, sha256(b"%d" % n).digest(), b"{%d}" % n, b"%d" % n)
                for n in range(seals)
            ],
        )
    covered = []
    while (batch := await SqlTimestamps(database).next_batch(MAX_BATCH)) is not None:
        token = authority.stamp(authority.query(batch.root))
        stamped_at = check_token(token, batch.root, [authority.root]).at
        await SqlTimestamps(database).keep_token(batch, token, stamped_at)
        covered.append((batch.first, batch.last, len(batch.leaves)))
    assert covered == [
        (1, MAX_BATCH, MAX_BATCH),
        (MAX_BATCH + 1, 2 * MAX_BATCH, MAX_BATCH),
        (2 * MAX_BATCH + 1, seals, 5),
    ]
    waiting = await SqlTimestamps(database).unstamped()
    assert (waiting.count, waiting.since) == (0, None)


class Odd:
    """An authority whose answers make this program stumble."""

    name = "http://tsa.example.vn/"

    async def stamp(self, data: bytes, now: datetime) -> tuple[bytes, datetime]:
        raise RecursionError(f"at {now} of {len(data)} bytes")


async def test_answer_over_which_this_program_stumbles_is_a_failure_of_the_authority(
    database: Database, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "node.db") as raw:
        raw.execute(
            "INSERT INTO seal (agency, epoch, seal_index, rank, sealed_at, digest, data, signature)"
            " VALUES ('H29', x'01', 0, 0, 1700000000000, x'00', x'7b7d', x'00')"
        )
    store = NodeStore(database)
    timestamper = Timestamper(
        store=SqlTimestamps(database),
        authority=Odd(),
        alarms=store,
        every=timedelta(seconds=60),
        clock=utc_now,
    )
    assert not await timestamper.look()
    [alarm] = await store.alarms()
    assert "RecursionError" in alarm.message
