"""Joins what scans for malware: settings, daemon, proof that it finds what it must, the loop."""

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from edoccore.directory.view import Directory
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing.encryption import CHUNK_BYTES
from edockit.blob_reader import BlobReader, damaged
from edockit.blobs import BlobFolder
from edockit.clamd import (
    MAX_CHUNK_BYTES,
    Clamd,
    ReplyKind,
    ScanBrokenError,
    ScannerAwayError,
    ScanReply,
)
from edockit.language import marked
from edocnode.app.parts import SealingParts
from edocnode.domain.encryption import DecryptingReader, EncryptionKeys, read_from
from edocnode.domain.model import INLINE_PART_BYTES
from edocnode.domain.repair import Suspects
from edocnode.domain.scanning import Cause, Finding, ScanPart, judge_finding
from edocnode.domain.setting_aside import SOON
from edocnode.rpc.quarantine import QuarantineParts
from edocnode.settings import NodeSettings
from edocnode.workers.scanning import (
    AwayError,
    BrokenError,
    QuarantineWatch,
    ScanLoop,
    Telling,
    show_what_waits,
)
from edocnode.workers.setting_aside import SettingAside

TRUSTED_FOR = timedelta(minutes=10)  # then it is proven again: signatures may be gone meanwhile
MIB = 1 << 20
_NESTED = 40  # archives in archives; clamd looks 17 deep by default (MaxRecursion)
_TOO_LONG = "INSTREAM size limit exceeded."
_ENCRYPTED_BIT = 0x1


