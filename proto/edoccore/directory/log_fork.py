"""Proof that the registry keeps two logs: two checkpoints under one key, of which none goes on.

The leaves of the longer one are in the file: they lead to the root that it signed, and their
beginning does not lead to the root of the other. Whoever has the fingerprint of the network's root
checks it, without any node. The key is one that a signed ``targets`` lists; under two keys nothing
is proven, since a registry that lost its log begins anew with another key.

Source: proto/README.md, section Log.
"""

from dataclasses import dataclass

import msgspec
from msgspec import Struct

from edoccore.directory import layout, roles
from edoccore.directory.layout import LogInfo, NetworkInfo
from edoccore.directory.roles import RootChain
from edoccore.directory.transparency import (
    LEAF_BYTES,
    MAX_LEAVES,
    Checkpoint,
    root_at,
    signed_checkpoint,
)
from edoccore.directory.wrapping import unwrap, wrap
from edoccore.directory_errors import ProofInvalidError
from edoccore.errors import DirectoryInvalidError, StorageDamagedError
from edoccore.signing.notes import MAX_NOTE_BYTES

KIND = b"edoc.log-proof/v1"
MAX_LOG_PROOF_BYTES = (
    layout.MAX_ROOT_ROTATIONS * layout.MAX_ROOT_BYTES
    + layout.MAX_ROLE_BYTES
    + 2 * MAX_NOTE_BYTES
    + LEAF_BYTES * MAX_LEAVES
)


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    roots: tuple[bytes, ...]
    targets: bytes
    checkpoints: tuple[bytes, bytes]
    leaves: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFork:
    """Two checkpoints of which none continues the other; checked.

    Attributes:
        log: Name of the log.
        key: Verifier key of the log, which signed both.
        sizes: Of the two, the smaller first.
        roots: Hex, in the same order.
        anchor: SHA-256 of the root file from which they were checked.
        data: The proof as a file.
    """

    log: str
    key: str
    sizes: tuple[int, int]
    roots: tuple[str, str]
    anchor: str
    data: bytes


def prove_log_fork(
    chain: RootChain, targets: bytes, checkpoints: tuple[bytes, bytes], leaves: bytes
) -> LogFork:
    """Makes the proof.

    Args:
        chain: Root files in hand, from the trusted one on.
        targets: A file of the role that lists the log's key.
        checkpoints: Two signed notes.
        leaves: All leaves of the larger.

    Raises:
        ProofInvalidError: One is not signed, or the larger continues the smaller.
    """
    info = _log_in(chain, targets)
    try:
        found = [(signed_checkpoint(data, info), data) for data in checkpoints]
        found.sort(key=lambda item: (item[0].size, item[0].root))
        (first, one), (second, other) = found
        _require_apart(first, second, leaves)
    except DirectoryInvalidError as error:
        raise _invalid(error.message) from error
    roots = tuple(data for _, data in sorted(chain.files.items()))
    needed = b"" if first.size == second.size else leaves
    file = _File(roots=roots, targets=targets, checkpoints=(one, other), leaves=needed)
    return LogFork(
        log=first.origin,
        key=info.key,
        sizes=(first.size, second.size),
        roots=(first.root.hex(), second.root.hex()),
        anchor=chain.anchor,
        data=wrap(KIND, msgspec.msgpack.encode(file)),
    )


def read_log_fork(data: bytes, anchor: str = "") -> LogFork:
    """Checks a proof.

    Args:
        data: The file; nobody who carried it is believed.
        anchor: SHA-256 of the root file that is trusted, lower hex; empty: the first root of the
            file, and whoever reads the result compares its fingerprint.

    Raises:
        ProofInvalidError: It proves nothing; says why.
    """
    if len(data) > MAX_LOG_PROOF_BYTES:
        raise _invalid(f"a proof of two logs has at most {MAX_LOG_PROOF_BYTES} bytes")
    try:
        found = msgspec.msgpack.decode(unwrap(KIND, data), type=_File)
    except (StorageDamagedError, msgspec.DecodeError, RecursionError) as error:
        raise _invalid("the file is damaged") from error
    try:
        chain = roles.chain_of(found.roots, anchor)
    except DirectoryInvalidError as error:
        raise _invalid(error.message) from error
    return prove_log_fork(chain, found.targets, found.checkpoints, found.leaves)


def _log_in(chain: RootChain, data: bytes) -> LogInfo:
    try:
        top = roles.open_targets(data, chain).signed.targets
        info = layout.read_target(top[layout.NETWORK_PATH], NetworkInfo).log
    except (DirectoryInvalidError, KeyError) as error:
        raise _invalid("its targets list no log") from error
    if not isinstance(info, LogInfo):
        raise _invalid("its targets list no log")
    return info


def _require_apart(first: Checkpoint, second: Checkpoint, leaves: bytes) -> None:
    if first.size == second.size:
        if first.root == second.root:
            raise _invalid("both checkpoints say the same")
        return
    if len(leaves) != second.size * LEAF_BYTES or root_at(leaves, second.size) != second.root:
        raise _invalid("its leaves are not those of the larger checkpoint")
    if root_at(leaves, first.size) == first.root:
        raise _invalid("the larger checkpoint continues the smaller one")


def _invalid(why: str) -> ProofInvalidError:
    return ProofInvalidError(f"The file proves nothing against the registry: {why}.")
