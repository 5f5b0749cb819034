"""From the database of a node to a verdict: evidence and journal of documents really stored."""

import dataclasses
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import DocumentUnknownError, StorageDamagedError
from edoccore.signing.records import DocumentState
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import Part
from edockit.blobs import BlobFolder
from edocnode.app.evidence import EvidenceDesk
from edocnode.domain.journal import JournalVerdict
from edocnode.domain.model import MessageId
from edocnode.domain.sealing import SealingKey
from edocnode.evidence.verdict import VerdictKind
from edocnode.evidence.verify import verify
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import (
    NOW,
    Office,
    arrival,
    status_submission,
    submission,
)
from tests.support.nation import Agency, Nation

LARGE = b"large 100000".ljust(100_000, b".")


class ListedOffice(Office):
    """An office of an agency that the directory lists, with its real key."""

    def __init__(self, agency: Agency, store: NodeStore | None = None) -> None:
        self.agency = agency
        super().__init__(agency.code, store)
        self.key = SealingKey(
            network="test", agency=agency.code, certificates=agency.digests, suite=1
        )

    def word(self, *args: Any, **options: Any) -> Any:
        commit, group = super().word(*args, **options)
        signature = self.agency.signer.sign(commit.seal.data)
        return dataclasses.replace(commit, seal=SignedSeal(commit.seal.data, signature)), group


def with_large_part(made: Any, blobs: BlobFolder) -> Any:
    digest = sha256(LARGE).hexdigest()
    with blobs.open_staging("a") as staging:
        staging.append(LARGE)
        staging.sync()
        blobs.finish(staging, digest, size_bytes=len(LARGE))
    part = Part(index=2, name="lớn.bin", media_type="a/b", size=len(LARGE), sha256=digest)
    return dataclasses.replace(made, parts=(*made.parts, part))


class Heard:
    """What was told of damage."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []

    def suspect(self, digest: str) -> None:
        self.heard.append(digest)

    def suspect_document(self, document_id: bytes) -> None:
        self.heard.append(document_id)


async def test_stored_documents_have_valid_evidence_and_a_sound_journal(tmp_path: Path) -> None:
    nation = Nation.create(NOW - timedelta(minutes=30), "test")
    listed = {code: nation.add_agency(code, f"Cơ quan {code}") for code in ("H29", "G01")}
    database = open_store(f"sqlite:///{tmp_path}/node.db")
    store, blobs = NodeStore(database), BlobFolder(tmp_path / "blobs", reserve_bytes=0)
    office, peer = ListedOffice(listed["H29"], store), ListedOffice(listed["G01"])
    await office.open()
    made = with_large_part(submission(), blobs)
    await store.submit(made)
    await office.seal_all()
    (queued,) = await store.due("G01", NOW, 10)
    await store.record(peer.delivered([queued]), NOW)
    status = status_submission(queued.envelope, DocumentState.ACCEPTED, sender="G01", to="H29")
    await store.keep([arrival(peer.envelope(status), status.inline[: status.parts[0].size])])
    await office.seal_all()
    damage = Heard()
    desk = EvidenceDesk(
        agency="H29",
        network="test",
        database=database,
        blobs=blobs,
        damage=damage,
        scratch=tmp_path,
        signer=lambda: listed["H29"].signer,
        directory=nation.directory,
        clock=lambda: NOW,
    )
    with await desk.export(made.deliveries[0].message_id) as file:
        (tmp_path / "evidence.zip").write_bytes(file.read())
    verdict = verify(tmp_path / "evidence.zip", root=nation.anchor, now=NOW)
    assert (verdict.kind, verdict.findings, verdict.notes) == (VerdictKind.VALID, (), ())
    report = await desk.verify_journal()
    assert (report.verdict, report.seals, report.findings) == (JournalVerdict.SOUND, 3, ())
    with pytest.raises(DocumentUnknownError):
        await desk.export(MessageId(bytes(16)))
    blobs.path(sha256(LARGE).hexdigest()).write_bytes(LARGE[:-1] + b"!")
    assert damage.heard == []
    with pytest.raises(StorageDamagedError):
        await desk.export(made.deliveries[0].message_id)
    assert damage.heard == [sha256(LARGE).hexdigest(), made.document_id]
    database.close()
