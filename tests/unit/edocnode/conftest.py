"""Two agencies with real keys, and envelopes between them, for the rules of a node."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from edoccore.directory.view import Directory
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, Office
from edoccore.signing.seal import SealedStatement, VerifiedSeal, open_seal
from edoccore.signing.statements import (
    DOCUMENT_MEDIA_TYPE,
    RECORD_NAME,
    Envelope,
    Operation,
    Part,
    Urgency,
    time_text,
)
from edocnode.domain.checks import Standing
from edocnode.domain.exchange import Parcel
from tests.support.nation import Agency, Nation, new_uuid7

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@dataclass
class Post:
    """H29 writes to G01; every field of the envelope can be bent."""

    nation: Nation
    sender: Agency
    recipient: Agency
    directory: Directory
    now: datetime = NOW
    record: bytes = b""
    contents: list[bytes] = field(default_factory=lambda: ["Quyết định số 28".encode()])
    names: list[str] = field(default_factory=lambda: ["Quyết định.pdf"])

    def envelope(self, **changes: object) -> Envelope:
        message_id, document_id = new_uuid7(self.now), new_uuid7(self.now)
        record = DocumentRecord(
            network=self.nation.network,
            document_id=document_id,
            issuer=Office(code=self.sender.code),
            subject="Về việc kết nối trục liên thông văn bản",
        )
        self.record = canonical.encode(record)
        datas = [self.record, *self.contents]
        parts = [
            Part(
                index=index,
                name=name,
                media_type=kind,
                size=len(data),
                sha256=sha256(data).hexdigest(),
            )
            for index, (name, kind, data) in enumerate(
                zip(
                    [RECORD_NAME, *self.names],
                    [DOCUMENT_MEDIA_TYPE, *(["application/pdf"] * len(self.contents))],
                    datas,
                    strict=True,
                )
            )
        ]
        values: dict[str, object] = {
            "network": self.nation.network,
            "message_id": message_id,
            "document_id": document_id,
            "from_": self.sender.code,
            "to": self.recipient.code,
            "to_node": self.recipient.code,
            "epoch": self.sender.epoch,
            "seq": 1,
            "created": time_text(self.now),
            "expires": time_text(self.now + timedelta(days=30)),
            "urgency": Urgency.NORMAL,
            "operation": Operation.NEW,
            "parts": tuple(parts),
        }
        return Envelope(**(values | changes))  # type: ignore[arg-type]

    def joined(self) -> bytes:
        return b"".join([self.record, *self.contents])

    def parcel(
        self, data: bytes, *, parts: bytes | None = None, by: Agency | None = None
    ) -> Parcel:
        sealed = (by or self.sender).seal(data, time=self.now, directory=self.directory.mark)[0]
        return Parcel(envelope=sealed, parts=self.joined() if parts is None else parts, offer=False)

    def verified(self, sealed: SealedStatement) -> VerifiedSeal:
        return open_seal(sealed.seal, self.directory, network=self.nation.network, at=self.now)

    def standing(self, **changes: object) -> Standing:
        values: dict[str, object] = {
            "network": self.nation.network,
            "agency": self.recipient.code,
            "peer": self.sender.code,
            "directory": self.directory,
            "now": self.now,
        }
        return Standing(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def post() -> Post:
    nation = Nation.create(NOW)
    sender = nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"])
    recipient = nation.add_agency("G01", "Bộ Nội vụ", owns=["G01.22"])
    return Post(nation, sender, recipient, nation.directory())
