"""A peer whose journal was altered is told of once, and anew for each alteration that shows."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from edoccore.directory_errors import JournalTooShortError
from edoccore.errors import PeerUnreachableError
from edoccore.signing.merkle import Frontier, leaf_hash
from edoccore.signing.merkle_table import MerkleTable
from edoccore.signing.seal import SealedStatement, SignedSeal
from edockit.database import Database
from edocnode.domain.alarms import Acknowledgement, Alarm
from edocnode.domain.consistency import JOURNAL_ALTERED, JournalProof
from edocnode.domain.exchange import Hello
from edocnode.storage.held_seals import SqlHeldSeals
from edocnode.storage.store import NodeStore
from edocnode.workers.consistency import JournalWatch
from tests.integration.storage.offices import MARK, NOW, Office

WORD = Acknowledgement(actor="An", reason="Đã hỏi bộ", at=NOW)


@dataclass
class Peer:
    """G01, whose journal proves itself from what is on its disk; and the node that asks it.

    Attributes:
        altered: Places of which its disk has something else than was sealed.
        has: So many seals of the epoch asked for are on its disk; None: all.
        speaks_from: The opening that it shows in hellos.
    """

    store: NodeStore
    database: Database
    office: Office = field(default_factory=lambda: Office("G01"))
    altered: set[int] = field(default_factory=set)
    asked: list[tuple[int, int]] = field(default_factory=list)
    has: int | None = None
    speaks_from: SealedStatement | None = None
    watch: JournalWatch = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Starts the node that asks: it forgets what was proven to it."""
        self.watch = JournalWatch(
            store=self.store,
            seals=SqlHeldSeals(self.database),
            links=self,
            greet=self.greet,
            clock=lambda: NOW,
        )

    def link(self, agency: str) -> Any:
        """The peer answers here."""
        assert agency == "G01"
        return self

    async def consistency(self, epoch: bytes, first: int, second: int) -> JournalProof:
        """Proves with what it has."""
        self.asked.append((first, second))
        if self.has is not None and self.has < second:
            raise JournalTooShortError(f"G01 has {self.has} seals, not {second}.", agency="G01")
        table = MerkleTable()
        for place, seal in enumerate(self.office.seals[:second]):
            table.append(leaf_hash(b"!" + seal.data if place in self.altered else seal.data))
        return JournalProof(
            consistency=tuple(table.consistency(first, second)),
            inclusion=tuple(table.inclusion(first, second)),
        )

    async def greet(self, agency: str) -> Hello:
        """Says from which start it speaks."""
        assert agency == "G01"
        return Hello(
            agency="G01",
            opening=self.speaks_from,
            earlier=(),
            known=None,
            known_opening=None,
            directory=MARK,
            time=NOW,
            tail_lost=False,
            settled=(),
        )

    def rewrite(self, place: int) -> None:
        """Puts another seal in the place of one, and states the rewritten journal from then on."""
        seals = self.office.seals
        seals[place] = SignedSeal(b"!" + seals[place].data, seals[place].signature)
        self.office.state.frontier = Frontier()
        for seal in seals:
            self.office.state.frontier.append(leaf_hash(seal.data))

    async def seals(self, count: int) -> None:
        """Seals, shows what it sealed, and is looked at."""
        made = [self.office.seal().seal for _ in range(count)]
        if await self._is_new():
            assert self.office.opened is not None
            await self.store.note_seal("G01", self.office.opened.seal, NOW)
            await self.store.note_opening("G01", self.office.opened, NOW)
        for seal in made:
            await self.store.note_seal("G01", seal, NOW)
        await self.watch.look("G01")

    async def _is_new(self) -> bool:
        return (await self.store.journal_of("G01")).epoch != self.office.state.epoch

    async def open_alarms(self) -> list[Alarm]:
        """What a person is shown."""
        return [alarm for alarm in await self.store.alarms() if alarm.kind == JOURNAL_ALTERED]

    async def acknowledge(self) -> Alarm:
        """A person acknowledges the one alarm that is shown."""
        (alarm,) = await self.open_alarms()
        done = await self.store.acknowledge(alarm, WORD, salt=b"s" * 16, effect=b"{}")
        assert done is not None
        return done.alarm


@pytest.fixture
async def peer(store: NodeStore, database: Database) -> Peer:
    """A peer that proved itself, and whose disk was altered then; told and acknowledged."""
    peer = Peer(store, database)
    await peer.seals(4)
    await peer.seals(2)
    assert peer.asked
    assert await peer.open_alarms() == []
    peer.altered = {2}
    await peer.seals(2)
    return peer


