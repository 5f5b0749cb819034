"""When a node asks for a newer directory, whom, and what it tells people about the one it has.

The rules only: ``workers.directory`` runs them, ``rpc.directory`` fetches, ``storage`` keeps.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from edoccore.directory import layout
from edoccore.directory.collecting import collect
from edoccore.directory.floor import Floor
from edoccore.directory.layout import REFRESH_EVERY
from edoccore.directory.packing import FileWanted
from edoccore.directory.state import DirectoryState, Freshness
from edoccore.directory.view import Directory

MAX_DELAY = timedelta(minutes=10)  # between two attempts at a registry that does not answer
PEER_PAUSE = timedelta(minutes=1)  # between two fetches that the same peer gave rise to

STALE = "DIRECTORY_STALE"
EXPIRED = "DIRECTORY_EXPIRED"
OFFICERS = "DIRECTORY_ENDS_SOON"
INVALID = "DIRECTORY_INVALID"
OWN_ENTRY = "OWN_ENTRY_CHANGED"


class DirectorySource(Protocol):
    """Whoever serves directory files: the registry or a peer."""

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


class DirectorySources(Protocol):
    """Opens sources by the directory in force."""

    def registry(self, directory: Directory) -> AbstractAsyncContextManager[DirectorySource]:
        """The registry."""

    def peer(
        self, directory: Directory, agency: str
    ) -> AbstractAsyncContextManager[DirectorySource]:
        """The node of an agency."""


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

    def keep_proof(self, version: int, ours: bytes, theirs: bytes) -> None:
        """Keeps two signed snapshots of one version, the proof against the registry."""


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
    """When the next attempt is due; counts failures and what peers asked for."""

    failures: int = 0
    asked: dict[str, datetime] = field(default_factory=dict)

    def succeeded(self) -> None:
        """Notes that the registry answered."""
        self.failures = 0

    def failed(self) -> None:
        """Notes that it did not."""
        self.failures += 1

    def delay(self, jitter: float, every: timedelta = REFRESH_EVERY) -> timedelta:
        """Time until the next attempt.

        Args:
            jitter: 0 to 1; spreads the nodes of a network, so that they do not all ask at once.
            every: Between two attempts while the registry answers.
        """
        base: timedelta = min(every * 2 ** min(self.failures, 10), max(MAX_DELAY, every))
        return base * (0.75 + 0.5 * jitter)

    def may_ask(self, agency: str, now: datetime) -> bool:
        """Whether a peer's newer directory may be fetched now; if so, it is noted."""
        if agency in self.asked and now - self.asked[agency] < PEER_PAUSE:
            return False
        self.asked[agency] = now
        return True


def alarms_of(state: DirectoryState) -> Mapping[str, str]:
    """What a person must know about a directory's age: message by kind of alarm."""
    found: dict[str, str] = {}
    if state.freshness is Freshness.STALE:
        found[STALE] = (
            f"The registry has not been reached for long: {state.reasons[0]}. The exchange goes "
            f"on for {state.days_left} more days."
        )
    if state.freshness is Freshness.EXPIRED:
        found[EXPIRED] = (
            f"The directory has expired ({state.reasons[0]}): documents are kept but neither "
            "sent nor taken. Reach the registry or a node with a newer directory."
        )
    elif state.officers_alarm:
        found[OFFICERS] = (
            f"The role {state.expiring_role} of the directory ends at {state.expires.isoformat()}. "
            "The registry's officers must sign it anew before."
        )
    return found


def own_changes(
    agency: str, old: Directory, new: Directory, expected: Collection[str] = ()
) -> list[str]:
    """What changed in a node's own entry without its asking.

    Args:
        expected: SHA-256 of the seal certificates that the node asked for, lower hex.
    """
    before, after = old.identities.get(agency), new.identities.get(agency)
    if before is None or after is None:
        return [] if before is after else [f"The entry of {agency} appeared or disappeared."]
    added = [
        sha256(layout.from_base64(listing.certificate)).hexdigest()
        for listing in after.seals
        if listing not in before.seals
    ]
    changes = [
        f"The seal certificate {digest} was added for {agency}, and this node did not ask for it: "
        f"whoever has its key can seal in the name of {agency}. Unless somebody here enrolled "
        f"anew, call the registry's officers and have it revoked."
        for digest in added
        if digest not in expected
    ]
    if before.state != after.state:
        changes.append(f"{agency} is now {after.state.lower()}.")
    if before.owns != after.owns or before.aliases != after.aliases:
        changes.append(f"The codes of {agency} were changed.")
    return changes
