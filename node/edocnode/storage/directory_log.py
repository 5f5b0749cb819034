"""The log of published directories on disk, proofs that there are two, what a witness cosigned."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edoccore.directory.bundle import MAX_LOG_BYTES, KeptLog, encode_log, keep_log, read_log
from edoccore.directory.log_fork import MAX_LOG_PROOF_BYTES, LogFork, read_log_fork
from edoccore.directory.transparency import (
    NOTHING_COSIGNED,
    Cosigned,
    DirectoryLog,
    Waiting,
    witness_name,
)
from edoccore.directory.wrapping import unwrap, wrap
from edoccore.directory_errors import ProofInvalidError
from edoccore.errors import KeyUnusableError, StorageDamagedError
from edoccore.signing.notes import Kind, NoteSigner, VerifierKey
from edoccore.signing.readers import packed_reader_of
from edockit import files
from edockit.certificates import key_pem, load_any_private_key
from edocnode.storage.directory_files import PROOFS, read_file
from edocnode.storage.folder import DataFolder, NodeIdentity

LOG_NAME = "log"
COSIGNED_NAME = "cosigned"
OLD_LOGS = "old-logs"
WITNESS = "witness"  # of the key file
_COSIGNED = b"edoc.log-cosigned/v1"
_LOG_PROOF = "log-"
_MAX_COSIGNED_BYTES = 4096

log = structlog.get_logger(__name__)


class _CosignedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    size: int
    root: bytes
    time: int


class DirectoryLogFiles:
    """The files of the log in the folder ``directory`` of a node's data."""

    def __init__(self, folder: Path, anchor: str) -> None:
        """Names the folder; it is made when something is kept.

        Args:
            folder: ``directory`` in the data folder.
            anchor: SHA-256 of the root file that this node trusts.
        """
        self._folder = folder
        self._anchor = anchor

    def kept_log(self) -> KeptLog | None:
        """The log of the last run; see ``LogStore``."""
        data = read_file(self._folder / LOG_NAME, MAX_LOG_BYTES)
        return None if data is None else read_log(data)

    def keep_log(self, kept: KeptLog) -> None:
        """Replaces the log; on disk when it returns."""
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / LOG_NAME, encode_log(kept))

    def set_log_aside(self, held: DirectoryLog) -> None:
        """Keeps a log that another one replaces."""
        data = encode_log(keep_log(held, Waiting()))
        self._write(OLD_LOGS, f"{held.size}-{sha256(data).hexdigest()[:8]}", data)

    def keep_fork(self, fork: LogFork) -> None:
        """Keeps the proof that there are two logs."""
        self._write(PROOFS, f"{_LOG_PROOF}{fork.sizes[1]}-{fork.roots[1][:8]}", fork.data)

    def forks(self) -> Sequence[LogFork]:
        """The proofs kept; what proves nothing is left out."""
        found = []
        for path in sorted((self._folder / PROOFS).glob(f"{_LOG_PROOF}*")):
            try:
                data = read_file(path, MAX_LOG_PROOF_BYTES) or b""
                found.append(read_log_fork(data, self._anchor))
            except (StorageDamagedError, ProofInvalidError) as error:
                log.warning("proof_not_used", path=str(path), cause=error.message)
        return found

    def _write(self, place: str, name: str, data: bytes) -> None:
        for path in (self._folder, self._folder / place):
            files.make_private_folder(path)
        files.write_file_atomic(self._folder / place / name, data)


class WitnessFiles:
    """A witness's key, and what it cosigned last."""

    def __init__(self, folder: DataFolder, identity: NodeIdentity) -> None:
        """Takes the data folder of a node."""
        self._data = folder
        self._name = witness_name(identity.network, identity.agency)

    def enable(self) -> NoteSigner:
        """Makes the key, and notes that nothing was cosigned with it; one that is there stays."""
        signer = self.witness_signer()
        return signer if signer is not None else self.make_key()

    def make_key(self) -> NoteSigner:
        """Makes a new key in the place of one that is there.

        The note comes first: a key of which nothing is noted cosigns nothing.

        Raises:
            KeyUnusableError: The passphrase of key files cannot be read.
            DiskFullError, StorageFailedError: The disk.
        """
        private_key = Ed25519PrivateKey.generate()
        signer = NoteSigner(self._name, Kind.COSIGNATURE, private_key)
        files.make_private_folder(self._data.directory)
        self.keep_cosigned(signer.key, NOTHING_COSIGNED)
        pem = key_pem(private_key, self._data.passphrase())
        files.write_file_atomic(self._data.key_file(WITNESS, "key"), pem)
        return signer

    def disable(self) -> None:
        """Removes the key; repeating it changes nothing."""
        self._data.key_file(WITNESS, "key").unlink(missing_ok=True)
        files.fsync_folder(self._data.keys)

    def witness_signer(self) -> NoteSigner | None:
        """The key; see ``WitnessStore``."""
        path = self._data.key_file(WITNESS, "key")
        if not path.exists():
            return None
        key = load_any_private_key(path, passphrase=self._data.key_places.passphrase)
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusableError(f"The key in {path} is not a witness's.", path=str(path))
        return NoteSigner(self._name, Kind.COSIGNATURE, key)

    def cosigned(self, key: VerifierKey) -> Cosigned:
        """What was cosigned last with a key; see ``WitnessStore``."""
        path = self._cosigned_file(key)
        data = read_file(path, _MAX_COSIGNED_BYTES)
        if data is None:
            raise _forgotten(path)
        try:
            found = packed_reader_of(_CosignedFile).decode(unwrap(_COSIGNED, data))
        except msgspec.DecodeError as error:
            raise _forgotten(path) from error
        if found.key != key.text():
            raise _forgotten(path)
        return Cosigned(found.size, found.root, found.time)

    def keep_cosigned(self, key: VerifierKey, cosigned: Cosigned) -> None:
        """Notes what is about to be cosigned; on disk when it returns."""
        file = _CosignedFile(
            key=key.text(), size=cosigned.size, root=cosigned.root, time=cosigned.time
        )
        data = wrap(_COSIGNED, msgspec.msgpack.encode(file))
        files.write_file_atomic(self._cosigned_file(key), data)

    def _cosigned_file(self, key: VerifierKey) -> Path:
        return self._data.directory / f"{COSIGNED_NAME}-{key.key_id.hex()}"


def _forgotten(path: Path) -> StorageDamagedError:
    return StorageDamagedError(
        f"What this witness cosigned last is not known: {path} is missing, damaged or of another "
        "key. Under this key it cosigns nothing any more.",
        hint="Make a new key and give it to the registry's officer: edocnode witness enable "
        "--new-key",
        path=str(path),
    )
