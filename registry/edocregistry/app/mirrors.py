"""Reads the directory and the log that a node mirrored, from its files."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from edoccore.directory import layout, loading
from edoccore.directory.bundle import (
    LOG_NAME,
    MAX_BUNDLE_BYTES,
    MAX_LOG_BYTES,
    decode_bundle,
    open_log,
    read_log,
)
from edoccore.directory.layout import LogInfo
from edoccore.directory.transparency import DirectoryLog, signed_checkpoint
from edoccore.directory.view import Directory
from edoccore.errors import DataFolderError, DirectoryInvalidError, StorageDamagedError
from edockit import files

BUNDLE_NAME = "bundle"  # in the folder ``directory`` of a node; the log lies beside it


@dataclass(frozen=True, slots=True)
class Mirror:
    """What a node mirrored; verified.

    Attributes:
        log: Signed by the key that the directory lists; None: the mirror has none.
    """

    directory: Directory
    log: DirectoryLog | None


def read_mirror(path: Path, roots: Collection[str]) -> Mirror:
    """Reads and verifies a mirrored directory, and the log that lies with it.

    Args:
        path: The bundle of a node, its folder ``directory``, its data folder, or a folder of
            published files.
        roots: SHA-256 of roots of the network, lower hex, from a source that is trusted; the
            mirror has one of them, or one that followed.

    Raises:
        DataFolderError: There is no directory.
        StorageDamagedError: The bundle is damaged.
        DirectoryInvalidError: It does not verify, or is of another network.
    """
    found = _files(path)
    return verify_mirror(found, roots, found.get(LOG_NAME, b""), source=str(path))


def verify_mirror(
    found: Mapping[str, bytes], roots: Collection[str], log: bytes, *, source: str
) -> Mirror:
    """Verifies what a mirror has.

    Args:
        found: Files by name.
        roots: As ``read_mirror``.
        log: As ``encode_log`` wrote it; empty: none.
        source: For people.

    Raises:
        DirectoryInvalidError: As ``read_mirror``.
    """
    numbered = {
        int(name.partition(".")[0]): data
        for name, data in found.items()
        if name.endswith(f".{layout.ROOT}.json")
    }
    digests = {sha256(data).hexdigest() for data in numbered.values()}
    if not digests.intersection(roots):
        raise DirectoryInvalidError(
            f"No root in {source} has the SHA-256 {', '.join(sorted(roots))}.",
            hint="A mirror begins with the root of its node's join string: take the fingerprint of "
            "a later root, or the mirror of a node that joined earlier.",
            path=source,
        )
    directory = loading.load(found, sha256(numbered[min(numbered)]).hexdigest())
    if directory.problems:
        raise DirectoryInvalidError(
            f"The directory in {source} has damaged entries: {directory.problems[0]}",
            hint="Take the mirror of another node.",
            path=source,
        )
    return Mirror(directory, _opened(log, directory) if log else None)


def _opened(data: bytes, directory: Directory) -> DirectoryLog | None:
    info = directory.info.log
    try:
        found = open_log(read_log(data))
        if not isinstance(info, LogInfo):
            return None
        signed_checkpoint(found.checkpoint, info)
    except (StorageDamagedError, DirectoryInvalidError):
        return None  # commands say so; everything else of the mirror is good
    return found


def _files(path: Path) -> dict[str, bytes]:
    for bundle in (path, path / BUNDLE_NAME, path / "directory" / BUNDLE_NAME):
        if bundle.is_file():
            found = decode_bundle(_read(bundle, MAX_BUNDLE_BYTES))
            beside = bundle.with_name(LOG_NAME)
            return found | ({LOG_NAME: _read(beside, MAX_LOG_BYTES)} if beside.is_file() else {})
    published = {item.name: item.read_bytes() for item in path.glob("*.json")}
    if not published:
        raise DataFolderError(
            f"There is no mirrored directory in {path}.",
            hint="Copy the file directory/bundle from the data folder of any node.",
            path=str(path),
        )
    return published


def _read(path: Path, limit: int) -> bytes:
    with files.disk_errors(path), path.open("rb") as opened:
        return opened.read(limit + 1)
