"""A node follows the log: takes what continues, proves a fork, cosigns nothing that is not so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.directory import layout
from edoccore.directory.bundle import decode_bundle, open_log, read_log
from edoccore.directory.layout import LOG_PATIENCE, WITNESS_PATIENCE, LogInfo
from edoccore.directory.log_fork import prove_log_fork, read_log_fork
from edoccore.directory.transparency import (
    LEAF_BYTES,
    NOTHING_COSIGNED,
    DirectoryLog,
    LogAnswer,
    read_checkpoint,
)
from edoccore.directory.view import Directory
from edoccore.directory_errors import NoteInvalidError, ProofInvalidError
from edoccore.errors import RegistryUnreachableError
from edoccore.signing.notes import Note, cosigned_at, read_note
from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain import directory_log as rules
from edocnode.storage.directory_log import DirectoryLogFiles, WitnessFiles
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.workers.directory_log import WORD_HOLDS, LogWatch
from edocnode.workers.witnessing import Witness
from tests.integration.directory.conftest import HeardAlarms
from tests.support.logs import NETWORK, MadeLog, log_signer, mark, witness_signer
from tests.support.nation import Nation

WORD = SealedStatement(b"edoc.holder/v1", 0, (), SignedSeal(b"seal", b"signature"))


class Node:
    """One node's files, its watch and its witness; ``restart`` begins anew from the disk."""

    def __init__(self, path: Path, nation: Nation, alarms: HeardAlarms) -> None:
        self.nation = nation
        self.alarms = alarms
        self.now = nation.now
        self.folder = DataFolder(path)
        self.folder.create()
        self.files = DirectoryLogFiles(self.folder.directory, nation.anchor)
        identity = NodeIdentity(
            network=NETWORK, agency="H29", root_sha256=nation.anchor, server_name="h29.test"
        )
        self.witness_files = WitnessFiles(self.folder, identity)
        self.can_seal = True
        self.start()

    def start(self) -> None:
        """Makes the workers."""
        clock = lambda: self.now  # noqa: E731 - read at each call
        self.said: list[bytes] = []

        async def word(checkpoint: bytes) -> SealedStatement | None:
            self.said.append(checkpoint)
            return WORD if self.can_seal else None

        self.watch = LogWatch(store=self.files, alarms=self.alarms, clock=clock, word=word)
        self.witness = Witness(store=self.witness_files, alarms=self.alarms, clock=clock)

    async def restart(self) -> None:
        """Forgets everything that is not on disk."""
        self.alarms.open.clear()
        self.start()
        await self.watch.recall()

    async def look(self, made: MadeLog, directory: Directory, peer: str = "") -> None:
        """Looks at a log."""
        await self.watch.look(made, directory, peer=peer)


class Registry:
    """A registry with its keys: publishes, and logs what it publishes, as it is told."""

    def __init__(self, nation: Nation) -> None:
        self.nation = nation
        self.made = MadeLog()

    def publish(self, *, log: MadeLog | None = None, logged: bool = True) -> Directory:
        """One version more."""
        made = log or self.made
        self.nation.log = made.info
        self.nation.now += timedelta(seconds=5)
        self.nation.resign()
        directory = self.nation.directory()
        if logged:
            made.add(directory.mark)
        return directory


@pytest.fixture
def registry(nation: Nation) -> Registry:
    return Registry(nation)


@pytest.fixture
def node(tmp_path: Path, nation: Nation, alarms: HeardAlarms) -> Node:
    return Node(tmp_path / "node", nation, alarms)


async def test_log_is_followed_over_restarts(node: Node, registry: Registry) -> None:
    for _ in range(3):
        directory = registry.publish()
        await node.look(registry.made, directory)
        assert node.watch.current is not None
        assert node.watch.current.place_of(directory.mark) == registry.made.size - 1
    await node.restart()
    registry.made.asked.clear()
    await node.look(registry.made, registry.publish())
    assert registry.made.asked == [3]  # what is on disk is not asked for again
    assert node.watch.current.size == 4
    assert not node.alarms.kinds()


async def test_log_of_many_answers_is_taken_whole(node: Node, registry: Registry) -> None:
    class Slow(MadeLog):
        async def log(self, size: int, digest: bytes) -> LogAnswer:
            answer = await super().log(size, digest)
            return LogAnswer(answer.checkpoint, b"", answer.leaves[: 2 * LEAF_BYTES])

    slow = Slow(signer=registry.made.signer)
    registry.made.add(*map(mark, range(6)))
    directory = registry.publish()
    slow.leaves, slow.checkpoint = registry.made.leaves, registry.made.checkpoint
    await node.look(slow, directory)
    assert node.watch.current is not None
    assert node.watch.current.size == 7
    assert slow.asked == [0, 2, 4, 6]


