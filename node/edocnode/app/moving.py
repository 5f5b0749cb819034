"""Moves a stopped node to another host: all of its folder in one stream, and the old folder closed.

The old folder is closed before the first byte leaves it, so that whatever breaks afterwards there
are never two that start. What comes is used only when all of it came, as it was; a copy that was
taken otherwise and is started beside the moved node is refused by its peers, as any second copy.
"""

import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

import msgspec

from edoccore.errors import DataFolderError
from edoccore.moving_errors import MoveFileError, NodeMovedError
from edoccore.signing.statements import time_text
from edockit.files import (
    LOCK_FILE_NAME,
    PRIVATE_FILE_MODE,
    PRIVATE_FOLDER_MODE,
    disk_errors,
    fsync_folder,
    lock_folder,
    write_file_atomic,
)
from edocnode.settings import first_settings
from edocnode.storage.folder import MOVED_FILE, DataFolder

MANIFEST = "move.json"
_LEFT_OUT = frozenset({LOCK_FILE_NAME, MOVED_FILE, "socket"})
_READ_BYTES = 1 << 20
_MAX_MANIFEST = 1 << 30


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was packed."""

    size: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that was packed; the last of the stream."""

    agency: str
    packed_at: str
    files: dict[str, _File]


class _Moved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a folder is closed."""

    moved_at: str
    actor: str


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; empty at the end."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed or unpacked."""

    agency: str
    files: int
    size_bytes: int


class _Hashing:
    """A file that is read once, and counted and hashed as it is."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._digest = sha256()
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._digest.update(data)
        self._size += len(data)
        return data

    @property
    def result(self) -> _File:
        """What was read."""
        return _File(self._size, self._digest.hexdigest())


def check_not_moved(folder: DataFolder) -> None:
    """Lets a node start.

    Raises:
        NodeMovedError: It was packed for another host.
    """
    path = folder.path / MOVED_FILE
    if path.exists():
        moved = msgspec.json.decode(path.read_bytes(), type=_Moved)
        raise NodeMovedError(
            f"The node in {folder.path} was packed for another host at {moved.moved_at} by "
            f"{moved.actor}, and runs there.",
            hint="If it never started there: edocnode move cancel --yes",
            path=str(folder.path),
        )


def pack(folder: DataFolder, target: BinaryIO, *, actor: str, now: datetime) -> Packed:
    """Closes a stopped node's folder and writes all of it; repeating it writes it again.

    Raises:
        FolderInUseError: The node runs.
        DataFolderError: There is no node, or a link leads out of it; the folder stays open.
        DiskFullError, StorageFailedError: The disk failed; the folder stays closed.
    """
    identity = folder.identity()
    with lock_folder(folder.path):
        _refuse_links(folder.path)
        moved = _Moved(time_text(now), actor)
        write_file_atomic(folder.path / MOVED_FILE, msgspec.json.encode(moved))
        files: dict[str, _File] = {}
        with disk_errors(folder.path), tarfile.open(fileobj=target, mode="w|") as archive:
            for path in _files_of(folder.path):
                name = path.relative_to(folder.path).as_posix()
                files[name] = _add(archive, path, name)
            manifest = _Manifest(identity.agency, time_text(now), files)
            _add_bytes(archive, MANIFEST, msgspec.json.encode(manifest))
    return Packed(identity.agency, len(files), sum(each.size for each in files.values()))


def reopen(folder: DataFolder) -> bool:
    """Lets a node that was packed run here again; False when it was not packed.

    Raises:
        DiskFullError, StorageFailedError: The disk failed.
    """
    folder.identity()
    with lock_folder(folder.path), disk_errors(folder.path):
        moved = folder.path / MOVED_FILE
        if not moved.exists():
            return False
        moved.unlink()
        fsync_folder(folder.path)
    return True


def unpack(source: Readable, path: Path, *, listen: str, advertise: str) -> Packed:
    """Makes the folder of a node from what ``pack`` wrote; it appears when all of it is there.

    Args:
        listen: host:port that it binds here; empty: as before. So ``advertise``.

    Raises:
        MoveFileError: Something is missing, altered or strange.
        DataFolderError: Something is in the place already.
        SettingsError: An address is none.
        DiskFullError, StorageFailedError: The disk failed; nothing is left behind.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataFolderError(
            f"{path} is not empty.", hint="Name a new folder: --data DIR", path=str(path)
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    with disk_errors(path):
        part.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True)
        try:
            manifest = _extract(source, part)
            settings = DataFolder(part).settings_file
            text = _with_addresses(settings.read_text(encoding="utf-8"), listen, advertise)
            write_file_atomic(settings, text.encode())
            _sync(part)
            if path.exists():
                path.rmdir()
            part.rename(path)
            fsync_folder(path.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    sizes = [each.size for each in manifest.files.values()]
    return Packed(manifest.agency, len(sizes), sum(sizes))


def _with_addresses(text: str, listen: str, advertise: str) -> str:
    """A settings file with other addresses; all else, comments too, stays as it is.

    Raises:
        SettingsError: An address is none.
    """
    first_settings(listen=listen or "0.0.0.0:1", advertise=advertise)
    given = {"listen": listen, "advertise": advertise}
    lines = text.splitlines()
    tables = next((at for at, line in enumerate(lines) if line.startswith("[")), len(lines))
    for key, value in given.items():
        if value:
            kept = [line for line in lines[:tables] if not _is(line, key)]
            lines = [*kept, f'{key} = "{value}"', *lines[tables:]]
            tables = len(kept) + 1
    return "\n".join(lines) + "\n"


def _is(line: str, key: str) -> bool:
    return line.partition("=")[0].strip() == key


def _files_of(root: Path) -> Iterator[Path]:
    """All files of a folder, in order, but for those of a running process."""
    for place, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if Path(place) == root and name in _LEFT_OUT:
                continue
            if path.is_file():
                yield path


def _refuse_links(root: Path) -> None:
    """What lies elsewhere would be left behind without a word, and with it documents."""
    for place, folders, names in os.walk(root):
        for name in sorted([*folders, *names]):
            path = Path(place, name)
            if path.is_symlink():
                raise DataFolderError(
                    f"{path} is a link, so what it leads to would not move.",
                    hint="Put in its place what it leads to, then pack again.",
                    path=str(path),
                )


def _add(archive: tarfile.TarFile, path: Path, name: str) -> _File:
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(file.fileno()).st_size
        member.mode = PRIVATE_FILE_MODE
        hashing = _Hashing(file)
        archive.addfile(member, hashing)
    return hashing.result


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), PRIVATE_FILE_MODE
    archive.addfile(member, io.BytesIO(data))


