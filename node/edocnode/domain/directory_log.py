"""The log of published directories as a node follows it: ports, alarms, what people are told.

What a log proves is decided by ``edoccore.directory.transparency``; ``workers.directory_log`` runs
it. Whatever a log shows, the exchange goes on: the log is for finding out, not for stopping.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edoccore.directory.bundle import KeptLog
from edoccore.directory.log_fork import LogFork
from edoccore.directory.transparency import (
    LEAF_BYTES,
    Cosigned,
    DirectoryLog,
    LogAnswer,
    LogState,
)
from edoccore.signing.notes import NoteSigner, VerifierKey
from edoccore.signing.seal import SealedStatement

FORKED = "LOG_FORKED"
REPLACED = "LOG_REPLACED"
WEAKENED = "LOG_WEAKENED"
MISSING = "LOG_MISSING"
INVALID = "LOG_INVALID"
WITNESS = "LOG_WITNESS"
LASTING = (FORKED, REPLACED, WEAKENED)
SUBJECT = "log"


class LogSource(Protocol):
    """Whoever has the log: the registry, a peer, a file."""

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """What it has besides the first ``size`` leaves and the notes with this digest.

        Raises:
            RegistryUnreachableError, PeerUnreachableError: No answer.
        """


class CosigningSource(LogSource, Protocol):
    """The registry."""

    async def cosign(self, checkpoint: bytes) -> None:
        """Hands in a checkpoint with this node's cosignature.

        Raises:
            NoteInvalidError: It is not the newest checkpoint any more, or the key is not listed.
            RegistryUnreachableError: No answer.
        """

    async def show(self, checkpoint: bytes, holder: SealedStatement | None) -> bool:
        """Shows a checkpoint to a registry that has less, or asks for it.

        Args:
            holder: This agency's word that it shows it; None: it cannot seal now.

        Returns:
            Whether it wants directory and log back.

        Raises:
            NoteInvalidError: It says that it did not sign it.
            RegistryUnreachableError: No answer.
        """

    async def give_back(self, bundle: bytes, log: bytes, holder: SealedStatement | None) -> None:
        """Gives directory and log back, as they are kept.

        Args:
            holder: As for ``show``.

        Raises:
            EdocError: They were not taken, perhaps since another node gives them.
        """


class LogStore(Protocol):
    """Keeps the log on disk; fsynced when a method returns."""

    def kept_log(self) -> KeptLog | None:
        """The log of the last run; None: there is none.

        Raises:
            StorageDamagedError: It is damaged.
        """

    def keep_log(self, kept: KeptLog) -> None:
        """Replaces it."""

    def set_log_aside(self, log: DirectoryLog) -> None:
        """Keeps a log that was replaced, for whoever asks."""

    def keep_fork(self, fork: LogFork) -> None:
        """Keeps a proof."""

    def forks(self) -> Sequence[LogFork]:
        """The proofs kept; what proves nothing is left out."""


class WitnessStore(Protocol):
    """What a witness must never forget."""

    def witness_signer(self) -> NoteSigner | None:
        """Its key; None: this node is no witness.

        Raises:
            KeyUnusableError: It cannot be read.
        """

    def cosigned(self, key: VerifierKey) -> Cosigned:
        """What was cosigned last with a key.

        Raises:
            StorageDamagedError: It is not known: nothing may be cosigned.
        """

    def keep_cosigned(self, key: VerifierKey, cosigned: Cosigned) -> None:
        """Notes what is about to be cosigned; fsynced when it returns."""


@dataclass(frozen=True, slots=True)
class CarriedLog:
    """A log that was brought as a file; see ``LogSource``."""

    kept: KeptLog

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """What it has."""
        del digest
        leaves = self.kept.leaves[size * LEAF_BYTES :]
        return LogAnswer(self.kept.checkpoint, self.kept.witnessed, leaves)


def forked(fork: LogFork) -> str:
    """What a person must know of a proof."""
    return (
        f"The registry keeps two logs of its directories: of the checkpoints of {fork.sizes[0]} "
        f"and {fork.sizes[1]} versions none continues the other. Somebody has its keys, or shows "
        f"agencies different directories, or put a copy of its folder back without: edocregistry "
        f"restore. Export the proof with: edocnode directory evidence "
        f"--log --out FILE, and give it to the officers."
    )


def replaced(before: DirectoryLog, after: DirectoryLog) -> str:
    """What a person must know of a log that begins anew under another key."""
    return (
        f"The registry keeps another log under a new key: it has {after.size} versions and does "
        f"not continue the {before.size} that were here. That is so after a restore which lost the "
        f"newest versions. Ask the officers whether there was one; the old log is kept."
    )


def weaker(why: str) -> str:
    """What a person must know when fewer watch over the log."""
    return f"Fewer watch over the registry than before. {why} Ask the officers whether it was them."


def missing(why: str) -> str:
    """What a person must know when the log shows too little for too long."""
    return (
        f"{why} The exchange goes on. Ask the registry's officers, and another agency whether its "
        f"node says the same."
    )


def state_text(state: LogState | None) -> str:
    """One word for what the log is worth."""
    if state is None or not state.is_logged:
        return "missing"
    return "covered" if state.is_covered else "uncovered"
