"""Whether a stored journal agrees with itself: every seal, every leaf, every start.

A journal is the log of an agency's own seals, in epochs. Each seal states the root over the seals
before it in its epoch; each epoch's opening names the head that its sealer found. So an altered,
removed or inserted seal shows, and so does an altered or removed statement or effect.

A restore from a backup is told apart from that: then the next opening names an older head, and
what lay after it is a lost tail, of which peers may have given parts back. This is "tail lost at
restore", never tampering.

Seals cut off at the very end leave no trace at home; peers know the head and say so in a hello.
Reading is streamed by the caller; memory here grows with the number of epochs only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from msgspec import UNSET

from edoccore.directory.layout import from_base64
from edoccore.directory.view import Directory
from edoccore.errors import EdocError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import PublicKey, verify_signature
from edoccore.signing import canonical, merkle
from edoccore.signing.merkle import Frontier, leaf_hash
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import (
    EpochOpening,
    Head,
    Seal,
    parse_time,
    uuid_bytes,
    uuid_text,
)
from edocnode.domain.model import EpochHead

MAX_FINDINGS = 100  # a journal with more is broken all the same


class JournalVerdict(StrEnum):
    """What a journal is worth."""

    SOUND = "ok"
    TAIL_LOST = "tail lost at restore"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One stored seal with what is stored under it.

    Attributes:
        statements: Place and leaf hash of each stored statement, in any order.
        effects: The same of effects.
    """

    epoch: bytes
    index: int
    seal: SignedSeal
    statements: tuple[tuple[int, bytes], ...]
    effects: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class JournalFinding:
    """Where a journal is not as it should be; ``index`` is a seal's place in its epoch."""

    verdict: JournalVerdict
    epoch: str
    index: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalReport:
    """The result.

    Attributes:
        seals: Seals of the journal as it continues; ``lost`` counts those given back besides.
        head: The newest epoch; None for an empty journal.
    """

    verdict: JournalVerdict
    epochs: int
    seals: int
    lost: int
    statements: int
    effects: int
    head: EpochHead | None
    findings: tuple[JournalFinding, ...]


def seal_keys(directory: Directory, agency: str) -> dict[str, PublicKey]:
    """Keys of all seal certificates that the directory lists for an agency, revoked ones too.

    Returns:
        By SHA-256 of the certificate, lower hex; empty when the agency is not in the directory.
    """
    entry = directory.identities.get(agency)
    listings = () if entry is None else entry.seals
    digests = [certificate_digest(from_base64(item.certificate)) for item in listings]
    return {digest: directory.seals.listed(agency, digest).key for digest in digests}


def verify_journal(
    entries: Iterable[JournalEntry],
    openings: Sequence[bytes],
    *,
    agency: str,
    network: str,
    keys: Mapping[str, PublicKey],
) -> JournalReport:
    """Verifies a journal.

    Args:
        entries: All stored seals of the agency, by epoch, then index.
        openings: Exact bytes of all stored openings, in any order.
        agency: Whose journal.
        network: The network it belongs to.
        keys: Public keys by SHA-256 of their certificates, lower hex.
    """
    check = _JournalCheck(agency, network, keys, _Continuation(openings))
    for entry in entries:
        check.take(entry)
    return check.report()


class _Continuation:
    """How the epochs continue each other: which seals of each belong to the journal."""

    def __init__(self, openings: Sequence[bytes]) -> None:
        self.unreadable = 0
        self._leaves: dict[bytes, bytes] = {}
        self._heads: dict[bytes, Head] = {}
        previous: dict[bytes, Head | None] = {}
        for data in openings:
            try:
                opening = canonical.decode(data, EpochOpening)
            except EdocError:
                self.unreadable += 1
                continue
            epoch = uuid_bytes(opening.epoch)
            self._leaves[epoch] = leaf_hash(data)
            previous[epoch] = None if opening.previous is UNSET else opening.previous
        self.newest = max(previous, default=None)
        self._follow(previous)

    def _follow(self, previous: Mapping[bytes, Head | None]) -> None:
        epoch = self.newest
        while epoch is not None and (head := previous.get(epoch)) is not None:
            older = uuid_bytes(head.epoch)
            if older >= epoch:
                break
            self._heads[older] = head
            epoch = older

    @property
    def named(self) -> Mapping[bytes, Head]:
        """By epoch: the head that the next opening names."""
        return self._heads

    def opening_leaf(self, epoch: bytes) -> bytes | None:
        """Leaf hash of the opening of an epoch."""
        return self._leaves.get(epoch)

    def kept(self, epoch: bytes) -> int | None:
        """How many seals of an epoch belong to the journal; None: all."""
        if epoch == self.newest:
            return None
        head = self._heads.get(epoch)
        return 0 if head is None else head.size


@dataclass(slots=True)
class _EpochCheck:
    """Where the check stands in one epoch."""

    epoch: bytes
    frontier: Frontier = field(default_factory=Frontier)
    last_time: datetime | None = None
    broken: bool = False
    lost_told: bool = False


