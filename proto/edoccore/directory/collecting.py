"""Which files of a directory are still missing: the steps of a refresh, without any network.

``collect`` is a generator: it yields the files it wants together and is sent the bytes of each, or
None when the server has none of that name. Roots, timestamp and snapshot are checked before
anything that they name is asked for, so a lying server is found out after a few kilobytes; the rest
is checked by ``loading``. Files whose hash is already in hand are not asked for again.

One way for all servers: the registry, a peer, a folder. A reader that lost the registry must
accept yesterday's timestamp from a peer, which clients of the ``tuf`` library refuse (they judge
expiry while fetching); here ``state`` judges it afterwards.
"""

from collections.abc import Generator, Mapping, Sequence
from hashlib import sha256

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, Snapshot

from edoccore.directory import layout, roles
from edoccore.directory.packing import FileWanted, batches
from edoccore.directory.roles import RootChain
from edoccore.errors import DirectoryInvalidError

Question = Sequence[FileWanted]
Answer = Sequence[bytes | None]
Steps = Generator[Question, Answer, dict[str, bytes]]


def collect(known: Mapping[str, bytes], anchor: str) -> Steps:
    """Collects the newest directory that a server has.

    Args:
        known: Files in hand by name as served; empty for a newcomer.
        anchor: SHA-256 of the root file that is trusted.

    Yields:
        Files it needs, as many as may be asked for at once; wants as many answers back, in the
        same order, None for each that the server does not have.

    Returns:
        All files of the directory by name, ready for ``loading.load``; equal to ``known`` when
        nothing is newer.

    Raises:
        DirectoryInvalidError: The server's files do not belong together, or are not signed.
    """
    chain = yield from _collect_roots(known, anchor)
    files = {layout.file_name(layout.ROOT, number): data for number, data in chain.files.items()}
    stamp = yield from _fetch("timestamp.json", layout.MAX_TIMESTAMP_BYTES)
    timestamp = roles.read_timestamp(stamp, chain.root)
    files["timestamp.json"] = stamp
    meta = timestamp.snapshot_meta
    name = layout.file_name(layout.SNAPSHOT, meta.version)
    files |= yield from _fetch_unless_known({name: meta}, known)
    snapshot = roles.read_snapshot(files[name], chain.root, timestamp)
    files |= yield from _fetch_unless_known(_named_by(snapshot), known)
    return files


def _named_by(snapshot: Snapshot) -> dict[str, MetaFile]:
    """The files that a snapshot names, by name as served."""
    named = {}
    for role in layout.role_names():
        if role != layout.SNAPSHOT:
            meta = roles.meta_of(snapshot, role)
            named[layout.file_name(role, meta.version)] = meta
    return named


def _collect_roots(
    known: Mapping[str, bytes], anchor: str
) -> Generator[Question, Answer, RootChain]:
    chain = roles.chain_in(known, anchor)
    if chain is None:
        chain = yield from _collect_anchor(anchor)
    for number in range(chain.root.version + 1, chain.root.version + layout.MAX_ROOT_ROTATIONS):
        data = yield from _ask(layout.file_name(layout.ROOT, number), layout.MAX_ROOT_BYTES)
        if data is None:
            return chain
        chain = roles.extend_chain(chain, data)
    raise roles.invalid(layout.ROOT, "there is no end of newer versions.")


def _collect_anchor(anchor: str) -> Generator[Question, Answer, RootChain]:
    # A registry that was made anew from a mirror may lack the first roots.
    names = [
        layout.file_name(layout.ROOT, number) for number in range(1, layout.MAX_ROOT_ROTATIONS)
    ]
    for question in batches([FileWanted(name, layout.MAX_ROOT_BYTES) for name in names]):
        answer = yield question
        for data in answer:
            if data is not None and sha256(data).hexdigest() == anchor:
                return roles.start_chain(data, anchor)
    raise DirectoryInvalidError(
        f"No root file offered has the SHA-256 {anchor}, so this is not the expected directory.",
        hint="Compare the fingerprint with the registry's officer, or ask for a new join string.",
        anchor=anchor,
    )


def _fetch_unless_known(
    named: Mapping[str, MetaFile], known: Mapping[str, bytes]
) -> Generator[Question, Answer, dict[str, bytes]]:
    found = {
        name: known[name]
        for name, meta in named.items()
        if name in known and _is_described_by(meta, known[name])
    }
    missing = [FileWanted(name, named[name].length or 0) for name in named if name not in found]
    for question in batches(missing):
        answer = yield question
        for wanted, data in zip(question, answer, strict=True):
            if data is None:
                raise roles.invalid(
                    wanted.name, "it is named by the snapshot, but the server does not have it."
                )
            found[wanted.name] = data
    return found


def _fetch(name: str, limit: int) -> Generator[Question, Answer, bytes]:
    data = yield from _ask(name, limit)
    if data is None:
        raise roles.invalid(name, "the server does not have it.")
    return data


def _ask(name: str, limit: int) -> Generator[Question, Answer, bytes | None]:
    (data,) = yield [FileWanted(name, limit)]
    return data


def _is_described_by(meta: MetaFile, data: bytes) -> bool:
    try:
        meta.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        return False
    return True
