"""Which directory may replace which: never an older one, never a second one of the same version.

Pure comparison of two verified directories, or of one with a floor. Signatures were checked by
``loading``; age is judged by ``state``.

Source: TUF specification 1.0.33, 5.3.11 (recovery from a fast-forward attack), 5.4.3, 5.5.5.
"""

from dataclasses import replace

from edoccore.directory import layout
from edoccore.directory.equivocation import Equivocation, prove
from edoccore.directory.extension import read_extension
from edoccore.directory.floor import Floor
from edoccore.directory.view import Directory
from edoccore.directory_errors import ExtensionInvalidError
from edoccore.errors import DirectoryInvalidError


class TwoDirectoriesError(DirectoryInvalidError):
    """Two signed directories have the same version: the registry's keys were used twice.

    Attributes:
        proof: Both signed snapshots, with the roots that name their keys.
    """

    def __init__(self, proof: Equivocation) -> None:
        """Takes the proof."""
        super().__init__(
            f"Two different directories of version {proof.version} are signed by the registry: "
            f"{proof.hashes[0]} and {proof.hashes[1]}.",
            hint="The one in hand stays in force. Keep both and show them to the officers.",
            version=str(proof.version),
        )
        self.proof = proof


class OlderDirectoryError(DirectoryInvalidError):
    """A directory is older than the one in hand: of a registry a fault, of a peer mere lateness."""


def snapshot_bytes(directory: Directory) -> bytes:
    """Exact bytes of a directory's snapshot, whose hash is its mark."""
    return directory.files[layout.file_name(layout.SNAPSHOT, directory.mark.version)]


def may_replace(current: Directory, candidate: Directory) -> None:
    """Accepts a directory in place of the one in hand; the same one is accepted too.

    Args:
        current: In force.
        candidate: Verified from the same anchor, with the floor of ``current``.

    Raises:
        TwoDirectoriesError: Same version, other content.
        ProofInvalidError: Same version, other bytes of the same content.
        OlderDirectoryError: A role is older than in ``current``.
        DirectoryInvalidError: The roots differ.
    """
    _check_roots(current, candidate)
    if candidate.mark.version == current.mark.version and candidate.mark != current.mark:
        chain = max(current.chain, candidate.chain, key=lambda item: len(item.files))
        raise TwoDirectoriesError(prove(chain, *map(snapshot_bytes, (current, candidate))))
    check_floor(current.floor(), candidate)


def prolong(directory: Directory, data: bytes) -> Directory:
    """The same directory with an extension of the officers; when that ends, ``state`` judges.

    Args:
        data: The extension as a file.

    Raises:
        ExtensionInvalidError: It is not signed as the newest root demands, or was made for a
            newer directory or another one.
    """
    extension = read_extension(data, directory.chain.root, directory.network)
    if not extension.holds_for(directory.mark):
        named = extension.statement.directory
        raise ExtensionInvalidError(
            f"The extension is for directory version {named.version} ({named.hash}) and newer "
            f"ones; this node has version {directory.mark.version} ({directory.mark.hash}).",
            hint="First import the directory that the officers named, or wait for a peer that "
            "has it; then import the extension again.",
            version=str(named.version),
        )
    return replace(directory, extension=extension)


def carry_extension(current: Directory, candidate: Directory) -> Directory:
    """A newer directory with the extension in hand, unless its root no longer knows the signers."""
    if current.extension is None:
        return candidate
    try:
        return prolong(candidate, current.extension.data)
    except ExtensionInvalidError:
        return candidate


def check_floor(floor: Floor, candidate: Directory) -> None:
    """Accepts a directory that is not older than what was ever seen.

    When the keys of timestamp and snapshot were changed by the root, versions may start lower: an
    attacker who had the old keys may have raised them as high as numbers go.

    Raises:
        OlderDirectoryError: A role is older.
        DirectoryInvalidError: Another snapshot had this version.
    """
    root = candidate.versions[layout.ROOT]
    if root < floor.versions.get(layout.ROOT, 0):
        raise _older(layout.ROOT, root, floor.versions[layout.ROOT])
    if floor.online_keys != candidate.chain.online_keys():
        return
    for role, lowest in sorted(floor.versions.items()):
        found = candidate.versions.get(role, 0)
        if found < lowest:
            raise _older(role, found, lowest)
    same = candidate.mark.version == floor.versions.get(layout.SNAPSHOT)
    if same and candidate.mark.hash != floor.snapshot:
        raise DirectoryInvalidError(
            f"Another directory of version {candidate.mark.version} was seen before: "
            f"{floor.snapshot}, not {candidate.mark.hash}.",
            hint="Show this to the registry's officers.",
            version=str(candidate.mark.version),
        )


def _check_roots(current: Directory, candidate: Directory) -> None:
    for version, data in current.chain.files.items():
        other = candidate.chain.files.get(version)
        if other is None and version <= candidate.versions[layout.ROOT]:
            raise DirectoryInvalidError(
                f"The other directory does not start at the same root ({version}.root.json)."
            )
        if other is not None and other != data:
            raise DirectoryInvalidError(
                f"Two different files {version}.root.json are signed by the officers' keys.",
                hint="The directory in hand stays in force. Show both to the officers.",
                file=f"{version}.root.json",
            )


def _older(role: str, found: int, lowest: int) -> OlderDirectoryError:
    return OlderDirectoryError(
        f"The offered directory is older than the one in hand: role {role} has version {found}, "
        f"but {lowest} was seen before.",
        hint="The directory in hand stays in force. If this goes on, ask the registry whether it "
        "was restored from a backup.",
        role=role,
        found=str(found),
        lowest=str(lowest),
    )
