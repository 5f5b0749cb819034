"""Role files of the directory, and the files in which a node keeps it.

A changed role file fails at its signature. So the signed part is signed again with the key that
signs it, and so are snapshot and timestamp, which name it: what a registry gone mad could publish.
"""

import json
from collections.abc import Iterator
from contextlib import suppress

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from edoccore.directory import bundle, layout, loading, roles
from edoccore.directory.collecting import collect
from edoccore.directory.floor import Floor
from edoccore.directory.packing import FileWanted, Unpacking, pack
from edoccore.directory.revocations import Revocations
from edoccore.directory.wrapping import wrap
from edoccore.errors import DirectoryInvalidError, EdocError
from edocnode.evidence.directory_extract import read_extract, role_files, role_members
from tests.fuzz.target import Target
from tests.fuzz.world import world

_FRESH = (layout.TIMESTAMP, layout.SNAPSHOT)


def role(data: bytes) -> None:
    """A role, a line feed, and what the role signs; loaded as a node and as evidence does."""
    name, _, signed = data.partition(b"\n")
    text = name.decode("ascii", "replace")
    if text not in {*layout.role_names(), *_FRESH, layout.ROOT}:
        text = layout.TARGETS
    files = _published(text, signed)
    anchor = world().directory.chain.anchor
    if text == layout.ROOT:
        files = {**world().directory.files, "2.root.json": _sign(signed, *_signers(text))}
    with suppress(EdocError):
        loaded = loading.load(files, anchor)
        for agency in ("H26", "H29"):
            loaded.endpoint(agency, world().exchange.made_at)
        bundle.encode_floor(loaded.floor())
        read_extract(role_files(loaded, ["H26"]), anchor, known=Revocations())
        role_members(role_files(loaded, ["H26"]))
    assert _collected(files, anchor) in {None, len(files)}


def raw_role(data: bytes) -> None:
    """Bytes in place of a role file that is read before anything of it was verified."""
    root = world().directory.chain.root
    readers = (
        lambda: roles.start_chain(data, roles._hash(data)),
        lambda: roles.extend_chain(world().directory.chain, data),
        lambda: roles.read_timestamp(data, root),
        lambda: role_members({"targets": data, layout.REVOCATIONS: data}),
    )
    for read in readers:
        with suppress(EdocError):
            read()


def answer(data: bytes) -> None:
    """Pieces of an answer: index, size (2 bytes), length (2 bytes), bytes."""
    unpacking = Unpacking([FileWanted("1.root.json", 3000), FileWanted("timestamp.json", 500)])
    rest = data
    while len(rest) >= 5:
        size, length = int.from_bytes(rest[1:3], "big"), int.from_bytes(rest[3:5], "big")
        unpacking.take(rest[0], size, rest[5 : 5 + length])
        rest = rest[5 + length :]
    files = unpacking.files()
    assert all(len(item or b"") <= limit for item, limit in zip(files, (3000, 500), strict=True))


def kept(data: bytes) -> None:
    """Bundle and floor on the node's own disk; the checksum is made to fit."""
    for kind in (bundle.BUNDLE, bundle._FLOOR):
        for written in (data, wrap(kind, data)):
            with suppress(EdocError):
                bundle.decode_bundle(written)
            with suppress(EdocError):
                floor = bundle.read_floor(written)
                assert bundle.read_floor(bundle.encode_floor(floor)) == floor


def _collected(files: dict[str, bytes], anchor: str) -> int | None:
    """Collects from a server that has ``files``; how many it took, None: it was refused."""
    steps = collect({}, anchor)
    try:
        question = next(steps)
        while True:
            found = [files.get(item.name) for item in question]
            question = steps.send(
                [
                    data if data is None or len(data) <= item.limit else None
                    for item, data in zip(question, found, strict=True)
                ]
            )
    except StopIteration as end:
        return len(end.value)
    except DirectoryInvalidError:
        return None


