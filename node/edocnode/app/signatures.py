"""Joins what checks signatures: settings, the checking process, the loop that asks it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from edoccore.signing.encryption import PartPlace
from edoccore.signing.statements import uuid_text
from edockit.blob_reader import READ_BYTES, damaged
from edockit.blobs import BlobFolder
from edocnode.domain.encryption import DecryptingReader, EncryptionKeys, read_from
from edocnode.domain.model import INLINE_PART_BYTES, DocumentId
from edocnode.domain.ports import Alarms
from edocnode.domain.repair import Suspects
from edocnode.domain.signature_checks import SignatureChecks
from edocnode.domain.signatures import PartToCheck, Reason
from edocnode.settings import NodeSettings
from edocnode.signatures.process import CheckingProcess, is_installed
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from edocnode.storage.folder import NodeIdentity
from edocnode.workers.signature_checks import AsideWatch, SignatureCheckLoop

MOST_IN_MEMORY = 32 * 1024 * 1024  # of a part that is decrypted for its check


@dataclass(frozen=True, slots=True)
class SignatureParts:
    """The loop, and the process that it asks."""

    loop: SignatureCheckLoop
    process: CheckingProcess

    async def stop(self) -> None:
        """Ends the process; the loop was ended by who runs it."""
        await self.process.close()


@dataclass(frozen=True, slots=True)
class ContentOf:
    """Decrypts parts in memory for their check: on the disk they are only encrypted."""

    blobs: BlobFolder
    network: str
    keys: EncryptionKeys
    largest_bytes: int

    def __call__(self, document_id: DocumentId, part: PartToCheck) -> bytes | None:
        """The content of a part; None: it is too large.

        Raises:
            PartNotDecryptedError: It cannot be decrypted here.
            StorageDamagedError: It is missing, or has other bytes than were sealed.
        """
        place = PartPlace(
            network=self.network,
            document_id=uuid_text(document_id),
            sender=part.encrypted_from,
            index=part.index,
        )
        decryptor = self.keys.decryptor(place)
        if part.size <= INLINE_PART_BYTES:
            if sha256(part.data).hexdigest() != part.sha256:
                raise damaged(part.sha256, "has other bytes than were stored")
            return self._read(DecryptingReader(read_from(part.data), decryptor))
        with self.blobs.open(part.sha256) as file:
            return self._read(DecryptingReader(file.read, decryptor))

    def _read(self, reader: DecryptingReader) -> bytes | None:
        content = bytearray()
        while piece := reader.read(READ_BYTES):
            content += piece
            if len(content) > min(self.largest_bytes, MOST_IN_MEMORY):
                return None
        return bytes(content)


class Store(SignatureChecks, Alarms, Protocol):
    """What is needed of storage."""


def build_signatures(
    store: Store,
    blobs: BlobFolder,
    suspects: Suspects,
    settings: NodeSettings,
    *,
    data: Path,
    identity: NodeIdentity,
    encryption: EncryptionKeys,
    clock: Callable[[], datetime],
) -> SignatureParts:
    """Builds what checks signatures; starts nothing."""
    process = CheckingProcess(
        trust_settings(settings, data), largest_bytes=settings.largest_check_bytes
    )
    loop = SignatureCheckLoop(
        store=store,
        checker=process,
        path_of=blobs.path,
        content_of=ContentOf(blobs, identity.network, encryption, settings.largest_check_bytes),
        suspects=suspects,
        impossible=_impossible(settings),
        watch=AsideWatch(store, store, agency=identity.agency, clock=clock),
        clock=clock,
    )
    return SignatureParts(loop, process)


def trust_settings(settings: NodeSettings, data: Path) -> TrustSettings:
    """What a node trusts; folders that are relative lie in its data folder."""

    def place(name: str) -> str:
        return str(data / name) if name else ""

    return TrustSettings(
        stores=tuple(
            StoreSettings(name=each.name, folder=place(each.folder), kind=each.kind)
            for each in settings.trust_stores
        ),
        crl_folder=place(settings.crl_folder),
        signer_rules=place(settings.signer_rules),
        strict=settings.strict_revocation,
    )


def _impossible(settings: NodeSettings) -> Reason | None:
    """Why nothing can be checked here; None when it can."""
    if not settings.trust_stores:
        return Reason.NO_TRUST_STORE
    return None if is_installed() else Reason.NOT_INSTALLED
