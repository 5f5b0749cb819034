"""An office that keeps a number of documents in flight at a node, as a process of its own.

A document is in flight from the moment ``Submit`` is called until its receipt is committed, which
is read from the node's database (``Watch`` looks only five times a second). Prints one JSON object.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from edockit.grpc_client import unix_channel
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from tests.benchmarks.filling import FIELDS, PART_NAME
from tests.benchmarks.observing import Progress, Span, mark
from tests.benchmarks.pair import RECIPIENT, BenchNode, Pair

LOOK_EVERY_S = 0.001
WITHIN_S = 300
RECEIPT_WITHIN_S = 60
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the process shall do.

    Attributes:
        warm_up: Documents before the clock starts.
        in_message: Documents handed in with one message of ``SubmitMany``; 0: one by one.
        receipts: A document is in flight until its receipt, or only until it is answered.
        process_ids: Whose processor time is counted.
    """

    socket: str
    database: str
    in_flight: int
    count: int
    size: int
    warm_up: int
    receipts: bool
    process_ids: list[int]
    in_message: int = 0


@dataclass
class Office:
    """Hands in and waits for receipts."""

    stub: services.OfficeServiceStub
    progress: Progress
    size: int
    receipts: bool
    _waiting: dict[bytes, asyncio.Future[None]] = field(default_factory=dict)
    _early: set[bytes] = field(default_factory=set)

    async def exchange(self, count: int, in_flight: int) -> None:
        """Sends documents, so many at a time."""
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await self.one()

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    async def one(self) -> None:
        """From ``Submit`` to the receipt."""
        submit: Any = self.stub.Submit  # the stubs know synchronous calls only
        answer = await submit(self._requests(os.urandom(self.size)))
        await self._receipt(answer)

    async def in_batches(self, count: int, in_message: int) -> None:
        """Hands in all over one stream; the node works on a few messages at a time."""
        call: Any = self.stub.SubmitMany
        receipts = []
        async for answer in call(self._many(count, in_message)):
            for item in answer.answers:
                assert item.HasField("kept"), item.refused
                receipts.append(asyncio.create_task(self._receipt(item.kept)))
        await asyncio.gather(*receipts)

    async def _receipt(self, answer: messages.SubmitResponse) -> None:
        if not self.receipts:
            return
        message_id = answer.deliveries[0].message_id
        if message_id in self._early:
            self._early.remove(message_id)
            return
        self._waiting[message_id] = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(self._waiting[message_id], RECEIPT_WITHIN_S)
        del self._waiting[message_id]

    async def follow(self) -> None:
        """Tells those who wait of their receipts."""
        position = self.progress.newest_event()
        while True:
            for reached, message_id in self.progress.receipts_after(position):
                position = reached
                waiting = self._waiting.get(message_id)
                if waiting is None:
                    self._early.add(message_id)
                elif not waiting.done():
                    waiting.set_result(None)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _requests(self, content: bytes) -> AsyncIterator[messages.SubmitRequest]:
        yield messages.SubmitRequest(header=_header(self.size))
        yield messages.SubmitRequest(chunk=FIELDS + content)

    async def _many(self, count: int, in_message: int) -> AsyncIterator[messages.SubmitManyRequest]:
        for start in range(0, count, in_message):
            yield messages.SubmitManyRequest(
                submissions=[
                    messages.WholeSubmission(
                        header=_header(self.size), content=FIELDS + os.urandom(self.size)
                    )
                    for _ in range(min(in_message, count - start))
                ]
            )


def _header(size: int) -> messages.SubmitHeader:
    return messages.SubmitHeader(
        request_id=uuid4().hex,
        recipients=[RECIPIENT],
        record_size=len(FIELDS),
        parts=[messages.PartDeclaration(name=PART_NAME, size=size)],
    )


def in_flight(
    nodes: Pair,
    *,
    in_flight: int,
    count: int,
    size: int,
    receipts: bool = True,
    in_message: int = 0,
) -> Span:
    """Runs an office at the sender of a pair; counts the processor time of the nodes that run."""
    order = Order(
        socket=str(nodes.sender.socket),
        database=nodes.sender.database,
        in_flight=in_flight,
        count=count,
        size=size,
        warm_up=2 * in_flight,
        receipts=receipts,
        process_ids=nodes.process_ids if receipts else [nodes.sender.pid],
        in_message=in_message,
    )
    with started(order) as process:
        output, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, "the office failed"
    found = json.loads(output)
    return Span(found["seconds"], tuple(found["cpu"]), count)


def endless(node: BenchNode, *, in_flight: int, size: int) -> "subprocess.Popen[str]":
    """Starts an office that goes on until it is killed."""
    order = Order(
        socket=str(node.socket),
        database=node.database,
        in_flight=in_flight,
        count=10**9,
        size=size,
        warm_up=0,
        receipts=True,
        process_ids=[],
    )
    process = started(order)
    time.sleep(WARM_UP_S)
    return process


def started(order: Order) -> "subprocess.Popen[str]":
    """The process, told what to do."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.office_load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(order)) + "\n")
    process.stdin.flush()
    return process


async def main(order: Order) -> None:
    """Warms up, measures, prints."""
    async with unix_channel(Path(order.socket)) as channel:
        stub, progress = services.OfficeServiceStub(channel), Progress(order.database)
        office = Office(stub, progress, order.size, order.receipts)
        following = asyncio.create_task(office.follow())
        await office.exchange(order.warm_up, order.in_flight)
        before = mark(order.process_ids)
        if order.in_message:
            await office.in_batches(order.count, order.in_message)
        else:
            await office.exchange(order.count, order.in_flight)
        after = mark(order.process_ids)
        following.cancel()
    used = [new - old for new, old in zip(after.cpu, before.cpu, strict=True)]
    print(json.dumps({"seconds": after.at - before.at, "cpu": used}))


if __name__ == "__main__":
    asyncio.run(main(Order(**json.loads(sys.stdin.readline()))))