@pytest.mark.parametrize("longer", ["ours", "theirs", "same"])
@pytest.mark.parametrize("shown_by", ["", "G01"])
async def test_t43_two_logs_under_one_key_leave_a_proof_that_anyone_can_check(
    node: Node, registry: Registry, tmp_path: Path, longer: str, shown_by: str
) -> None:
    directory = registry.publish()
    other = registry.made.copy()
    for _ in range(3 if longer == "ours" else 1):
        directory = registry.publish()
    await node.look(registry.made, directory)
    other.add(*(mark(number, "b") for number in range(3 if longer == "theirs" else 1)))
    held = node.watch.current
    await node.look(other, directory, peer=shown_by)
    assert node.alarms.kinds() == {rules.FORKED}
    assert node.watch.current is held  # what was seen first stays
    (proof,) = node.files.forks()
    anchor = node.nation.anchor
    assert read_log_fork(proof.data, anchor) == proof
    assert proof.sizes[0] <= proof.sizes[1]
    with pytest.raises(ProofInvalidError):
        read_log_fork(proof.data, "0" * 64)
    for place in range(0, len(proof.data), 97):
        wrong = b"!" if proof.data[place : place + 1] != b"!" else b"?"
        spoiled = proof.data[:place] + wrong + proof.data[place + 1 :]
        with pytest.raises(ProofInvalidError):
            read_log_fork(spoiled, anchor)
    (alarm,) = node.alarms.open.values()
    await node.restart()
    assert node.alarms.kinds() == {rules.FORKED}
    assert [item.proof for item in node.alarms.open.values()] == [alarm.proof]
    await node.look(other, directory)
    assert len(node.files.forks()) == 1


@pytest.mark.parametrize("claim", ["unsigned", "leaves", "shorter", "none", "other key"])
async def test_t43_a_claim_without_two_signed_checkpoints_accuses_nobody(
    node: Node, registry: Registry, claim: str
) -> None:
    registry.made.add(*map(mark, range(3)))
    older = registry.made.copy()
    directory = registry.publish()
    await node.look(registry.made, directory)
    lie = registry.made.copy().add(mark(9, "b"))
    if claim == "unsigned":  # under its own text the signature is another checkpoint's
        signed = read_note(registry.made.checkpoint)
        lie = MadeLog().add(*map(mark, range(7)))
        lie.checkpoint = Note(read_note(lie.checkpoint).text, signed.signatures).encode()
    if claim == "leaves":
        lie.leaves = lie.leaves[:-1] + b"!"
    if claim == "shorter":
        lie = older
    if claim == "none":
        lie = MadeLog()
    if claim == "other key":
        lie = MadeLog().add(*map(mark, range(7)))
    await node.look(lie, directory, peer="G01")
    assert not node.alarms.kinds()
    assert not node.files.forks()
    await node.look(lie, directory)  # of the registry it is told, and proves nothing either
    expected = set() if claim in ("shorter", "none") else {rules.INVALID}
    assert node.alarms.kinds() == expected
    assert not node.files.forks()
    await node.look(registry.made, directory)
    assert not node.alarms.kinds()


def test_t43_a_log_that_only_grew_is_accused_by_no_leaves(registry: Registry) -> None:
    registry.publish()
    smaller = registry.made.copy()
    directory = registry.publish()
    targets = layout.file_name(layout.TARGETS, directory.versions[layout.TARGETS])
    signed = (smaller.checkpoint, registry.made.checkpoint)
    invented = MadeLog().add(*map(mark, range(2))).leaves
    for leaves in (registry.made.leaves, invented, b""):
        with pytest.raises(ProofInvalidError):
            prove_log_fork(directory.chain, directory.files[targets], signed, leaves)


async def test_t43_a_directory_for_one_node_alone_is_told_after_an_hour(
    node: Node, registry: Registry
) -> None:
    await node.look(registry.made, registry.publish())
    alone = registry.publish(logged=False)
    await node.look(registry.made, alone)
    node.now += LOG_PATIENCE - timedelta(minutes=1)
    await node.look(registry.made, alone)
    assert not node.alarms.kinds()
    await node.restart()  # the hour goes on
    node.now += timedelta(minutes=2)
    await node.look(registry.made, alone)
    assert node.alarms.kinds() == {rules.MISSING}
    await node.look(registry.made, registry.publish())
    assert not node.alarms.kinds()


