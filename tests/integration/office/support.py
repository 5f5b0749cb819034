"""Calls that several tests of the office make."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest

from edoccore.errors import EdocError
from edoccore.wire.status import raise_for
from edocnet.office.v1 import office_service_pb2 as office
from tests.support.nodes import TestNode

CHUNK = 960 * 1024


def text(data: bytes) -> str:
    """An id as people type it."""
    return str(UUID(bytes=data))


async def submit(
    node: TestNode,
    *contents: bytes,
    to: tuple[str, ...] = ("G01",),
    request_id: str = "r-1",
    fields: dict[str, Any] | None = None,
    sizes: tuple[int, ...] | None = None,
    urgency: "office.Urgency.ValueType" = office.URGENCY_UNSPECIFIED,
) -> office.SubmitResponse:
    """Hands a document in; ``sizes`` may lie."""
    record = json.dumps(fields or {"subject": "Về việc thử"}, ensure_ascii=False).encode()
    declared = sizes or tuple(len(content) for content in contents)
    header = office.SubmitHeader(
        request_id=request_id,
        recipients=to,
        urgency=urgency,
        record_size=len(record),
        parts=[
            office.PartDeclaration(name=f"{number}.pdf", size=size)
            for number, size in enumerate(declared, 1)
        ],
    )
    stream = b"".join([record, *contents])

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        for start in range(0, len(stream), CHUNK):
            yield office.SubmitRequest(chunk=stream[start : start + CHUNK])

    async with node.office() as stub:
        return await stub.Submit(requests())


async def read_part(node: TestNode, document: str, index: int) -> bytes:
    """The bytes of a part."""
    async with node.office() as stub:
        answers = stub.GetPart(office.GetPartRequest(id=document, index=index))
        return b"".join([answer.chunk async for answer in answers])


class Refused:
    """Expects a call to fail with an error of the tree, by its reason."""

    def __init__(self, kind: type[EdocError]) -> None:
        self._kind = kind
        self._raises = pytest.raises(grpc.aio.AioRpcError)

    def __enter__(self) -> "Refused":
        self._caught = self._raises.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool:
        swallowed = self._raises.__exit__(*error)
        found = raise_for(self._caught.value)
        assert isinstance(found, self._kind), found
        self.error = found
        return bool(swallowed)
