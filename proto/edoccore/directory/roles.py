"""Checks the role files of a directory one after the other, each by the ones before it.

Signatures, versions, lengths and hashes, by the primitives of the ``tuf`` library; every file is
bounded before it is parsed. Whether a role has expired is not asked here: a node that lost the
registry reads yesterday's files, and ``state`` judges them. What the targets mean is not asked
either; ``loading`` does that.

Source: TUF specification 1.0.33, section 5 (Detailed client workflow).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from edoccore.directory import layout
from edoccore.errors import DirectoryInvalidError

_Kind = TypeVar("_Kind", Root, Timestamp, Snapshot, Targets)
_Delegator = Root | Targets


@dataclass(frozen=True, slots=True)
class RootChain:
    """Root files from the anchor to the newest, each signed by the one before.

    Attributes:
        files: Exact bytes by version; the lowest is the anchor.
        root: The newest.
    """

    files: Mapping[int, bytes]
    root: Root

    @property
    def anchor(self) -> str:
        """SHA-256 of the first file; what the agency was told to trust."""
        return _hash(self.files[min(self.files)])

    def online_keys(self) -> frozenset[str]:
        """Key ids of timestamp and snapshot; when they change, lower versions may follow."""
        roles = (self.root.roles[layout.TIMESTAMP], self.root.roles[layout.SNAPSHOT])
        return frozenset(keyid for role in roles for keyid in role.keyids)


def invalid(name: str, why: object) -> DirectoryInvalidError:
    """The error for one file of the directory."""
    return DirectoryInvalidError(
        f"The directory's file {name} cannot be trusted: {why}",
        hint="The directory in hand stays in force. Tell the registry's officers.",
        file=name,
    )


def start_chain(data: bytes, anchor: str) -> RootChain:
    """Begins a chain with the root file that the anchor names.

    Args:
        data: A root file.
        anchor: SHA-256 of the trusted one, lower hex.

    Raises:
        DirectoryInvalidError: Another file, or one that does not sign itself.
    """
    if _hash(data) != anchor:
        raise invalid("root", f"its SHA-256 is not the expected {anchor}.")
    root = _open(layout.ROOT, data, Root, limit=layout.MAX_ROOT_BYTES)
    _verify(layout.ROOT, root, root.signed)
    return RootChain({root.signed.version: data}, _with_consistent_snapshots(root.signed))


def extend_chain(chain: RootChain, data: bytes) -> RootChain:
    """Adds the next root file.

    Raises:
        DirectoryInvalidError: It is not the next version, or not signed by both itself and the
            root before it.
    """
    new = _open(layout.ROOT, data, Root, limit=layout.MAX_ROOT_BYTES)
    expected = chain.root.version + 1
    if new.signed.version != expected:
        raise invalid(f"{expected}.root.json", f"it says version {new.signed.version}.")
    _verify(layout.ROOT, new, chain.root)
    _verify(layout.ROOT, new, new.signed)
    return RootChain({**chain.files, expected: data}, _with_consistent_snapshots(new.signed))


def chain_of(files: Sequence[bytes], anchor: str) -> RootChain:
    """Follows root files in their order, the first of them the trusted one.

    Args:
        anchor: SHA-256 of the trusted one; empty: whatever the first is.

    Raises:
        DirectoryInvalidError: There are none or too many, or one is not signed as it must be.
    """
    if not 1 <= len(files) <= layout.MAX_ROOT_ROTATIONS:
        raise invalid(layout.ROOT, f"{len(files)} files are none, or too many.")
    chain = start_chain(files[0], anchor or _hash(files[0]))
    for data in files[1:]:
        chain = extend_chain(chain, data)
    return chain


def chain_in(files: Mapping[str, bytes], anchor: str) -> RootChain | None:
    """Finds the anchor among files by name and follows it to the newest root there.

    Returns:
        None when the anchor is not among the files.

    Raises:
        DirectoryInvalidError: A root after the anchor is not signed as it must be.
    """
    roots = {name: data for name, data in files.items() if name.endswith(".root.json")}
    first = next((data for data in roots.values() if _hash(data) == anchor), None)
    if first is None:
        return None
    chain = start_chain(first, anchor)
    while data := roots.get(layout.file_name(layout.ROOT, chain.root.version + 1)):
        chain = extend_chain(chain, data)
    return chain


def read_timestamp(data: bytes, root: Root) -> Timestamp:
    """Reads ``timestamp.json``.

    Raises:
        DirectoryInvalidError: Not signed as the root demands, or without hash of the snapshot.
    """
    opened = _open(layout.TIMESTAMP, data, Timestamp, limit=layout.MAX_TIMESTAMP_BYTES)
    _verify(layout.TIMESTAMP, opened, root)
    meta = opened.signed.snapshot_meta
    if not meta.hashes or meta.length is None or meta.length > layout.MAX_SNAPSHOT_BYTES:
        raise invalid("timestamp.json", "it does not fix hash and length of the snapshot.")
    return opened.signed


def read_snapshot(data: bytes, root: Root, timestamp: Timestamp) -> Snapshot:
    """Reads the snapshot that a timestamp names.

    Raises:
        DirectoryInvalidError: Another file, not signed as the root demands, or a role is missing
            in it or stands there without hash and length.
    """
    meta = timestamp.snapshot_meta
    _check_bytes(layout.SNAPSHOT, data, meta)
    opened = _open(layout.SNAPSHOT, data, Snapshot, limit=layout.MAX_SNAPSHOT_BYTES)
    _verify(layout.SNAPSHOT, opened, root)
    _check_version(layout.SNAPSHOT, opened.signed.version, meta.version)
    for role in layout.role_names():
        if role != layout.SNAPSHOT:
            meta_of(opened.signed, role)
    return opened.signed


def open_snapshot(data: bytes, chain: RootChain) -> Metadata[Snapshot]:
    """Reads a snapshot that no timestamp vouches for: it proves what was signed, nothing more.

    Args:
        chain: The keys of any of its roots count; they may have been changed since.

    Raises:
        DirectoryInvalidError: It is no snapshot, or none of the roots names who signed it.
    """
    limit = layout.MAX_SNAPSHOT_BYTES
    return _open_alone(layout.SNAPSHOT, data, Snapshot, chain=chain, limit=limit)


def open_targets(data: bytes, chain: RootChain) -> Metadata[Targets]:
    """Reads a file of the role ``targets`` that no snapshot vouches for; as ``open_snapshot``."""
    return _open_alone(layout.TARGETS, data, Targets, chain=chain, limit=layout.MAX_ROLE_BYTES)


def _open_alone(
    role: str, data: bytes, kind: type[_Kind], *, chain: RootChain, limit: int
) -> Metadata[_Kind]:
    opened = _open(role, data, kind, limit=limit)
    refused = invalid(role, "no root names its signer.")
    for root_data in chain.files.values():
        root = _open(layout.ROOT, root_data, Root, limit=layout.MAX_ROOT_BYTES).signed
        try:
            _verify(role, opened, root)
        except DirectoryInvalidError as error:
            refused = error
        else:
            return opened
    raise refused


def meta_of(snapshot: Snapshot, role: str) -> MetaFile:
    """What a snapshot says of a role.

    Raises:
        DirectoryInvalidError: Nothing, or not its hash and a bounded length.
    """
    meta = snapshot.meta.get(f"{role}.json")
    if meta is None or not meta.hashes or meta.length is None:
        raise invalid(layout.SNAPSHOT, f"it does not fix hash and length of role {role}.")
    if meta.length > layout.MAX_ROLE_BYTES:
        raise invalid(layout.SNAPSHOT, f"role {role} has {meta.length} bytes, over the limit.")
    return meta


def read_role(role: str, data: bytes, *, delegator: _Delegator, snapshot: Snapshot) -> Targets:
    """Reads ``targets`` or a role below it.

    Raises:
        DirectoryInvalidError: Not the file that the snapshot names, or not signed as its delegator
            demands.
    """
    meta = check_named(role, data, snapshot)
    opened = _open(role, data, Targets, limit=layout.MAX_ROLE_BYTES)
    _verify(role, opened, delegator)
    _check_version(role, opened.signed.version, meta.version)
    return opened.signed


def check_named(role: str, data: bytes, snapshot: Snapshot) -> MetaFile:
    """Accepts a role file as the one that a snapshot names, by size and hash alone.

    Returns:
        What the snapshot says of it.

    Raises:
        DirectoryInvalidError: It is another one.
    """
    meta = meta_of(snapshot, role)
    _check_bytes(role, data, meta)
    return meta


def bins_of(role: str, targets: Targets) -> SuccinctRoles:
    """The bins that ``identity`` or ``endpoints`` delegates to.

    Raises:
        DirectoryInvalidError: It delegates in another way.
    """
    bins = targets.delegations.succinct_roles if targets.delegations else None
    if bins is None or bins.bit_length != layout.BIN_BITS[role] or bins.name_prefix != role:
        raise invalid(role, f"it does not delegate to {1 << layout.BIN_BITS[role]} hash bins.")
    return bins


def targets_of(role: str, data: Targets, bins: SuccinctRoles, *, name: str) -> list[TargetFile]:
    """The targets of bin ``name`` of ``role``: all under the role's path and in their own bin.

    Raises:
        DirectoryInvalidError: A target lies where no reader of TUF would look for it.
    """
    for path in data.targets:
        if not path.startswith(f"{role}/") or bins.get_role_for_target(path) != name:
            raise invalid(name, f"the target {path} does not belong there.")
    return list(data.targets.values())


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _open(role: str, data: bytes, kind: type[_Kind], *, limit: int) -> Metadata[_Kind]:
    if len(data) > limit:
        raise invalid(role, f"{len(data)} bytes are over the limit of {limit}.")
    try:
        opened = Metadata[_Kind].from_bytes(data)
    except DeserializationError as error:
        raise invalid(role, "it is not a TUF role file.") from error
    if not isinstance(opened.signed, kind):
        raise invalid(role, f"it is a file of role {opened.signed.type}.")
    return opened


def _verify(role: str, opened: Metadata[_Kind], delegator: _Delegator) -> None:
    try:
        delegator.verify_delegate(role, opened.signed_bytes, opened.signatures)
    except (RepositoryError, ValueError) as error:
        raise invalid(role, f"{error}.") from error


def _check_bytes(role: str, data: bytes, meta: MetaFile) -> None:
    try:
        meta.verify_length_and_hashes(data)
    except RepositoryError as error:
        raise invalid(role, f"{error}.") from error


def _check_version(role: str, found: int, expected: int) -> None:
    if found != expected:
        raise invalid(role, f"it is version {found}, not {expected}.")


def _with_consistent_snapshots(root: Root) -> Root:
    if not root.consistent_snapshot:
        raise invalid(layout.ROOT, "it does not ask for consistent snapshots.")
    return root