def _published(name: str, signed: bytes) -> dict[str, bytes]:
    """The world's files with another content of one role, named by snapshot and timestamp."""
    directory, nation = world().directory, world().exchange.nation
    files = dict(directory.files)
    if name == layout.ROOT:
        return files
    files[_file(name)] = _sign(signed, *_signers(name))
    if name == layout.TIMESTAMP:
        return files
    if name != layout.SNAPSHOT:
        snapshot = Metadata[Snapshot].from_bytes(files[_file(layout.SNAPSHOT)])
        meta = MetaFile.from_data(directory.versions[name], files[_file(name)], ["sha256"])
        snapshot.signed.meta[f"{name}.json"] = meta
        snapshot.sign(nation.freshness)
        files[_file(layout.SNAPSHOT)] = snapshot.to_bytes()
    stamp = Metadata[Timestamp].from_bytes(files["timestamp.json"])
    data = files[_file(layout.SNAPSHOT)]
    version = directory.versions[layout.SNAPSHOT]
    stamp.signed.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])
    stamp.sign(nation.freshness)
    files["timestamp.json"] = stamp.to_bytes()
    return files


def _file(name: str) -> str:
    return layout.file_name(name, world().directory.versions[name])


def _signers(name: str) -> list[CryptoSigner]:
    nation = world().exchange.nation
    if name == layout.ROOT:
        return nation.officers[:2]
    if name in _FRESH:
        return [nation.freshness]
    is_identity = name == layout.TARGETS or name.startswith(layout.IDENTITY)
    return [nation.identity if is_identity else nation.online]


def _sign(signed: bytes, *signers: CryptoSigner) -> bytes:
    """A role file around the signed part; a signature that cannot be made is left out."""
    signatures = []
    with suppress(Exception):  # whatever has no canonical form has no signature either
        data = encode_canonical(json.loads(signed)).encode()
        signatures = [signer.sign(data).to_dict() for signer in signers]
    return b'{"signatures":%s,"signed":%s}' % (json.dumps(signatures).encode(), signed)


def _role_seeds() -> Iterator[bytes]:
    directory = world().directory
    full = {layout.bin_of(role, code) for role in layout.BINNED_ROLES for code in ("H26", "H29")}
    for name in (*_FRESH, layout.TARGETS, layout.IDENTITY, layout.REVOCATIONS, *sorted(full)):
        data = directory.files[_file(name)]
        signed = json.loads(data)["signed"]
        if name == layout.SNAPSHOT:
            continue  # 28 kB: too long to be changed with any luck
        yield name.encode() + b"\n" + json.dumps(signed, separators=(",", ":")).encode()
    root = json.loads(directory.files["1.root.json"])["signed"]
    root["version"] = 2
    yield b"root\n" + json.dumps(root, separators=(",", ":")).encode()


def _raw_seeds() -> Iterator[bytes]:
    files = world().directory.files
    yield from (files["1.root.json"], files["timestamp.json"], files[_file(layout.REVOCATIONS)])


def _answer_seeds() -> Iterator[bytes]:
    first, second = pack(bytes(2000)), pack(b"{}")
    yield b"\0\7\xd0" + len(first).to_bytes(2, "big") + first + b"\1\0\2\0\x0a" + second
    yield b"\0\7\xd0\0\4" + first[:4] + b"\0\7\xd0\0\x40" + first[4:] + b"\1\0\0\0\0"


def _kept_seeds() -> Iterator[bytes]:
    files = {"1.root.json": b"{}", "timestamp.json": b"[]"}
    yield bundle.encode_bundle(files).split(b"\n", 2)[2]
    yield world().directory.floor().encode()[:300] + b"}"
    yield Floor(versions={"root": 1}, counters={"H26": 5}, registry=("r.vn:1",)).encode()
    nation = world().exchange.nation
    made = loading.load(nation.files, nation.anchor).floor()
    yield Floor(revoked=made.revoked, online_keys=made.online_keys).encode()


TARGETS = [
    Target(name="role", run=role, seeds=_role_seeds, max_bytes=8192, examples=30),
    Target(name="raw_role", run=raw_role, seeds=_raw_seeds, max_bytes=4096),
    Target(name="files_answer", run=answer, seeds=_answer_seeds),
    Target(name="kept_directory", run=kept, seeds=_kept_seeds),
]