async def test_t43_a_log_that_only_this_node_is_shown_lacks_its_cosignatures(
    node: Node, registry: Registry
) -> None:
    made = registry.made
    made.witnesses, made.threshold = {"G01": witness_signer("G01")}, 1
    directory = registry.publish()
    made.cosign("G01", node.now)
    await node.look(made, directory)
    honest, mine = made.copy(), made.copy()
    directory = registry.publish(log=mine)
    for hour in range(26):
        node.now = node.nation.now + timedelta(hours=hour)
        honest.cosign("G01", node.now)  # the witness goes on with what it is shown
        mine.witnessed = honest.witnessed
        await node.look(mine, directory)
        if hour < 24:
            assert not node.alarms.kinds()
    assert node.alarms.kinds() == {rules.MISSING}
    assert timedelta(hours=24) == WITNESS_PATIENCE


async def test_registry_that_lost_the_end_of_its_log_is_told_of_and_not_accused(
    node: Node, registry: Registry
) -> None:
    registry.publish()
    backup = registry.made.copy()
    for _ in range(2):
        directory = registry.publish()
    await node.look(registry.made, directory)
    backup.signer = log_signer()  # as ``edocregistry restore`` makes one
    directory = registry.publish(log=backup)
    await node.look(backup, directory)
    assert node.alarms.kinds() == {rules.REPLACED}
    assert not node.files.forks()
    assert list((node.folder.directory / "old-logs").iterdir())
    assert node.watch.current is not None
    assert node.watch.current.place_of(directory.mark) == backup.size - 1


async def test_registry_that_got_its_log_back_from_a_node_is_not_even_told_of(
    node: Node, registry: Registry
) -> None:
    directory = registry.publish()
    await node.look(registry.made, directory)
    await node.restart()
    registry.made.signer = log_signer()
    directory = registry.publish(logged=False)
    await node.look(MadeLog(signer=registry.made.signer), directory)  # the key is not used yet
    await node.restart()
    registry.made.add(directory.mark)
    await node.look(registry.made, directory)
    assert not node.alarms.kinds()
    assert node.watch.current is not None
    assert node.watch.current.size == 2


@pytest.mark.parametrize("fewer", ["demanded", "listed", "under the key of before"])
async def test_t43_fewer_watchers_are_told_at_once_and_stay_told(
    node: Node, registry: Registry, fewer: str
) -> None:
    made = registry.made
    made.witnesses, made.threshold = {code: witness_signer(code) for code in ("G01", "H30")}, 1
    await node.look(made, registry.publish())
    assert not node.alarms.kinds()
    if fewer == "demanded":
        made.threshold = 0
    if fewer == "listed":
        made.witnesses = {"G01": made.witnesses["G01"]}
    if fewer == "under the key of before":
        made.witnesses = {**made.witnesses, "H30": witness_signer("H30")}
    await node.look(made, registry.publish())
    assert node.alarms.kinds() == {rules.WEAKENED}
    await node.look(made, registry.publish())
    assert node.alarms.kinds() == {rules.WEAKENED}


async def test_t43_to_be_weakened_in_the_same_way_once_more_is_another_alarm(
    node: Node, registry: Registry
) -> None:
    made, proofs = registry.made, list[str]()
    made.witnesses = {"G01": witness_signer("G01")}
    for threshold in (1, 0, 0, 1, 0):
        made.threshold = threshold
        await node.look(made, registry.publish())
        proofs += [alarm.proof for alarm in node.alarms.open.values()]
    assert len(proofs) == 4  # the subject names the two policies, which are the same
    assert proofs[0] == proofs[1] == proofs[2] != proofs[3]


async def test_t43_a_log_that_is_taken_away_is_one_alarm_at_every_look(
    node: Node, registry: Registry
) -> None:
    made = registry.made
    await node.look(made, registry.publish())
    registry.nation.log = None
    proofs = set[str]()
    for _ in range(3):
        registry.nation.now += timedelta(seconds=5)
        registry.nation.resign()
        await node.look(made, registry.nation.directory())
        proofs |= {alarm.proof for alarm in node.alarms.open.values()}
        await node.watch.recall()
    assert len(proofs) == 1


