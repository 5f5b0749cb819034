"""Nodes have each other prove that their journals only grow. Real nodes, real databases."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.directory_errors import JournalTooShortError
from edoccore.errors import RequestInvalidError
from edocnode.domain.consistency import JOURNAL_ALTERED, TWO_HISTORIES
from edocnode.rpc.alarm_client import open_alarms
from edocnode.storage.held_seals import SqlHeldSeals
from edocnode.storage.store import open_store
from edocnode.workers import consistency
from edocnode.workers.consistency import JournalProver, JournalWatch
from edocnode.workers.sessions import TAIL_LOST
from tests.integration.exchange.test_epochs import takeover
from tests.support.bad_peer import BadPeer
from tests.support.nodes import TestNode, make_pair, running, until, utc_now


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Agencies whose journals were looked at to the end; a peer is looked at as often as met."""
    monkeypatch.setattr(consistency, "EVERY", timedelta(0))
    done: list[str] = []
    look = JournalWatch.look

    async def noted(self: JournalWatch, agency: str) -> None:
        await look(self, agency)
        done.append(agency)

    monkeypatch.setattr(JournalWatch, "look", noted)
    return done


async def letters(sender: TestNode, count: int, to: str) -> None:
    """Delivers letters one by one, so that each has a seal of its own, or nearly."""
    for number in range(count):
        await sender.delivered(await sender.send(f"thu {number}".encode(), to=[to]))


async def met(node: TestNode, peer: TestNode, looks: list[str]) -> None:
    """Has two nodes meet anew, and waits until ``node`` has looked at the peer's journal."""
    await peer.stop()
    looks.clear()
    await peer.start()
    await until(lambda: peer.agency.code in looks, within_s=60)


async def test_t20_honest_journals_are_proven_over_starts_and_nobody_is_told(
    tmp_path: Path, looks: list[str]
) -> None:
    _, node, peer = make_pair(tmp_path)
    async with running(node, peer):
        await letters(peer, 5, "H29")
        await letters(node, 3, "G01")
        await met(node, peer, looks)
        await letters(peer, 3, "H29")
        await met(node, peer, looks)
        assert JOURNAL_ALTERED not in node.alarms() | peer.alarms()
        assert TWO_HISTORIES not in node.alarms() | peer.alarms()


async def acknowledge(node: TestNode, kind: str, subject: str) -> None:
    """An administrator has seen to an alarm."""
    assert node.where is not None
    with open_alarms(node.where.socket) as client:
        done = await asyncio.to_thread(
            client.acknowledge, alarm_id="", kind=kind, subject=subject, reason="Rõ", actor="An"
        )
    assert not done["repeated_request"]


def alter(peer: TestNode) -> None:
    """Somebody changes a seal in the peer's own database, in the middle of its last epoch."""
    peer.write(
        "UPDATE seal SET signature = x'00', data = "
        "CAST(replace(CAST(data AS TEXT), '\"suite\":1', '\"suite\":2') AS BLOB) "
        "WHERE agency = 'G01' AND rank = 0 AND seal_index = 2"
    )


def cut_out(peer: TestNode) -> None:
    """Somebody takes a seal out of the peer's own database and closes the gap."""
    peer.write(
        "UPDATE seal SET rank = 7 WHERE agency = 'G01' AND seal_index = 2",
        "UPDATE seal SET seal_index = -seal_index WHERE agency = 'G01' AND seal_index > 2",
        "UPDATE seal SET seal_index = -seal_index - 1 WHERE agency = 'G01' AND seal_index < 0",
    )


@pytest.mark.parametrize("tamper", [alter, cut_out])
async def test_t20_an_altered_journal_has_no_proof_and_both_seals_are_named(
    tmp_path: Path, looks: list[str], tamper: Callable[[TestNode], None]
) -> None:
    _, node, peer = make_pair(tmp_path)
    async with running(node, peer):
        await letters(peer, 6, "H29")
        await node.stop()  # it forgets what it had proven, and asks from the first seal on
        await peer.stop()
        tamper(peer)
        await peer.start()
        await node.start()
        message = await until(lambda: node.alarms().get(JOURNAL_ALTERED), within_s=60)
        named = [word for word in message.split() if len(word) == 64]
        held = {row[0].hex() for row in node.rows("SELECT digest FROM seal WHERE agency = 'G01'")}
        assert len(named) == 2
        assert set(named) <= held
        await acknowledge(node, JOURNAL_ALTERED, "G01")
        looks.clear()
        await node.stop()
        await node.start()  # it looks at the same seals again
        await until(lambda: "G01" in looks, within_s=60)
        assert JOURNAL_ALTERED not in node.alarms()
        assert node.count("SELECT times FROM alarm WHERE kind = 'JOURNAL_ALTERED'") > 1


