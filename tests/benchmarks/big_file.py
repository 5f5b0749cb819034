"""A large file handed in at a node without ever lying on the disk of the office.

The bytes are made while they are sent: one random MiB, numbered anew each time, so that every
file is another and none can be compressed or taken from an earlier one.
"""

import os
from collections.abc import Iterator
from hashlib import file_digest, sha256
from uuid import uuid4

from edockit.blobs import BlobFolder
from edockit.grpc_client import unix_channel_sync
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.storage.folder import DataFolder
from tests.benchmarks.filling import FIELDS
from tests.benchmarks.pair import RECIPIENT, BenchNode

MIB = 1 << 20
WITHIN_S = 1800
_PIECE = 512 * 1024


def hand_in(node: BenchNode, size_mib: int) -> tuple[str, str]:
    """Hands it in; returns its request id and SHA-256 once it is durably kept."""
    digest = sha256()
    request_id = uuid4().hex
    header = messages.SubmitHeader(
        request_id=request_id,
        recipients=[RECIPIENT],
        record_size=len(FIELDS),
        parts=[messages.PartDeclaration(name="Phụ lục.bin", size=size_mib * MIB)],
    )

    def requests() -> Iterator[messages.SubmitRequest]:
        yield messages.SubmitRequest(header=header)
        yield messages.SubmitRequest(chunk=FIELDS)
        for piece in pieces(size_mib):
            digest.update(piece)
            yield messages.SubmitRequest(chunk=piece)

    with unix_channel_sync(node.socket) as channel:
        services.OfficeServiceStub(channel).Submit(requests(), timeout=WITHIN_S)
    return request_id, digest.hexdigest()


def check_blob(node: BenchNode, digest: str) -> None:
    """The file lies in the folder of parts under its digest, and has it.

    Raises:
        AssertionError: Not so.
    """
    path = BlobFolder(DataFolder(node.data).blobs).path(digest)
    with path.open("rb") as file:
        assert file_digest(file, "sha256").hexdigest() == digest, path


def pieces(size_mib: int) -> Iterator[bytes]:
    """The bytes of a file that is like no other."""
    random = os.urandom(_PIECE - 8)
    for number in range(size_mib * MIB // _PIECE):
        yield number.to_bytes(8, "big") + random
