"""The published files of the directory: written so that it is always whole, read by anyone's name.

Every file but ``timestamp.json`` has its version in its name and never changes. A publication
writes those first, fsyncs them and their folder, and replaces ``timestamp.json`` last by a rename:
a crash leaves the old directory or the new one. A new root is written just before that rename, so
that nodes which read between the two find an old timestamp for a moment only. Readers take no lock.
"""

import os
import re
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, Snapshot, Timestamp
from tuf.api.serialization import DeserializationError

from edoccore.directory import layout
from edoccore.errors import FileUnknownError, RequestInvalidError, StorageDamagedError
from edockit import files
from edocregistry.domain.publication import RoleFile

TIMESTAMP_FILE = "timestamp.json"
KEEP_SECONDS = 24 * 3600  # a file no longer named stays this long, for nodes in mid-download
_ROOT_FILE = f".{layout.ROOT}.json"
_NAME = re.compile(r"(timestamp|[1-9][0-9]{0,18}\.[a-z0-9-]{1,40})\.json")


class DirectoryFiles:
    """One folder of published files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[str, RoleFile] = {}  # by name; versioned files never change

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file as served.

        Raises:
            RequestInvalidError: No such name is possible.
            FileUnknownError: The file is not here.
        """
        if not _NAME.fullmatch(name):
            raise RequestInvalidError(
                f"{name[:100]!r} is not the name of a directory file.",
                hint="Names look like timestamp.json or 12.root.json.",
            )
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise FileUnknownError(f"The directory has no file {name}.", path=name) from None

    def mark(self) -> tuple[int, bytes]:
        """Version of the directory and SHA-256 of its snapshot file.

        Raises:
            FileUnknownError: Nothing was published yet.
            StorageDamagedError: The files do not belong together.
        """
        timestamp = self._timestamp()
        if timestamp is None:
            raise FileUnknownError("Nothing was published yet.", path=TIMESTAMP_FILE)
        snapshot = self._named(layout.SNAPSHOT, _snapshot_meta(timestamp))
        return snapshot.signed.version, sha256(snapshot.data).digest()

    def current(self) -> dict[str, RoleFile]:
        """Newest file of each role; empty before the first publication.

        Raises:
            StorageDamagedError: A file is missing or does not have the bytes it was published with.
        """
        timestamp = self._timestamp()
        if timestamp is None:
            return {}
        snapshot = self._named(layout.SNAPSHOT, _snapshot_meta(timestamp))
        found = {layout.TIMESTAMP: timestamp, layout.SNAPSHOT: snapshot}
        if not isinstance(snapshot.signed, Snapshot):
            raise _damaged(_file(layout.SNAPSHOT, snapshot), TypeError("it is another role"))
        for name, meta in snapshot.signed.meta.items():
            role = name.removesuffix(".json")
            found[role] = self._named(role, meta)
        self._parsed = {_file(role, item): item for role, item in found.items()}
        return found

    def bundle(self) -> dict[str, bytes]:
        """All files of the directory in force by name, all roots included."""
        found = {_file(role, item): item.data for role, item in self.current().items()}
        for version, data in self.roots().items():
            found[layout.file_name(layout.ROOT, version)] = data
        return found

    def roots(self) -> dict[int, bytes]:
        """All versions of the root."""
        paths = self._folder.glob(f"*.{layout.ROOT}.json")
        return {int(path.name.partition(".")[0]): path.read_bytes() for path in paths}

    def root(self) -> RoleFile:
        """The root in force.

        Raises:
            FileUnknownError: There is none yet.
        """
        roots = self.roots()
        if not roots:
            raise FileUnknownError("Nothing was published yet.", path=TIMESTAMP_FILE)
        return RoleFile.read(roots[max(roots)])

    def write_root(self, version: int, data: bytes) -> None:
        """Keeps one version of the root for ever.

        Raises:
            DiskFullError, StorageFailedError: It was not kept.
        """
        name = layout.file_name(layout.ROOT, version)
        files.write_file_atomic(self._folder / name, data)

    def publish(self, new: Mapping[str, bytes]) -> None:
        """Writes the files of a publication; ``timestamp.json`` makes them count and comes last.

        Raises:
            DiskFullError, StorageFailedError: The old directory is in force.
        """
        roots = {name: data for name, data in new.items() if name.endswith(_ROOT_FILE)}
        versioned = new.keys() - roots.keys() - {TIMESTAMP_FILE}
        for name in sorted(versioned):
            self._write(name, new[name])
        if versioned:
            files.fsync_folder(self._folder)
        for name, data in roots.items():
            files.write_file_atomic(self._folder / name, data)
        if TIMESTAMP_FILE in new:
            files.write_file_atomic(self._folder / TIMESTAMP_FILE, new[TIMESTAMP_FILE])
            self._remove_outdated()

    def _write(self, name: str, data: bytes) -> None:
        """Writes one versioned file and its bytes to the disk, not yet its name."""
        path = self._folder / name
        temporary = self._folder / f".{name}.tmp"  # one publication at a time
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with files.disk_errors(path):
            descriptor = os.open(temporary, flags, files.PRIVATE_FILE_MODE)
            try:
                files.write_all(descriptor, data)
                os.fsync(descriptor)
            except OSError:
                temporary.unlink()  # a full disk must not stay full because of it
                raise
            finally:
                os.close(descriptor)
            os.replace(temporary, path)

    def _remove_outdated(self) -> None:
        """Removes files that no directory of the last day names, and halves of a crash."""
        named = {_file(role, item) for role, item in self.current().items()}
        before = time.time() - KEEP_SECONDS
        for path in (*self._folder.glob("*.json"), *self._folder.glob(".*.tmp")):
            outdated = path.name not in named and not path.name.endswith(_ROOT_FILE)
            if outdated and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _timestamp(self) -> RoleFile | None:
        try:
            data = (self._folder / TIMESTAMP_FILE).read_bytes()
        except FileNotFoundError:
            return None
        return self._parse(TIMESTAMP_FILE, data)

    def _named(self, role: str, meta: MetaFile) -> RoleFile:
        name = layout.file_name(role, meta.version)
        known = self._parsed.get(name)
        if known is not None:
            return known
        try:
            data = (self._folder / name).read_bytes()
            meta.verify_length_and_hashes(data)
        except (FileNotFoundError, LengthOrHashMismatchError) as error:
            raise _damaged(name, error) from error
        return self._parse(name, data)

    def _parse(self, name: str, data: bytes) -> RoleFile:
        try:
            return RoleFile.read(data)
        except DeserializationError as error:
            raise _damaged(name, error) from error


def _snapshot_meta(timestamp: RoleFile) -> MetaFile:
    if not isinstance(timestamp.signed, Timestamp):
        raise _damaged(TIMESTAMP_FILE, TypeError("it is another role"))
    return timestamp.signed.snapshot_meta


def _file(role: str, item: RoleFile) -> str:
    return layout.file_name(role, item.signed.version)


def _damaged(name: str, error: Exception) -> StorageDamagedError:
    return StorageDamagedError(
        f"The published file {name} is missing or damaged: {error}.",
        hint="Restore the data folder from the last backup; versions are never used twice.",
        file=name,
    )