async def test_version_that_a_peer_has_and_the_log_lacks_is_strange(
    node: Node, registry: Registry
) -> None:
    registry.made.add(*map(mark, range(3)))
    directory = registry.publish()
    await node.look(registry.made, directory)
    assert not node.watch.is_strange(mark(1))
    assert not node.watch.is_strange(directory.mark)
    assert node.watch.is_strange(mark(1, "b"))
    newer = type(directory.mark)(version=directory.mark.version + 1, hash="0" * 64)
    assert not node.watch.is_strange(newer)  # perhaps not logged yet


class Cosigning:
    """The registry's side of cosigning; ``fails`` is what happens instead of an answer."""

    def __init__(self, made: MadeLog) -> None:
        self.made = made
        self.taken: list[bytes] = []
        self.shown: list[bytes] = []
        self.given: list[tuple[dict[str, bytes], DirectoryLog]] = []
        self.words: list[SealedStatement | None] = []
        self.asks = False
        self.wants = True
        self.fails: Callable[[], None] = lambda: None

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        return replace(await self.made.log(size, digest), asks=self.asks)

    async def cosign(self, checkpoint: bytes) -> None:
        self.fails()
        self.taken.append(checkpoint)
        self.made.checkpoint = checkpoint

    async def show(self, checkpoint: bytes, holder: SealedStatement | None) -> bool:
        self.fails()
        self.shown.append(checkpoint)
        self.words.append(holder)
        return self.wants

    async def give_back(self, bundle: bytes, log: bytes, holder: SealedStatement | None) -> None:
        self.words.append(holder)
        self.given.append((decode_bundle(bundle), open_log(read_log(log))))


@pytest.fixture
def watched(node: Node, registry: Registry) -> Cosigning:
    """A log that lists the node as its witness."""
    registry.made.witnesses = {"H29": node.witness_files.enable()}
    registry.made.threshold = 1
    return Cosigning(registry.made)


async def witness(node: Node, source: Cosigning, directory: Directory) -> None:
    await node.watch.look(source, directory)
    await node.witness.look(source, node.watch.current)


async def test_witness_cosigns_each_version_once_and_again_after_hours(
    node: Node, registry: Registry, watched: Cosigning
) -> None:
    directory = registry.publish()
    for _ in range(3):
        await witness(node, watched, directory)
    assert len(watched.taken) == 1
    key = node.witness_files.enable().key
    assert cosigned_at(read_note(watched.taken[0]), key) == int(node.now.timestamp())
    directory = registry.publish()
    await witness(node, watched, directory)
    assert read_checkpoint(watched.taken[-1]).size == 2
    node.now += timedelta(hours=6)
    await witness(node, watched, directory)
    assert len(watched.taken) == 3


async def test_what_did_not_arrive_is_cosigned_again_after_a_restart(
    node: Node, registry: Registry, watched: Cosigning
) -> None:
    directory = registry.publish()

    def down() -> None:
        raise RegistryUnreachableError

    watched.fails = down
    with pytest.raises(RegistryUnreachableError):
        await witness(node, watched, directory)
    await node.restart()
    watched.fails = lambda: None
    await witness(node, watched, directory)
    assert len(watched.taken) == 1


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("shown", ["smaller", "fork", "fork of the same size", "longer fork"])
async def test_t43_a_witness_never_cosigns_a_fork_or_a_smaller_log(
    node: Node, registry: Registry, watched: Cosigning, shown: str, *, restarted: bool
) -> None:
    """Also when the log under a new key is all that the node has in hand."""
    registry.publish()
    smaller = registry.made.copy()
    registry.publish()
    directory = registry.publish()
    await witness(node, watched, directory)
    (first,) = watched.taken
    if restarted:
        await node.restart()
    other = smaller
    other.signer = log_signer()
    extra = {"smaller": 0, "fork": 1, "fork of the same size": 2, "longer fork": 5}[shown]
    other.add(*(mark(number, "b") for number in range(extra)))
    watched.made = other
    directory = registry.publish(log=other, logged=False)
    await witness(node, watched, directory)
    assert node.watch.current is not None
    assert node.watch.current.info.key == other.info.key  # it was looked at, and taken in
    assert watched.taken == [first]
    assert rules.WITNESS in node.alarms.kinds()


