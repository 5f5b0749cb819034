"""What office software hands in: the header of a submission, then the fields of its record."""

from collections.abc import Iterator
from contextlib import suppress

from google.protobuf.message import DecodeError

from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.domain.model import DocumentId
from edocnode.domain.office import admit, build_record
from edocnode.rpc.office_messages import header_from_message
from tests.fuzz.target import Target
from tests.fuzz.world import NOW, world

_FIELDS = """{"subject":"Về việc kết nối","number":"28","due_date":"2026-12-01","page_count":3,
"signer":{"full_name":"Nguyễn Văn A"},"is_direction":true,"to_places":["Như trên;","Lưu: VT."],
"extensions":[{"name":"a","value":""}]}"""


def submission(data: bytes) -> None:
    """Two bytes of length, the header, the fields; the record that is made can be read again."""
    length = int.from_bytes(data[:2], "big")
    with suppress(DecodeError):
        message = offices.SubmitHeader.FromString(data[2 : 2 + length])
        admitted = admit(header_from_message(message), world().directory, "H26", now=NOW)
        made = build_record(
            admitted,
            data[2 + length :],
            network=world().directory.network,
            document_id=DocumentId(bytes.fromhex("019a2b3c4d5e7f608a1b000000000002")),
        )
        canonical.decode(made.data, DocumentRecord, limit=canonical.MAX_RECORD_BYTES)


def _seeds() -> Iterator[bytes]:
    header = offices.SubmitHeader(
        request_id="019a2b3c-4d5e-7f60-8a1b-000000000001",
        sender="H26.5",
        recipients=["H29", "H26"],
        urgency=offices.URGENCY_KHAN,
        record_size=2,
        parts=[{"name": "Quyết định.pdf", "media_type": "application/pdf", "size": 5}],
        lifetime={"seconds": 3600},
    ).SerializeToString()
    for fields in (_FIELDS, '{"subject":"x"}'):
        yield len(header).to_bytes(2, "big") + header + fields.encode()


TARGETS = [Target(name="submission", run=submission, seeds=_seeds)]
