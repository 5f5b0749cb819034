"""The journal in the database: sound, restored from a backup, or tampered with, and told apart."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edoccore.identity.keys import PublicKey, low_s
from edoccore.signing.seal import SignedSeal
from edockit.database import Database
from edocnode.domain import journal as journals
from edocnode.domain.journal import JournalReport, JournalVerdict
from edocnode.storage import journal as reading
from edocnode.storage.journal import SqlJournal
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import NOW, Office, arrival, submission
from tests.support.stores import new_file

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, PublicKey] = {"a" * 64: KEY.public_key()}
SHA = ec.ECDSA(hashes.SHA256())


class SigningOffice(Office):
    """An office whose signatures are real."""

    def word(self, *args: Any, **options: Any) -> Any:
        commit, group = super().word(*args, **options)
        signature = low_s(KEY.sign(commit.seal.data, SHA))
        return dataclasses.replace(commit, seal=SignedSeal(commit.seal.data, signature)), group


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_store")
    else:
        url = new_file(tmp_path / "node.db")
    opened = open_store(url)
    yield opened
    opened.close()


async def live(store: NodeStore, office: Office, seals: int) -> None:
    """A start, then seals over envelopes, receipts and effects."""
    await office.open()
    peer = Office("G01")
    for number in range(seals):
        await store.submit(submission())
        made = submission("G01", ["H29"])
        await store.keep([arrival(peer.envelope(made), made.inline)])
        await store.add_effect(bytes(16), b'{"effect":%d}' % number)
        await office.seal_all()


async def verdict(database: Database) -> JournalReport:
    return await SqlJournal(database).verify("H29", network="test", keys=KEYS)


def change(database: Database, query: str) -> None:
    database.write(lambda connection: connection.execute(sa.text(query))).result(60)


async def test_an_empty_journal_is_sound(database: Database) -> None:
    report = await verdict(database)
    assert (report.verdict, report.seals, report.head) == (JournalVerdict.SOUND, 0, None)


@pytest.mark.parametrize("window", [1, 20_000])
async def test_a_journal_over_several_starts_is_sound(
    database: Database, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW", window)
    store = NodeStore(database)
    office = SigningOffice("H29", store)
    for seals in (3, 0, 2):
        await live(store, office, seals)
    report = await verdict(database)
    assert report.findings == ()
    assert report.verdict is JournalVerdict.SOUND
    assert (report.epochs, report.seals, report.effects) == (3, 8, 5)
    assert report.statements == 3 + 5 * 2  # openings, and a receipt and an envelope each
    assert report.head == await store.last_head("H29")


@pytest.mark.parametrize(
    ("spoil", "index", "why"),
    [
        ("DELETE FROM seal WHERE seal_index = 2 AND epoch = {old}", 2, "are missing"),
        ("DELETE FROM seal WHERE seal_index = 3 AND epoch = {old}", 3, "next opening names"),
        ("DELETE FROM seal WHERE epoch = {old}", 0, "are missing"),
        ("UPDATE seal SET signature = {other} WHERE seal_index = 1 AND epoch = {old}", 1, "DER"),
        ("UPDATE seal SET data = {other} WHERE seal_index = 1 AND epoch = {old}", 1, "canonical"),
        ("UPDATE delivery_envelope SET data = {other} WHERE seq = 2", 2, "statements was altered"),
        ("DELETE FROM receipt_given WHERE incoming_id = 2", 2, "statements are stored"),
        ("UPDATE effect SET data = {other} WHERE id = 2", 2, "effects was altered"),
        ("DELETE FROM effect WHERE id = 2", 2, "effects are stored"),
    ],
)
async def test_what_was_altered_or_removed_is_told_with_its_place(
    database: Database, spoil: str, index: int, why: str
) -> None:
    store = NodeStore(database)
    office = SigningOffice("H29", store)
    await live(store, office, 3)
    old = office.state.epoch
    await live(store, office, 1)
    form = "'\\x{}'::bytea" if database.engine.dialect.name == "postgresql" else "X'{}'"
    change(database, spoil.format(old=form.format(old.hex()), other=form.format("00" * 16)))
    report = await verdict(database)
    assert report.verdict is JournalVerdict.BROKEN
    first = report.findings[0]
    assert (first.epoch.replace("-", ""), first.index) == (old.hex(), index)
    assert any(why in finding.why for finding in report.findings)


async def test_removed_openings_are_told(database: Database) -> None:
    store = NodeStore(database)
    office = SigningOffice("H29", store)
    await live(store, office, 1)
    change(database, "DELETE FROM own_statement")
    assert (await verdict(database)).verdict is JournalVerdict.BROKEN


async def test_a_restore_is_told_as_lost_tail_and_never_as_tampering(
    database: Database, tmp_path: Path
) -> None:
    """The journal goes on from an older head; what came back from a peer stands beside it."""
    store = NodeStore(database)
    office = SigningOffice("H29", store)
    await live(store, office, 2)
    lost = SigningOffice("H29")
    lost.state = dataclasses.replace(office.state, frontier=_copy(office.state.frontier))
    lost.seal()  # of what happened between the backup and the crash, only one seal came back:
    given_back = lost.seal()
    await live(store, office, 1)
    assert (await verdict(database)).verdict is JournalVerdict.SOUND
    await store.note_seal("H29", given_back.seal, NOW)
    report = await verdict(database)
    assert report.verdict is JournalVerdict.TAIL_LOST
    assert (report.lost, report.seals) == (1, 5)
    assert report.findings[0].index == 4


def _copy(frontier: journals.Frontier) -> journals.Frontier:
    return journals.Frontier(frontier.size, frontier.hashes)


async def test_two_seals_for_one_place_are_told(database: Database) -> None:
    store = NodeStore(database)
    office = SigningOffice("H29", store)
    await live(store, office, 1)
    copy = SigningOffice("H29")
    copy.state = dataclasses.replace(office.state, next_index=1)
    await store.note_seal("H29", copy.seal().seal, NOW)
    report = await verdict(database)
    assert report.verdict is JournalVerdict.BROKEN
    assert "two seals" in report.findings[0].why


async def test_certificate_that_nobody_lists_is_told(database: Database) -> None:
    await live(NodeStore(database), SigningOffice("H29", NodeStore(database)), 1)
    report = await SqlJournal(database).verify("H29", network="test", keys={})
    assert "does not list its certificate" in report.findings[0].why
