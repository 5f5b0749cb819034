"""The verified directory on disk: one bundle, beside it the floor and what checking has shown.

An extension of the officers lies there too, as it was brought.

They lie outside the database, so that restoring yesterday's database takes nobody back to
yesterday's keys. The bundle is written first: after a crash between the two it is ahead of the
floor, never below it. The memory of what was checked only saves time: without it, or with one of
other files or of other software, all is checked again.
"""

import contextlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import structlog

from edoccore.directory.bundle import (
    MAX_BUNDLE_BYTES,
    decode_bundle,
    encode_bundle,
    encode_floor,
    encode_memory,
    read_floor,
    read_memory,
)
from edoccore.directory.equivocation import MAX_PROOF_BYTES, Equivocation, read_proof
from edoccore.directory.extension import MAX_EXTENSION_BYTES
from edoccore.directory.floor import MAX_FLOOR_BYTES, NO_FLOOR, Floor
from edoccore.directory.layout import MAX_SNAPSHOT_BYTES
from edoccore.directory.loading import load
from edoccore.directory.memory import Memory
from edoccore.directory.trust import check_floor, prolong
from edoccore.directory.view import Directory
from edoccore.directory_errors import ProofInvalidError
from edoccore.errors import DataFolderError, DirectoryInvalidError, StorageDamagedError
from edockit import files
from edocnode.domain.directory import KEPT_SNAPSHOTS
from edocnode.domain.own_entry import OwnEntry, decode_own, encode_own

BUNDLE_NAME = "bundle"
FLOOR_NAME = "floor"
MEMORY_NAME = "checked"
EXTENSION_NAME = "extension"
OWN_NAME = "own"
MAX_OWN_BYTES = 1024 * 1024
PROOFS = "proofs"
SNAPSHOTS = "snapshots"

log = structlog.get_logger(__name__)


