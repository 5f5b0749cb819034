"""Proof that the registry signed two directories of one version: both signed files, and the roots.

A claim proves nothing: neither a hash in somebody's statement, nor a file that was altered without
breaking its signature, such as by spaces. What counts is that two snapshots of one version, both
signed by keys that the root names for it, say different things. Anybody who has the fingerprint of
the network's root can check the file, without any node.

Source: proto/README.md, section Directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from msgspec import Struct

from edoccore.directory import layout, roles
from edoccore.directory.roles import RootChain
from edoccore.directory.wrapping import unwrap, wrap
from edoccore.directory_errors import ProofInvalidError
from edoccore.errors import DirectoryInvalidError, StorageDamagedError

KIND = b"edoc.directory-proof/v1"
MAX_PROOF_BYTES = layout.MAX_ROOT_ROTATIONS * layout.MAX_ROOT_BYTES + 2 * layout.MAX_SNAPSHOT_BYTES
MAX_SHOWN = 20  # roles in which two snapshots differ


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    roots: tuple[bytes, ...]
    snapshots: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Two signed snapshots of one version that differ; checked.

    Attributes:
        version: Of both.
        hashes: SHA-256 of the two files, the lower one first.
        roles: In which they differ, at most ``MAX_SHOWN``.
        anchor: SHA-256 of the root file from which they were checked.
        data: The proof as a file.
    """

    version: int
    hashes: tuple[str, str]
    roles: tuple[str, ...]
    anchor: str
    data: bytes


def prove(chain: RootChain, one: bytes, other: bytes) -> Equivocation:
    """Makes the proof out of two snapshot files.

    Args:
        chain: Root files in hand, from the trusted one on.

    Raises:
        ProofInvalidError: One is not signed, they are of two versions, or say the same.
    """
    first, second = sorted((one, other), key=lambda data: sha256(data).hexdigest())
    version, differing = _compare(chain, first, second)
    roots = tuple(data for _, data in sorted(chain.files.items()))
    data = wrap(KIND, msgspec.msgpack.encode(_File(roots=roots, snapshots=(first, second))))
    return Equivocation(
        version=version,
        hashes=(sha256(first).hexdigest(), sha256(second).hexdigest()),
        roles=differing,
        anchor=chain.anchor,
        data=data,
    )


def read_proof(data: bytes, anchor: str = "") -> Equivocation:
    """Checks a proof.

    Args:
        data: The file; nobody who carried it is believed.
        anchor: SHA-256 of the root file that is trusted, lower hex; empty: the first root of the
            file, and whoever reads the result compares its fingerprint.

    Raises:
        ProofInvalidError: It proves nothing; says why.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise _invalid(f"it has {len(data)} bytes, over the limit of {MAX_PROOF_BYTES}")
    try:
        found = msgspec.msgpack.decode(unwrap(KIND, data), type=_File)
    except (StorageDamagedError, msgspec.DecodeError, RecursionError) as error:
        raise _invalid("the file is damaged") from error
    try:
        chain = roles.chain_of(found.roots, anchor)
    except DirectoryInvalidError as error:
        raise _invalid(error.message) from error
    return prove(chain, *found.snapshots)


def _compare(chain: RootChain, one: bytes, other: bytes) -> tuple[int, tuple[str, ...]]:
    """Version of two snapshots, and the roles in which they differ."""
    first, second = (_signed(chain, data) for data in (one, other))
    if first.version != second.version:
        raise _invalid(f"its snapshots have the versions {first.version} and {second.version}")
    if first.content == second.content:
        raise _invalid("both snapshots say the same")
    names = sorted(first.meta.keys() | second.meta.keys())
    differing = [name for name in names if first.meta.get(name) != second.meta.get(name)]
    return first.version, tuple(name.removesuffix(".json") for name in differing[:MAX_SHOWN])


@dataclass(frozen=True, slots=True)
class _Snapshot:
    version: int
    content: bytes
    meta: Mapping[str, object]


def _signed(chain: RootChain, data: bytes) -> _Snapshot:
    try:
        opened = roles.open_snapshot(data, chain)
    except DirectoryInvalidError as error:
        raise _invalid(error.message) from error
    return _Snapshot(opened.signed.version, opened.signed_bytes, opened.signed.meta)


def _invalid(why: str) -> ProofInvalidError:
    return ProofInvalidError(f"The file proves nothing against the registry: {why}.")