async def test_t20_a_restored_journal_lost_its_tail_and_is_not_called_altered(
    tmp_path: Path, looks: list[str]
) -> None:
    _, node, peer = make_pair(tmp_path)
    async with running(node, peer):
        await letters(peer, 3, "H29")
        database, copy = peer.data / "node.db", tmp_path / "copy.db"
        with closing(sqlite3.connect(database)) as live, closing(sqlite3.connect(copy)) as kept:
            live.backup(kept)  # in the middle of an epoch, of which it is to lose the end
        await letters(peer, 4, "H29")
        await peer.stop()
        for path in peer.data.glob("node.db*"):
            path.unlink()
        copy.rename(database).chmod(0o600)
        looks.clear()
        await peer.start()
        await until(lambda: TAIL_LOST in node.alarms() or "G01" in looks, within_s=60)
        await letters(peer, 2, "H29")
        await met(node, peer, looks)
        assert JOURNAL_ALTERED not in node.alarms()
        assert TWO_HISTORIES not in node.alarms()


async def test_t20_what_was_restored_to_before_its_clock_was_ahead_is_not_called_altered(
    tmp_path: Path, looks: list[str]
) -> None:
    """It opens an epoch that is older than the one it lost: until its takeover, after it too."""
    _, node, peer = make_pair(tmp_path)
    async with running(node, peer):
        await letters(peer, 2, "H29")
    yesterday = peer.backup(tmp_path / "yesterday")
    peer.clock = lambda: utc_now() + timedelta(minutes=3)
    async with running(node, peer):
        await letters(peer, 3, "H29")
    peer.clock = utc_now
    peer.restore(yesterday)
    looks.clear()
    async with running(node, peer):
        await until(lambda: "EPOCH_SUPERSEDED" in peer.alarms(), within_s=60)
        await until(lambda: "G01" in looks, within_s=60)
        assert JOURNAL_ALTERED not in node.alarms()
        await takeover(peer)
        await letters(peer, 2, "H29")
        await met(node, peer, looks)
        assert JOURNAL_ALTERED not in node.alarms()
        assert TWO_HISTORIES not in node.alarms()


async def test_t18_two_seals_of_one_place_are_two_histories_whatever_they_came_with(
    tmp_path: Path, looks: list[str]
) -> None:
    nation, node, peer = make_pair(tmp_path)
    copy = BadPeer(nation, peer.agency, node.agency, "")
    async with running(node):
        copy.address = node.address
        async with copy.stream() as stream:
            await stream.exchange(copy.parcel(copy.letter()))
            copy.agency.index -= 1  # the other copy of the node seals at the same place
            await stream.exchange(copy.parcel(copy.letter()))
        message = node.alarms()[TWO_HISTORIES]
        await acknowledge(node, TWO_HISTORIES, "G01")
        assert TWO_HISTORIES not in node.alarms()
        async with copy.stream() as stream:
            await stream.exchange(copy.parcel(copy.letter()))
            assert TWO_HISTORIES not in node.alarms()
            copy.agency.index -= 1
            await stream.exchange(copy.parcel(copy.letter()))
        assert node.alarms()[TWO_HISTORIES] != message  # of two other seals
    named = [word.strip(".") for word in message.split() if len(word.strip(".")) == 64]
    query = "SELECT digest FROM seal WHERE agency = 'G01' AND seal_index = 1"
    assert {row[0].hex() for row in node.rows(query)} == set(named)
    assert len(named) == 2


async def test_a_prover_answers_what_it_has_and_nothing_else(tmp_path: Path) -> None:
    _, node, peer = make_pair(tmp_path)
    async with running(node, peer):
        await letters(node, 3, "G01")
    database = open_store(f"sqlite:///{node.data / 'node.db'}")
    try:
        prover = JournalProver("H29", SqlHeldSeals(database))
        query = "SELECT epoch, max(seal_index) + 1 FROM seal WHERE agency = 'H29' GROUP BY epoch"
        ((epoch, size),) = node.rows(query)
        assert (await prover.prove(epoch, 1, size)).consistency
        for first, second in ((0, size + 1), (size, size + 5)):
            with pytest.raises(JournalTooShortError):
                await prover.prove(epoch, first, second)
        with pytest.raises(JournalTooShortError):
            await prover.prove(bytes(16), 0, 1)
        for bad in ((epoch, 2, 2), (epoch, 3, 2), (epoch, -1, 2), (b"x", 0, 1)):
            with pytest.raises(RequestInvalidError):
                await prover.prove(*bad)
    finally:
        database.close()