async def test_t20_an_alteration_that_goes_on_is_one_alarm_and_stays_acknowledged(
    peer: Peer,
) -> None:
    kept = await peer.acknowledge()
    assert {len(word) for word in kept.proof.split()[:2]} == {64}
    for _ in range(3):
        await peer.seals(2)
    assert await peer.open_alarms() == []
    (known,) = await peer.store.alarms_about(JOURNAL_ALTERED, "G01")
    assert (known.acknowledged, known.times) == (WORD, 4)
    assert known.message == kept.message  # which names the seals that were seen


async def test_t20_nothing_new_is_told_by_a_restart_when_the_peer_sealed_nothing(
    peer: Peer,
) -> None:
    await peer.acknowledge()
    peer.restart()
    await peer.watch.look("G01")
    assert await peer.open_alarms() == []


async def test_t20_an_acknowledged_journal_that_is_altered_again_is_told_anew(peer: Peer) -> None:
    first = await peer.acknowledge()
    peer.altered = set()  # it put back what it had sealed, and goes on from there
    await peer.seals(2)
    await peer.seals(2)
    assert await peer.open_alarms() == []
    peer.altered = {9}
    await peer.seals(2)
    (second,) = await peer.open_alarms()
    assert second.proof != first.proof
    assert second.times == 1


async def test_t20_a_journal_that_is_rewritten_and_goes_on_is_told_anew_when_it_is_rewritten_again(
    store: NodeStore, database: Database
) -> None:
    peer = Peer(store, database)
    await peer.seals(4)
    await peer.seals(2)
    peer.rewrite(2)
    await peer.seals(2)
    first = await peer.acknowledge()
    for _ in range(2):
        await peer.seals(2)
    assert await peer.open_alarms() == []
    peer.rewrite(9)
    await peer.seals(2)
    (second,) = await peer.open_alarms()
    assert second.proof != first.proof


@pytest.mark.parametrize("mended", [True, False])
async def test_t20_after_a_restart_what_goes_on_from_the_accused_seal_is_what_counts(
    peer: Peer, *, mended: bool
) -> None:
    first = await peer.acknowledge()
    peer.restart()
    if mended:
        peer.altered = set()
    peer.asked.clear()
    await peer.seals(3)
    accused = int(first.proof.split()[2])
    assert peer.asked[0][0] == accused  # not from the first seal, which would be no news
    assert [alarm.times for alarm in await peer.open_alarms()] == ([] if mended else [1])


async def test_t20_the_alteration_of_another_epoch_is_another_alarm(peer: Peer) -> None:
    first = await peer.acknowledge()
    peer.altered = set()
    peer.office.start(NOW + timedelta(seconds=1))
    await peer.seals(4)
    await peer.seals(2)
    assert await peer.open_alarms() == []
    peer.altered = {1}
    await peer.seals(2)
    (second,) = await peer.open_alarms()
    assert second.id != first.id


async def test_t20_who_lacks_seals_of_the_epoch_from_which_it_speaks_is_told(
    store: NodeStore, database: Database
) -> None:
    peer = Peer(store, database)
    await peer.seals(4)
    peer.has, peer.speaks_from = 3, peer.office.opened
    await peer.seals(2)
    (alarm,) = await peer.open_alarms()
    assert "G01 has 3 seals, not 6." in alarm.message


@pytest.mark.parametrize("can_seal", [True, False])
async def test_t20_who_speaks_from_an_older_epoch_lost_the_newer_one_and_is_not_accused(
    store: NodeStore, database: Database, *, can_seal: bool
) -> None:
    """A restore took it back to before its clock was ahead: what it lost is newer than its now."""
    restored = Peer(store, database)
    await restored.seals(2)
    peer = Peer(store, database)
    peer.office.start(NOW + timedelta(minutes=3), above=restored.office.state.epoch)
    await peer.seals(4)
    peer.has, peer.speaks_from = 0, restored.office.opened if can_seal else None
    peer.asked.clear()
    await peer.seals(2)
    assert peer.asked  # it was asked, and says that it has nothing
    assert await peer.open_alarms() == []


async def test_t20_nobody_is_accused_who_cannot_say_from_which_epoch_it_speaks(
    store: NodeStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_peer: Peer, agency: str) -> Hello:
        raise PeerUnreachableError(f"{agency} does not answer.", agency=agency)

    monkeypatch.setattr(Peer, "greet", gone)
    peer = Peer(store, database)
    await peer.seals(4)
    peer.has = 3
    with pytest.raises(PeerUnreachableError):  # it is asked again after the next hello
        await peer.seals(2)
    assert await peer.open_alarms() == []
