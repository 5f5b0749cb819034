"""Evidence files: the zip from a stranger, and members of it under a manifest that fits."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from msgspec.structs import replace

from edoccore.errors import EvidenceInvalidError
from edoccore.signing import canonical
from edocnode.evidence.container import Container, open_container
from edocnode.evidence.manifest import MANIFEST, MANIFEST_SIGNATURE, Manifest, Member
from edocnode.evidence.verdict import VerdictKind
from edocnode.evidence.verify import verify
from tests.fuzz.target import Target
from tests.fuzz.world import NOW, world

_SOUND = (VerdictKind.VALID,)


def zip_file(data: bytes) -> None:
    """Any bytes as an evidence file: opened, each member read, judged; never an exception."""
    with _file_of(data) as path:
        verdict = verify(path, root=world().directory.chain.anchor, now=NOW)
        if verdict.kind in _SOUND:
            assert _content(data) == _content(_genuine())
        with open_container(path) as container:
            _read_all(container)


def member(data: bytes) -> None:
    """A member's name, a line feed and other bytes for it; the manifest is made to fit."""
    name, _, content = data.partition(b"\n")
    members = dict(_members())
    text = name.decode("ascii", "replace")
    if text in members:
        members[text] = content
    if text not in (MANIFEST, MANIFEST_SIGNATURE):
        members |= _manifest(members)
    elif text == MANIFEST:
        members[MANIFEST_SIGNATURE] = world().exchange.sender.signer.sign(content)
    with _file_of(_zip(members)) as path:
        verdict = verify(path, root=world().directory.chain.anchor, now=NOW)
    if verdict.kind in _SOUND:
        assert members == _members() or text in _FREE, text


# What may differ in evidence that is sound: the text for people, and the parts that the envelope's
# hashes bind, which were destroyed or not exported; a manifest is its maker's own.
_FREE = ("VERIFY.md", MANIFEST, MANIFEST_SIGNATURE)


def _read_all(container: Container) -> None:
    for name in container.names:
        with suppress(EvidenceInvalidError):
            container.digest(name)


def _manifest(members: dict[str, bytes]) -> dict[str, bytes]:
    listed = tuple(
        Member(name=name, size=len(data), sha256=sha256(data).hexdigest())
        for name, data in sorted(members.items())
        if name not in (MANIFEST, MANIFEST_SIGNATURE)
    )
    known = canonical.decode(_members()[MANIFEST], Manifest, limit=1 << 20)
    data = canonical.encode(replace(known, members=listed), limit=1 << 20)
    return {MANIFEST: data, MANIFEST_SIGNATURE: world().exchange.sender.signer.sign(data)}


@cache
def _genuine() -> bytes:
    return world().exchange.bundle(directory=world().directory)


@cache
def _members() -> dict[str, bytes]:
    return _content(_genuine())


def _content(data: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@contextmanager
def _file_of(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="edoc-fuzz-", suffix=".zip") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _zip_seeds() -> Iterator[bytes]:
    few = {"manifest.json": b"{}", "parts/01": b"part", "envelope/leaf": b"0\n"}
    yield _zip(few)
    small = {name: data for name, data in _members().items() if not name.startswith("roles/")}
    yield _zip({**small, "VERIFY.md": b""})[:60_000]


def _member_seeds() -> Iterator[bytes]:
    for name, data in _members().items():
        if len(data) < 6000:
            yield name.encode() + b"\n" + data


TARGETS = [
    Target(name="evidence_zip", run=zip_file, seeds=_zip_seeds, max_bytes=70_000, examples=50),
    Target(name="evidence_member", run=member, seeds=_member_seeds, max_bytes=8192, examples=50),
]