def _extract(source: Readable, root: Path) -> _Manifest:
    found: dict[str, _File] = {}
    manifest = None
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if manifest is not None or not member.isfile():
                    raise _invalid(f"{member.name[:80]!r} does not belong there")
                content = archive.extractfile(member)
                assert content is not None  # it is a file
                if member.name == MANIFEST and member.size <= _MAX_MANIFEST:
                    manifest = msgspec.json.decode(content.read(), type=_Manifest)
                else:
                    found[member.name] = _write(content, root, member.name)
    except (tarfile.TarError, msgspec.DecodeError, EOFError) as error:
        raise _invalid(f"it cannot be read: {error}") from error
    if manifest is None:
        raise _invalid("the last of it is missing")
    if manifest.files != found:
        names = manifest.files.keys() | found.keys()
        wrong = sorted(name for name in names if manifest.files.get(name) != found.get(name))
        raise _invalid(f"{wrong[0]!r} is not as it was packed")
    return manifest


def _write(content: Readable, root: Path, name: str) -> _File:
    pure = PurePosixPath(name)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\x00" in name:
        raise _invalid(f"{name[:80]!r} leads out of the folder")
    path = root.joinpath(*pure.parts)
    path.parent.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    hashing = _Hashing(content)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    with open(descriptor, "wb") as file:
        while data := hashing.read(_READ_BYTES):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashing.result


def _sync(root: Path) -> None:
    for place, _, _ in os.walk(root):
        fsync_folder(Path(place))


def _invalid(why: str) -> MoveFileError:
    return MoveFileError(
        f"The file is no whole node that was packed: {why}.",
        hint="Pack it again on the old host, which stays closed: edocnode move pack FILE",
    )
