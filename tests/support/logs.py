"""Logs of published directories for tests, signed as a registry does, honest or not."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edoccore.directory.layout import LogInfo, WitnessListing
from edoccore.directory.transparency import (
    LEAF_BYTES,
    LogAnswer,
    checkpoint_text,
    leaf_of,
    origin_of,
    root_at,
    witness_name,
)
from edoccore.signing.notes import Kind, Note, NoteSigner, read_note
from edoccore.signing.statements import DirectoryMark

NETWORK = "vn-test"
NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)


def mark(number: int, tag: str = "a") -> DirectoryMark:
    """A version that nobody published."""
    return DirectoryMark(version=1_700_000_000 + number, hash=f"{number:062x}".ljust(62) + tag * 2)


def log_signer() -> NoteSigner:
    """A new key of a log."""
    return NoteSigner(origin_of(NETWORK), Kind.NOTE, Ed25519PrivateKey.generate())


def witness_signer(agency: str) -> NoteSigner:
    """A new key of a witness."""
    name = witness_name(NETWORK, agency)
    return NoteSigner(name, Kind.COSIGNATURE, Ed25519PrivateKey.generate())


@dataclass
class MadeLog:
    """A log with its keys; also a source of one, as the registry or a peer is."""

    signer: NoteSigner = field(default_factory=log_signer)
    witnesses: dict[str, NoteSigner] = field(default_factory=dict)
    threshold: int = 0
    leaves: bytes = b""
    checkpoint: bytes = b""
    witnessed: bytes = b""
    asked: list[int] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)

    @property
    def info(self) -> LogInfo:
        """What the directory lists."""
        listed = (
            WitnessListing(agency=code, key=signer.key.text())
            for code, signer in sorted(self.witnesses.items())
        )
        return LogInfo(
            key=self.signer.key.text(), witnesses=tuple(listed), threshold=self.threshold
        )

    @property
    def size(self) -> int:
        """Versions."""
        return len(self.leaves) // LEAF_BYTES

    def add(self, *marks: DirectoryMark) -> "MadeLog":
        """Publishes versions and signs."""
        self.leaves += b"".join(map(leaf_of, marks))
        text = checkpoint_text(self.signer.key.name, self.size, root_at(self.leaves, self.size))
        self.checkpoint = Note(text, (self.signer.sign(text),)).encode()
        return self

    def cosign(self, agency: str, at: datetime = NOW) -> "MadeLog":
        """Has a witness cosign the newest checkpoint."""
        note = read_note(self.checkpoint)
        line = self.witnesses[agency].cosign(note.text, int(at.timestamp()))
        self.checkpoint = note.with_signature(line).encode()
        if len(read_note(self.checkpoint).signatures) - 1 >= max(self.threshold, 1):
            self.witnessed = self.checkpoint
        return self

    def copy(self) -> "MadeLog":
        """The same log under the same keys; both go on for themselves."""
        return replace(self, asked=[], taken=[])

    def answer(self, size: int = 0) -> LogAnswer:
        """What it has besides some leaves."""
        return LogAnswer(self.checkpoint, self.witnessed, self.leaves[size * LEAF_BYTES :])

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """See ``LogSource``."""
        del digest
        self.asked.append(size)
        return self.answer(size)

    async def cosign_taken(self, checkpoint: bytes) -> None:
        """Notes a cosignature that was handed in."""
        self.taken.append(checkpoint)