@pytest.mark.parametrize("lost", ["gone", "damaged", "another key's"])
async def test_t43_a_witness_that_forgot_what_it_cosigned_says_nothing(
    node: Node, registry: Registry, watched: Cosigning, lost: str
) -> None:
    directory = registry.publish()
    await witness(node, watched, directory)
    (path,) = node.folder.directory.glob("cosigned-*")
    if lost == "gone":
        path.unlink()
    if lost == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    if lost == "another key's":
        node.witness_files.keep_cosigned(witness_signer("H29").key, NOTHING_COSIGNED)
        (other,) = set(node.folder.directory.glob("cosigned-*")) - {path}
        other.replace(path)
    directory = registry.publish()
    await witness(node, watched, directory)
    assert len(watched.taken) == 1
    assert rules.WITNESS in node.alarms.kinds()


async def test_node_that_is_not_listed_cosigns_nothing(node: Node, registry: Registry) -> None:
    node.witness_files.enable()
    source = Cosigning(registry.made)
    await witness(node, source, registry.publish())
    assert not source.taken
    assert not node.alarms.kinds()


async def test_note_of_what_is_cosigned_is_on_disk_before_it_is_signed(
    node: Node, registry: Registry, watched: Cosigning, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = registry.publish()
    kept: list[int] = []
    keep, key = node.witness_files.keep_cosigned, node.witness_files.enable().key

    def sent() -> None:
        assert node.witness_files.cosigned(key).size == 1

    watched.fails = sent
    monkeypatch.setattr(
        node.witness_files,
        "keep_cosigned",
        lambda key, cosigned: (kept.append(cosigned.size), keep(key, cosigned)),
    )
    await witness(node, watched, directory)
    assert kept == [1]
    assert len(watched.taken) == 1


async def test_cosignature_that_comes_too_late_is_made_again_at_the_next_look(
    node: Node, registry: Registry, watched: Cosigning
) -> None:
    directory = registry.publish()

    def late() -> None:
        raise NoteInvalidError

    watched.fails = late
    await witness(node, watched, directory)
    watched.fails = lambda: None
    directory = registry.publish()
    await witness(node, watched, directory)
    assert [read_checkpoint(item).size for item in watched.taken] == [2]
    assert isinstance(directory.info.log, LogInfo)


async def test_registry_that_asks_is_shown_what_the_node_holds_with_a_word_sealed_now_and_then(
    node: Node, registry: Registry
) -> None:
    source = Cosigning(registry.made)
    source.wants, source.asks = False, True
    directory = registry.publish()
    for _ in range(3):
        await node.watch.look(source, directory)
        await node.watch.give_back(source, directory)
    assert source.shown == [registry.made.checkpoint] * 3
    assert source.words == [WORD] * 3
    assert node.said == [registry.made.checkpoint]  # one seal, however often it asks
    node.now += WORD_HOLDS
    await node.watch.look(source, directory)
    await node.watch.give_back(source, directory)
    assert len(node.said) == 2
    node.can_seal, node.now = False, node.now + WORD_HOLDS
    await node.watch.give_back(source, directory)
    assert source.words[-1] is None  # a stranger's word counts, when it holds more
    source.asks = False
    await node.watch.look(source, directory)
    await node.watch.give_back(source, directory)
    assert len(source.shown) == 5


@pytest.mark.parametrize("wants", [True, False])
async def test_registry_that_forgot_is_shown_what_the_node_holds_and_given_what_it_wants(
    node: Node, registry: Registry, wants: bool
) -> None:
    registry.publish()
    yesterday = Cosigning(registry.made.copy())
    yesterday.wants = wants
    directory = registry.publish()
    await node.look(registry.made, directory)
    await node.watch.give_back(yesterday, directory)
    assert yesterday.shown == []  # nothing was missing where it looked last
    await node.watch.look(yesterday, directory, peer="G01")
    await node.watch.give_back(yesterday, directory)
    assert yesterday.shown == []  # a peer may be behind
    await node.watch.look(yesterday, directory)
    await node.watch.give_back(yesterday, directory)
    assert yesterday.shown == [registry.made.checkpoint]
    assert [log.leaves for _, log in yesterday.given] == [registry.made.leaves] * wants
    assert all(bundle == directory.files for bundle, _ in yesterday.given)

    def refuses() -> None:
        raise NoteInvalidError("The checkpoint is not signed by the log.")

    yesterday.fails = refuses
    await node.watch.give_back(yesterday, directory)  # told there, and the node goes on
    assert not node.alarms.kinds()
