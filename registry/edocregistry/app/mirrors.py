"""Reads the directory that a node mirrored, from its files."""

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

from edoccore.directory import layout, loading
from edoccore.directory.bundle import MAX_BUNDLE_BYTES, decode_bundle
from edoccore.directory.view import Directory
from edoccore.errors import DataFolderError, DirectoryInvalidError
from edockit import files

BUNDLE_NAME = "bundle"  # in the folder ``directory`` of a node


def read_mirror(path: Path, roots: Collection[str]) -> Directory:
    """Reads and verifies a mirrored directory.

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
    numbered = {
        int(name.partition(".")[0]): data
        for name, data in found.items()
        if name.endswith(f".{layout.ROOT}.json")
    }
    digests = {sha256(data).hexdigest() for data in numbered.values()}
    if not digests.intersection(roots):
        raise DirectoryInvalidError(
            f"No root in {path} has the SHA-256 {', '.join(sorted(roots))}.",
            hint="A mirror begins with the root of its node's join string: take the fingerprint of "
            "a later root, or the mirror of a node that joined earlier.",
            path=str(path),
        )
    directory = loading.load(found, sha256(numbered[min(numbered)]).hexdigest())
    if directory.problems:
        raise DirectoryInvalidError(
            f"The directory in {path} has damaged entries: {directory.problems[0]}",
            hint="Take the mirror of another node.",
            path=str(path),
        )
    return directory


def _files(path: Path) -> dict[str, bytes]:
    for bundle in (path, path / BUNDLE_NAME, path / "directory" / BUNDLE_NAME):
        if bundle.is_file():
            with files.disk_errors(bundle), bundle.open("rb") as opened:
                return decode_bundle(opened.read(MAX_BUNDLE_BYTES + 1))
    published = {item.name: item.read_bytes() for item in path.glob("*.json")}
    if not published:
        raise DataFolderError(
            f"There is no mirrored directory in {path}.",
            hint="Copy the file directory/bundle from the data folder of any node.",
            path=str(path),
        )
    return published
