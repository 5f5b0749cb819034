"""When a node asks for a newer directory, whom, and what it tells people about the one it has.

The rules only: ``workers.directory`` runs them, ``rpc.directory`` fetches, ``storage`` keeps.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from edoccore.directory.collecting import collect
from edoccore.directory.equivocation import Equivocation
from edoccore.directory.floor import Floor
from edoccore.directory.layout import REFRESH_EVERY
from edoccore.directory.packing import FileWanted
from edoccore.directory.state import DirectoryState, Freshness
from edoccore.directory.view import Directory
from edoccore.signing.statements import DirectoryMark
from edocnode.domain.directory_log import CosigningSource, LogSource

MAX_DELAY = timedelta(minutes=1)  # between two attempts at a registry that does not answer
PEER_PAUSE = timedelta(minutes=1)  # between two fetches from the same peer, and two rounds
PEER_LIMIT = timedelta(minutes=2)  # for all that is asked of a peer at a time
PEERS_ASKED = 3  # in a round, while the registry does not answer
KEPT_SNAPSHOTS = 32  # of past versions

REGISTRY = "the registry"  # in alarms, in the place of an agency
STALE = "DIRECTORY_STALE"
EXPIRED = "DIRECTORY_EXPIRED"
EMERGENCY = "DIRECTORY_EMERGENCY"
OFFICERS = "DIRECTORY_ENDS_SOON"
OF_AGE = (STALE, EXPIRED, EMERGENCY, OFFICERS)
INVALID = "DIRECTORY_INVALID"
TWO_DIRECTORIES = "TWO_DIRECTORIES"
OWN_ENTRY = "OWN_ENTRY_CHANGED"


class DirectorySource(LogSource, Protocol):
    """Whoever serves directory files, and has the log: the registry or a peer."""

    async def fetch(self, wanted: Sequence[FileWanted]) -> Sequence[bytes | None]:
        """Fetches files by one question.

        Args:
            wanted: What ``collect`` asks for together.

        Returns:
            Their bytes in the same order; None for a file that the source does not have.

        Raises:
            DirectoryInvalidError: A file is longer than its limit, or the answer does not fit.
            RegistryUnreachableError, PeerUnreachableError: No answer.
        """


class RegistrySource(DirectorySource, CosigningSource, Protocol):
    """The registry."""


class DirectorySources(Protocol):
    """Opens sources by the directory in force."""

    def registry(self, directory: Directory) -> AbstractAsyncContextManager[RegistrySource]:
        """The registry."""

    def peer(
        self, directory: Directory, agency: str
    ) -> AbstractAsyncContextManager[DirectorySource]:
        """The node of an agency."""

    async def lend(self, directory: Directory, agency: str) -> None:
        """Gives the directory in force to the node of an agency, as far as it asks for it.

        Raises:
            EdocError: It does not answer, or does not want it.
        """


class Borrow(Protocol):
    """Takes a directory from a peer that calls."""

    async def __call__(self, agency: str, mark: DirectoryMark, source: DirectorySource) -> None:
        """Takes it when it is newer; otherwise asks for nothing.

        Raises:
            DirectoryInvalidError: It cannot be trusted; the one in force stays.
        """


class DirectoryStore(Protocol):
    """Keeps the directory in force on disk."""

    def load(self) -> Directory:
        """Loads and verifies the directory of the last run.

        Raises:
            DataFolderError: There is none.
            StorageDamagedError: A file is damaged.
            DirectoryInvalidError: It does not verify, or is older than what was seen.
        """

    def floor(self) -> Floor:
        """What this node must never fall below.

        Raises:
            StorageDamagedError: The file is damaged.
        """

    def save(self, directory: Directory) -> None:
        """Makes a directory the one that is loaded at the next start; fsynced when it returns."""

    def keep_extension(self, data: bytes) -> None:
        """Keeps an extension that holds for the directory in force; fsynced when it returns."""

    def keep_proof(self, proof: Equivocation) -> None:
        """Keeps the proof that the registry signed two directories of one version."""

    def proofs(self) -> Sequence[Equivocation]:
        """The proofs kept, by version; what proves nothing is left out."""

    def keep_snapshot(self, version: int, data: bytes) -> None:
        """Keeps a snapshot that was in force, to compare with what others are shown."""

    def snapshots(self) -> Mapping[int, bytes]:
        """The snapshots kept, by version; at most ``KEPT_SNAPSHOTS``."""


async def fetch_files(
    source: DirectorySource, known: Mapping[str, bytes], anchor: str
) -> dict[str, bytes]:
    """Fetches the newest directory of a source; only what is not in hand.

    Args:
        source: Registry or peer.
        known: Files in hand by name; empty for a newcomer.
        anchor: SHA-256 of the trusted root file.

    Raises:
        DirectoryInvalidError: The files do not belong together or are not signed.
        RegistryUnreachableError, PeerUnreachableError: No answer.
    """
    steps = collect(known, anchor)
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(await source.fetch(wanted))
    except StopIteration as end:
        files: dict[str, bytes] = end.value
        return files


@dataclass(slots=True)
class RefreshPlan:
    """When the next attempt is due; counts failures and what was done with each peer.

    Attributes:
        every: Between two refreshes while the registry answers.
        pause: Between two fetches from the same peer, and between two rounds.
    """

    every: timedelta = REFRESH_EVERY
    pause: timedelta = PEER_PAUSE
    failures: int = 0
    _last: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def succeeded(self) -> None:
        """Notes that the registry answered."""
        self.failures = 0

    def failed(self) -> None:
        """Notes that it did not."""
        self.failures += 1

    def delay(self, jitter: float) -> timedelta:
        """Time until the next attempt.

        Args:
            jitter: 0 to 1; spreads the nodes of a network, so that they do not all ask at once.
        """
        longest = max(MAX_DELAY, self.every)
        base: timedelta = min(self.every * 2 ** min(self.failures, 10), longest)
        return base * (0.75 + 0.5 * jitter)

    def may_ask(self, agency: str, now: datetime) -> bool:
        """Whether a peer may be asked for its directory now; if so, it is noted."""
        return self._may("ask", agency, now)

    def may_lend(self, agency: str, now: datetime) -> bool:
        """Whether the directory may be offered to a peer now; if so, it is noted."""
        return self._may("lend", agency, now)

    def may_borrow(self, agency: str, now: datetime) -> bool:
        """Whether a peer that calls may lend its directory now; if so, it is noted."""
        return self._may("borrow", agency, now)

    def _may(self, what: str, agency: str, now: datetime) -> bool:
        last = self._last.get((what, agency))
        if last is not None and timedelta(0) <= now - last < self.pause:
            return False
        self._last[what, agency] = now
        return True


def whom_to_ask(codes: Sequence[str], chance: Callable[[], float]) -> list[str]:
    """Peers for one round, by chance: so a newer directory reaches all in a few rounds.

    A node that has it is asked by others, and each that took it is asked in the next round: the
    number of those without it falls by more than half each time. It costs each node as many
    questions as it asks, whatever the size of the network.

    Args:
        codes: All that have a node, but this one.
        chance: 0 to 1, random.
    """
    left, chosen = list(codes), list[str]()
    while left and len(chosen) < PEERS_ASKED:
        chosen.append(left.pop(min(int(chance() * len(left)), len(left) - 1)))
    return chosen


def two_directories(proof: Equivocation) -> str:
    """What a person must know of a proof."""
    return (
        f"The registry signed two different directories of version {proof.version}: "
        f"{proof.hashes[0]} and {proof.hashes[1]}. Somebody has its keys, or shows agencies "
        f"different keys of each other. Export the proof with: edocnode directory evidence "
        f"{proof.version} --out FILE, and give it to the officers."
    )


def served_wrong(agency: str, why: str) -> str:
    """What a person must know of a peer's directory that does not hold: nobody but the peer."""
    return (
        f"The node of {agency} offered a directory that does not hold, and nothing was changed. "
        f"It proves nothing against anybody but that node. {why}"
    )


