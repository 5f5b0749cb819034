"""Evidence and journal of one node: joins storage, blobs, directory and seal key.

A running node answers through ``EvidenceDesk``; on a stopped one the command line opens folder and
database itself, after it has taken the folder's lock.
"""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from edoccore.directory.view import Directory
from edoccore.errors import DocumentUnknownError, StorageDamagedError
from edoccore.identity.keys import Signer
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, uuid_bytes, uuid_text
from edockit.blobs import BlobFolder
from edockit.database import Database
from edockit.files import disk_errors
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.domain.journal import JournalReport, seal_keys
from edocnode.domain.model import DocumentId, MessageId
from edocnode.domain.repair import Suspects
from edocnode.evidence.bundle import Exporter, write_bundle
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.evidence import SqlEvidence
from edocnode.storage.folder import DataFolder
from edocnode.storage.journal import SqlJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceDesk:
    """Hands out evidence and checks the journal.

    Attributes:
        scratch: Folder for the file while it is written; needs room for all parts.
        directory: The one in force.
        damage: Told of parts that are not what was stored.
    """

    agency: str
    network: str
    database: Database
    blobs: BlobFolder
    scratch: Path
    damage: Suspects
    signer: Callable[[], Signer]
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]

    async def export(
        self, message_id: MessageId, container: EvidenceFormat = EvidenceFormat.ZIP
    ) -> BinaryIO:
        """Writes the evidence of a message.

        Returns:
            The file, open at its beginning. It has no name and is gone when it is closed.

        Raises:
            DocumentUnknownError: No sealed message here has this id.
            StorageDamagedError: A part is not what was sealed.
            DiskFullError: There is no room to write it.
            SealerStoppedError: The seal's token does not sign.
        """
        evidence = await SqlEvidence(self.database).find(message_id)
        if evidence is None:
            raise DocumentUnknownError(
                f"There is no sealed message {uuid_text(message_id)} here.",
                hint="A document has evidence once it is sealed; see: edocnode show ID.",
                message_id=uuid_text(message_id),
            )

        def write() -> BinaryIO:
            file = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115 - the caller closes it
            try:
                with disk_errors(self.scratch):
                    write_bundle(
                        file,
                        evidence,
                        directory=self.directory(),
                        exporter=Exporter(self.agency, self.signer()),
                        open_blob=self.blobs.open,
                        now=self.clock(),
                        container=container,
                    )
                    file.seek(0)
            except BaseException:
                file.close()
                raise
            return file

        try:
            return await asyncio.to_thread(write)
        except StorageDamagedError as error:
            if "sha256" in error.fields:
                self.damage.suspect(error.fields["sha256"])
            stated = canonical.decode(evidence.envelope.statement, Envelope)
            self.damage.suspect_document(DocumentId(uuid_bytes(stated.document_id)))
            raise

    async def verify_journal(self) -> JournalReport:
        """Verifies this node's own journal; read-only."""
        return await verify_stored_journal(
            self.database, self.directory(), agency=self.agency, network=self.network
        )


async def verify_stored_journal(
    database: Database, directory: Directory, *, agency: str, network: str
) -> JournalReport:
    """Verifies the journal of an agency in a database, with the keys that the directory lists."""
    keys = seal_keys(directory, agency)
    return await SqlJournal(database).verify(agency, network=network, keys=keys)


def known_directory(folder: DataFolder) -> Directory:
    """The directory that a node on this machine holds: an anchor for evidence.

    Raises:
        DataFolderError: No node has joined there, or it has no directory.
        StorageDamagedError, DirectoryInvalidError: The directory there cannot be trusted.
    """
    return DirectoryFiles(folder.directory, folder.identity().root_sha256).load()