class DirectoryFiles:
    """The folder ``directory`` of a node's data; one process at a time uses it."""

    def __init__(self, folder: Path, anchor: str) -> None:
        """Names the folder; it is made when something is saved.

        Args:
            folder: ``directory`` in the data folder.
            anchor: SHA-256 of the root file that this node trusts.
        """
        self._folder = folder
        self._anchor = anchor
        self._remembered = ""  # hash of the snapshot that the memory on disk is of

    def load(self) -> Directory:
        """Loads and verifies the directory of the last run; needs no network.

        Raises:
            DataFolderError: There is none.
            StorageDamagedError: A file is damaged.
            DirectoryInvalidError: The bundle does not verify, or is older than what was seen.
        """
        path = self._folder / BUNDLE_NAME
        data = read_file(path, MAX_BUNDLE_BYTES)
        if data is None:
            raise DataFolderError(
                f"There is no directory in {path}.",
                hint="Reach the registry and run: edocnode serve; it fetches the directory again. "
                "A node that never joined needs a join string: edocnode init.",
                path=str(path),
            )
        floor, memory = self.floor(), self._memory()
        try:
            directory = load(decode_bundle(data), self._anchor, floor, memory)
            check_floor(floor, directory)
        except StorageDamagedError as error:
            raise _damaged(path) from error
        except DirectoryInvalidError as error:
            raise DirectoryInvalidError(
                f"The directory in {path} is not used. {error.message}",
                hint="Reach the registry and run: edocnode serve; it fetches the directory again.",
                path=str(path),
            ) from error
        if memory is not None and memory.is_of(directory.mark.hash):
            self._remembered = directory.mark.hash
        return self._prolonged(directory)

    def floor(self) -> Floor:
        """What this node must never fall below; nothing for a newcomer.

        Raises:
            StorageDamagedError: The file is damaged.
        """
        path = self._folder / FLOOR_NAME
        data = read_file(path, MAX_FLOOR_BYTES)
        if data is None:
            return NO_FLOOR
        try:
            return read_floor(data)
        except (StorageDamagedError, DirectoryInvalidError) as error:
            raise _damaged(path) from error

    def save(self, directory: Directory) -> None:
        """Makes a directory the one that ``load`` finds; on disk when it returns.

        Raises:
            DiskFullError: No room; the old directory stays.
            StorageFailedError: The disk failed.
        """
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / BUNDLE_NAME, encode_bundle(directory.files))
        files.write_file_atomic(self._folder / FLOOR_NAME, encode_floor(directory.floor()))
        if self._remembered != directory.mark.hash:  # a new timestamp alone tells nothing new
            memory = encode_memory(directory, _software())
            files.write_file_atomic(self._folder / MEMORY_NAME, memory)
            self._remembered = directory.mark.hash

    def keep_extension(self, data: bytes) -> None:
        """Keeps an extension that holds for the directory in force; on disk when it returns.

        Raises:
            DiskFullError, StorageFailedError: As ``save``.
        """
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / EXTENSION_NAME, data)

    def own_entry(self) -> OwnEntry:
        """What is known to be this node's own; nothing before the first look.

        Raises:
            StorageDamagedError: The file is damaged.
        """
        path = self._folder / OWN_NAME
        data = read_file(path, MAX_OWN_BYTES)
        return OwnEntry() if data is None else decode_own(data)

    def keep_own_entry(self, own: OwnEntry) -> None:
        """Keeps what is this node's own.

        Raises:
            DiskFullError, StorageFailedError: As ``save``.
        """
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / OWN_NAME, encode_own(own))

    def _prolonged(self, directory: Directory) -> Directory:
        """With the extension on disk; one that no longer holds for it is left where it is."""
        path = self._folder / EXTENSION_NAME
        try:
            data = read_file(path, MAX_EXTENSION_BYTES)
            return directory if data is None else prolong(directory, data)
        except (StorageDamagedError, DirectoryInvalidError) as error:
            log.warning("extension_not_used", path=str(path), cause=error.message)
            return directory

    def _memory(self) -> Memory | None:
        path = self._folder / MEMORY_NAME
        try:
            data = read_file(path, MAX_BUNDLE_BYTES)
            return read_memory(data, _software()) if data is not None else None
        except StorageDamagedError as error:
            log.warning("directory_memory_damaged", path=str(path), cause=error.message)
            return None

    def keep_proof(self, proof: Equivocation) -> None:
        """Keeps the proof that the registry signed two directories of one version.

        Raises:
            DiskFullError, StorageFailedError: As ``save``.
        """
        folder = self._folder / PROOFS
        for path in (self._folder, folder):
            files.make_private_folder(path)
        files.write_file_atomic(folder / f"{proof.version}-{proof.hashes[1][:8]}", proof.data)

    def proofs(self) -> Sequence[Equivocation]:
        """The proofs kept, by version; what proves nothing is left out."""
        found = []
        for path in sorted((self._folder / PROOFS).glob("[0-9]*")):
            try:
                found.append(read_proof(read_file(path, MAX_PROOF_BYTES) or b"", self._anchor))
            except (StorageDamagedError, ProofInvalidError) as error:
                log.warning("proof_not_used", path=str(path), cause=error.message)
        return found

    def keep_snapshot(self, version: int, data: bytes) -> None:
        """Keeps a snapshot that was in force; the oldest goes when there are too many.

        Raises:
            DiskFullError, StorageFailedError: As ``save``.
        """
        folder = self._folder / SNAPSHOTS
        for path in (self._folder, folder):
            files.make_private_folder(path)
        files.write_file_atomic(folder / str(version), data)
        for old in self._snapshot_versions()[:-KEPT_SNAPSHOTS]:
            (folder / str(old)).unlink(missing_ok=True)

    def snapshots(self) -> Mapping[int, bytes]:
        """The snapshots kept, by version."""
        folder = self._folder / SNAPSHOTS
        found = {}
        for number in self._snapshot_versions():
            with contextlib.suppress(StorageDamagedError):  # too long: none of ours
                found[number] = read_file(folder / str(number), MAX_SNAPSHOT_BYTES) or b""
        return found

    def _snapshot_versions(self) -> list[int]:
        names = [path.name for path in (self._folder / SNAPSHOTS).glob("[0-9]*")]
        return sorted(int(name) for name in names if name.isdecimal())


def _software() -> str:
    return f"edocnode {version('edocnode')}"


def read_file(path: Path, limit: int) -> bytes | None:
    """Reads a small file whole; None: there is none.

    Raises:
        StorageDamagedError: It has more bytes than it can have.
        StorageFailedError: The disk failed.
    """
    if not path.exists():
        return None
    with files.disk_errors(path), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _damaged(path)
    return data


def _damaged(path: Path) -> StorageDamagedError:
    return StorageDamagedError(
        f"The file {path} is damaged.",
        hint="Reach the registry and run: edocnode serve, which fetches the directory again; a "
        f"damaged {FLOOR_NAME} must come from a backup.",
        path=str(path),
    )