@dataclass(slots=True)
class ClamdScanner:
    """Parts of documents, scanned by clamd; see ``workers.scanning.Scanner``.

    Attributes:
        open_part: Opens a large part, by its digest.
        encryption: Decrypts parts for their scan.
        largest_bytes: Of a part that is still scanned.
    """

    clamd: Clamd
    open_part: Callable[[str], BlobReader]
    encryption: EncryptionKeys
    largest_bytes: int
    _version: str = field(default="", init=False)
    _until: float = field(default=0.0, init=False)
    _proving: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def trusted(self) -> str:
        """The version of clamd and its signatures, after proof that it finds what it must.

        Raises:
            AwayError: It is not there, or finds too little.
        """
        async with self._proving:
            now = asyncio.get_running_loop().time()
            if not self._version or now >= self._until:
                self._version = ""
                self._version = await prove(self.clamd)
                self._until = now + TRUSTED_FOR.total_seconds()
            return self._version

    async def alive(self) -> bool:
        """Whether it answers at all."""
        try:
            return await self.clamd.ask("PING") == "PONG"
        except ScannerAwayError:
            return False

    async def scan(self, part: ScanPart) -> Finding | None:
        """What is wrong with a part; None: it is clean.

        Raises:
            AwayError, BrokenError, StorageDamagedError: As ``workers.scanning.Scanner``.
        """
        if part.size > self.largest_bytes:
            detail = f"{-(-part.size // MIB)} MiB of at most {self.largest_bytes // MIB} MiB"
            return _finding(part, Cause.TOO_LARGE, detail)
        try:
            reply = await self.clamd.scan(self._pieces(part))
        except ScannerAwayError as error:
            self._version = ""
            raise AwayError(str(error)) from error
        except ScanBrokenError as error:
            self._version = ""
            raise BrokenError(str(error)) from error
        except PartNotDecryptedError:
            return _finding(part, Cause.NOT_DECRYPTED, "")
        return _judged(part, reply)

    async def _pieces(self, part: ScanPart) -> AsyncGenerator[bytes, None]:
        """The content of a part; the last only when all is what was sealed."""
        if part.size <= INLINE_PART_BYTES:
            if sha256(part.data).hexdigest() != part.sha256:
                raise damaged(part.sha256, "has other bytes than were stored")
            read = self._content(part, read_from(part.data))
            while piece := read(MAX_CHUNK_BYTES):
                yield piece
            return
        reader = await asyncio.to_thread(self.open_part, part.sha256)
        try:
            read = self._content(part, reader.read)
            while piece := await asyncio.to_thread(read, MAX_CHUNK_BYTES - 2 * CHUNK_BYTES):
                yield piece
        finally:
            reader.close()

    def _content(self, part: ScanPart, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        if part.encrypted is None:
            return read
        return DecryptingReader(read, self.encryption.decryptor(part.encrypted)).read


async def prove(clamd: Clamd) -> str:
    """Has the daemon show that it finds the test file, and tells what it cannot look into.

    Returns:
        Its version and that of its signatures.

    Raises:
        AwayError: It is not there, or lets something pass that it must tell of.
    """
    try:
        version = await clamd.ask("VERSION")
        for content, why in _proofs():
            reply = await clamd.scan(_once(content))
            if reply.kind is not ReplyKind.FOUND:
                raise AwayError(why)
    except (ScannerAwayError, ScanBrokenError) as error:
        raise AwayError(str(error)) from error
    return "".join(letter for letter in version if letter.isprintable())[:200]


def _proofs() -> list[tuple[bytes, str]]:
    """Contents that must be told, and what it means when they are not."""
    return [
        (test_file(), "it does not find the EICAR sample; load its signatures: freshclam"),
        (encrypted_archive(), "it lets encrypted archives pass; set AlertEncrypted in clamd.conf"),
        (nested_archive(), "it lets pass what it cannot look into; set AlertExceedsMax"),
    ]


def test_file() -> bytes:
    """The harmless file that every scanner finds; put together here, or this file were found too.

    Source: eicar.org, the anti-malware test file.
    """
    head, tail = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    return (head + tail).encode("ascii")


def encrypted_archive() -> bytes:
    """A zip whose one member says that it is encrypted."""
    data = bytearray(_archive("a.txt", b"edocnode" * 16))
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    data[local + 6] |= _ENCRYPTED_BIT
    data[central + 8] |= _ENCRYPTED_BIT
    return bytes(data)


def nested_archive() -> bytes:
    """Archives in archives, deeper than a scanner looks."""
    content = b"edocnode"
    for _ in range(_NESTED):
        content = _archive("a.zip", content)
    return content


def _archive(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _judged(part: ScanPart, reply: ScanReply) -> Finding | None:
    if reply.kind is ReplyKind.CLEAN:
        return None
    if reply.kind is ReplyKind.FOUND:
        return _finding(part, judge_finding(reply.detail), reply.detail)
    cause = Cause.TOO_LARGE if reply.detail == _TOO_LONG else Cause.REFUSED
    return _finding(part, cause, reply.detail)


def _finding(part: ScanPart, cause: Cause, detail: str) -> Finding:
    return Finding(cause=cause, part=part.index, name=part.name, detail=detail)


@dataclass(frozen=True, slots=True)
class Scanning:
    """The loop, None without a scanner, and what administrators call."""

    loop: ScanLoop | None
    quarantine: QuarantineParts
    watch: QuarantineWatch
    sealing: SealingParts
    aside: SettingAside[str]

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange, until it is cancelled or done."""
        if self.loop is None:
            return [self.aside.running(partial(show_what_waits, self.sealing.store, self.watch))]
        return [self.aside.running(self.loop.run)]


def build_scanning(
    agency: str,
    sealing: SealingParts,
    blobs: BlobFolder,
    suspects: Suspects,
    *,
    settings: NodeSettings,
    encryption: EncryptionKeys,
    directory: Callable[[], Directory],
    clock: Callable[[], datetime],
) -> Scanning:
    """Builds what scans; starts nothing."""
    store, sealer = sealing.store, sealing.sealer
    telling = Telling(agency=agency, directory=directory, clock=clock)
    watch = QuarantineWatch(store, store, telling)
    loop = None
    if settings.scanner:
        scanner = ClamdScanner(
            Clamd(settings.scanner), blobs.open, encryption, settings.scanner_largest_mib * MIB
        )
        loop = ScanLoop(
            store=store,
            scanner=scanner,
            alarms=store,
            watch=watch,
            telling=telling,
            suspects=suspects,
            sealer=sealer,
            at_once=settings.scanner_at_once,
        )
        waking = loop
        sealer.on_sealed(lambda commit: waking.wake() if commit.receipts else None)

    async def changed() -> None:
        sealer.wake()
        await watch.look()
        if loop is not None:
            loop.wake()

    parts = QuarantineParts(
        store=store,
        telling=telling,
        waiting=store.waiting_scans,
        changed=changed,
        has_scanner=loop is not None,
        clock=clock,
    )
    aside: SettingAside[str] = SettingAside(
        "scanning", marked("Scanning for malware"), alarms=store, clock=clock, longest=SOON
    )
    return Scanning(loop, parts, watch, sealing, aside)