class _JournalCheck:
    def __init__(
        self, agency: str, network: str, keys: Mapping[str, PublicKey], chain: _Continuation
    ) -> None:
        self._agency = agency
        self._network = network
        self._keys = keys
        self._chain = chain
        self._current: _EpochCheck | None = None
        self._seen: set[bytes] = set()
        self._findings: list[JournalFinding] = []
        self._counts = dict.fromkeys(("seals", "lost", "statements", "effects"), 0)

    def take(self, entry: JournalEntry) -> None:
        """Checks the next seal."""
        if self._current is None or self._current.epoch != entry.epoch:
            self._end_epoch()
            self._current = _EpochCheck(entry.epoch)
            self._seen.add(entry.epoch)
        try:
            self._take(entry, self._current)
        except EdocError as error:
            self._broken(entry.epoch, entry.index, error.message)

    def report(self) -> JournalReport:
        """Ends the check."""
        current = self._current
        self._end_epoch()
        for epoch, head in self._chain.named.items():
            if epoch not in self._seen and head.size:
                self._broken(epoch, 0, "all seals of this epoch are missing")
        if self._chain.unreadable:
            newest = self._chain.newest or bytes(16)
            self._broken(newest, 0, f"{self._chain.unreadable} openings cannot be read")
        return JournalReport(
            verdict=self._verdict(),
            epochs=len(self._seen),
            seals=self._counts["seals"],
            lost=self._counts["lost"],
            statements=self._counts["statements"],
            effects=self._counts["effects"],
            head=None if current is None else _head(current),
            findings=tuple(self._findings),
        )

    def _verdict(self) -> JournalVerdict:
        found = {finding.verdict for finding in self._findings}
        if JournalVerdict.BROKEN in found:
            return JournalVerdict.BROKEN
        return JournalVerdict.TAIL_LOST if found else JournalVerdict.SOUND

    def _take(self, entry: JournalEntry, current: _EpochCheck) -> None:
        seal = canonical.decode(entry.seal.data, Seal)
        self._check_signature(entry, seal)
        kept = self._chain.kept(entry.epoch)
        if kept is not None and entry.index >= kept:
            self._tell_lost(entry, current)
            return
        expected = current.frontier.size
        if entry.index < expected:
            self._broken(entry.epoch, entry.index, "there are two seals for this place")
        elif entry.index > expected and not current.broken:
            current.broken = True
            missing = f"seals {expected} to {entry.index - 1} are missing"
            self._broken(entry.epoch, expected, missing)
        if entry.index == expected:
            self._check_place(entry, seal, current)
            current.frontier.append(leaf_hash(entry.seal.data))
        self._check_trees(entry, seal)
        self._counts["seals"] += 1

    def _check_signature(self, entry: JournalEntry, seal: Seal) -> None:
        stored = (self._agency, self._network, entry.epoch, entry.index)
        if (seal.signer, seal.network, uuid_bytes(seal.epoch), seal.index) != stored:
            self._broken(entry.epoch, entry.index, "the seal was made for another place")
        key = self._keys.get(seal.certificates[0])
        if key is None:
            why = f"the directory does not list its certificate {seal.certificates[0][:16]}…"
            self._broken(entry.epoch, entry.index, why)
            return
        verify_signature(key, seal.suite, entry.seal.data, entry.seal.signature)

    def _check_place(self, entry: JournalEntry, seal: Seal, current: _EpochCheck) -> None:
        if bytes.fromhex(seal.journal_root) != current.frontier.root():
            self._broken(entry.epoch, entry.index, "it does not continue the seals before it")
        time = parse_time(seal.time)
        if current.last_time is not None and time < current.last_time:
            self._broken(entry.epoch, entry.index, "its time is before that of the seal before it")
        current.last_time = time
        if entry.index == 0:
            opening = self._chain.opening_leaf(entry.epoch)
            if opening is None or (0, opening) not in entry.statements:
                self._broken(entry.epoch, 0, "its first statement is not the opening of the epoch")

    def _check_trees(self, entry: JournalEntry, seal: Seal) -> None:
        for name, tree, leaves in (
            ("statements", seal.statements, entry.statements),
            ("effects", seal.effects, entry.effects),
        ):
            self._counts[name] += len(leaves)
            ordered = sorted(leaves)
            if [number for number, _ in ordered] != list(range(tree.size)):
                why = f"{len(leaves)} of its {tree.size} {name} are stored"
                self._broken(entry.epoch, entry.index, why)
            elif merkle.root_of([digest for _, digest in ordered]) != bytes.fromhex(tree.root):
                self._broken(entry.epoch, entry.index, f"one of its {name} was altered")

    def _tell_lost(self, entry: JournalEntry, current: _EpochCheck) -> None:
        self._counts["lost"] += 1
        if current.lost_told:
            return
        current.lost_told = True
        newest = self._chain.newest
        if newest is None or entry.epoch > newest:  # a lost tail has a newer epoch after it
            self._broken(entry.epoch, 0, "the opening of this epoch is missing")
            return
        why = "the node was restored from a backup; seals from here on came back from peers"
        self._find(JournalVerdict.TAIL_LOST, entry.epoch, entry.index, why)

    def _end_epoch(self) -> None:
        """Compares an epoch that ended with the head that the next opening names."""
        current = self._current
        head = None if current is None else self._chain.named.get(current.epoch)
        if current is None or head is None or current.broken:
            return
        size = current.frontier.size
        if size < head.size:
            why = f"seals {size} to {head.size - 1}, which the next opening names, are missing"
            self._broken(current.epoch, size, why)
        elif current.frontier.root() != bytes.fromhex(head.root):
            why = "the next opening names another root over the seals of this epoch"
            self._broken(current.epoch, max(size - 1, 0), why)

    def _broken(self, epoch: bytes, index: int, why: str) -> None:
        self._find(JournalVerdict.BROKEN, epoch, index, why)

    def _find(self, verdict: JournalVerdict, epoch: bytes, index: int, why: str) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(JournalFinding(verdict, uuid_text(epoch), index, why))


def _head(current: _EpochCheck) -> EpochHead:
    return EpochHead(epoch=current.epoch, size=current.frontier.size, root=current.frontier.root())
