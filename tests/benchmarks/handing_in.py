"""An office that hands in many documents with each message, from this process: ``SubmitMany``."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from edockit.grpc_client import unix_channel
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from tests.benchmarks.filling import FIELDS, PART_NAME
from tests.benchmarks.pair import RECIPIENT

IN_MESSAGE = 200


def in_batches(socket: Path, count: int, size: int) -> float:
    """Hands in; returns when all is durably kept, with the processor seconds of this office.

    Raises:
        AssertionError: A document was refused.
    """
    began = time.process_time()
    asyncio.run(_in_batches(socket, count, size))
    return time.process_time() - began


async def _in_batches(socket: Path, count: int, size: int) -> None:
    async def requests() -> AsyncIterator[messages.SubmitManyRequest]:
        for start in range(0, count, IN_MESSAGE):
            made = [_whole(size) for _ in range(min(IN_MESSAGE, count - start))]
            yield messages.SubmitManyRequest(submissions=made)

    kept = 0
    async with unix_channel(socket) as channel:
        submit_many: Any = services.OfficeServiceStub(channel).SubmitMany  # stubs: synchronous only
        async for answer in submit_many(requests()):
            kept += sum(item.HasField("kept") for item in answer.answers)
    assert kept == count, f"{kept} of {count} were kept"


def _whole(size: int) -> messages.WholeSubmission:
    header = messages.SubmitHeader(
        request_id=os.urandom(16).hex(),
        recipients=[RECIPIENT],
        record_size=len(FIELDS),
        parts=[messages.PartDeclaration(name=PART_NAME, size=size)],
    )
    return messages.WholeSubmission(header=header, content=FIELDS + os.urandom(size))