def advice_of(state: DirectoryState) -> str:
    """What people must do about a directory's age; empty when it is fresh."""
    return _ADVICE[state.freshness]


_BRING = (
    "Bring the registry back, or import what the officers or another node give as a file: "
    "edocnode directory import FILE"
)
_ADVICE = {
    Freshness.FRESH: "",
    Freshness.STALE: "Check the way to the registry, then ask its officer; nothing has stopped "
    "yet.",
    Freshness.EMERGENCY: "Ask the officers when the registry is back; without it the exchange "
    "stops when the extension ends. Keys that were revoked since are still trusted.",
    Freshness.EXPIRED: _BRING,
}


def alarms_of(state: DirectoryState) -> Mapping[str, str]:
    """What a person must know about a directory's age: message by kind of alarm."""
    found: dict[str, str] = {}
    if state.freshness is Freshness.STALE:
        found[STALE] = (
            f"The registry has not been reached for long: {state.reasons[0]}. The exchange goes "
            f"on for {state.days_left} more days."
        )
    if state.freshness is Freshness.EMERGENCY:
        found[EMERGENCY] = (
            f"The directory has expired ({state.reasons[0]}) and counts only because officers of "
            f"the root extended it until {state.expires.isoformat()}. {advice_of(state)}"
        )
    if state.freshness is Freshness.EXPIRED:
        found[EXPIRED] = (
            f"The directory has expired ({state.reasons[0]}): documents are kept but neither "
            f"sent nor taken. {advice_of(state)}"
        )
    elif state.officers_alarm and state.freshness is not Freshness.EMERGENCY:
        found[OFFICERS] = (
            f"The role {state.expiring_role} of the directory ends at {state.expires.isoformat()}. "
            "The registry's officers must sign it anew before."
        )
    return found
