"""Handing in through office/v1: one by one, in batches, and in batches until the receipts are kept.

    .venv/bin/python -m tests.benchmarks.bench_submitting [--documents N] [--bytes N] [--rounds N]
        [--quick]

Both nodes run; this process is the office's program. Handing in alone is timed while the recipient
is down. Prints documents per second and processor time per document of the office's program and
of the nodes, and the rates as ratios to the echo of the same bytes in the same round. Fails when
a document is lost, doubled or left without its receipt.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path

from edockit.grpc_client import unix_channel
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from tests.benchmarks.exchanging import check
from tests.benchmarks.figures import Figures, show
from tests.benchmarks.observing import mark, wait_until
from tests.benchmarks.pair import RECIPIENT, Pair, pair
from tests.benchmarks.raw_echo import echo

DOCUMENTS, QUICK_DOCUMENTS = 20_000, 1_000
ALONE_SHARE = 20  # one by one only this part of them: it is slow
BYTES = 4 * 1024
ROUNDS = 3
ECHO_MESSAGES = 5_000
IN_MESSAGE = 200
AT_ONCE = 16  # calls of Submit
PATIENCE_S = 600
ALONE, BATCHES, WHOLE = "Submit, one by one", "SubmitMany", "SubmitMany to receipt"
ECHO = "raw gRPC echo, one each"
FIELDS = json.dumps({"subject": "Về việc đo tốc độ"}, ensure_ascii=False).encode()

HandIn = Callable[[Path, int, int], Coroutine[None, None, None]]


def main() -> None:
    """Measures and prints."""
    chosen = arguments()
    print(f"handing in {chosen.documents} documents of {chosen.bytes} bytes, {os.cpu_count()} CPUs")
    few = max(chosen.documents // ALONE_SHARE, 200)
    figures = Figures().interleaved(
        chosen.rounds,
        partial(handing_in, ALONE, one_by_one, few, chosen.bytes),
        partial(handing_in, BATCHES, in_batches, chosen.documents, chosen.bytes),
        partial(until_receipts, chosen.documents, chosen.bytes),
        partial(floor, chosen.bytes),
    )
    for name in figures.values:
        show(name, figures.spread(name))
    for name in (ALONE, BATCHES, WHOLE):
        show(f"{name}: of the echo", figures.ratio(f"{name}: documents/s", f"{ECHO}: documents/s"))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int)
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few documents, one round")
    chosen = parser.parse_args()
    chosen.documents = chosen.documents or (QUICK_DOCUMENTS if chosen.quick else DOCUMENTS)
    chosen.rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    return chosen


def handing_in(name: str, hand_in: HandIn, count: int, size: int) -> dict[str, float]:
    """Until all is answered, while the recipient is down."""
    with pair() as nodes:
        nodes.sender.start()
        before, own = mark([nodes.sender.pid]), time.process_time()
        asyncio.run(hand_in(nodes.sender.socket, count, size))
        after = mark([nodes.sender.pid])
        return {
            f"{name}: documents/s": count / (after.at - before.at),
            f"{name}: CPU us, node": (after.cpu[0] - before.cpu[0]) / count * 1e6,
            f"{name}: CPU us, office": (time.process_time() - own) / count * 1e6,
        }


def until_receipts(count: int, size: int) -> dict[str, float]:
    """From the first document handed in to the last receipt kept, in batches."""
    with pair() as nodes:
        nodes.recipient.start()
        nodes.sender.start()
        before, own = mark(nodes.process_ids), time.process_time()
        asyncio.run(in_batches(nodes.sender.socket, count, size))
        own = time.process_time() - own
        _wait(nodes, count)
        after = mark(nodes.process_ids)
        used = [new - old for new, old in zip(after.cpu, before.cpu, strict=True)]
        return {
            f"{WHOLE}: documents/s": count / (after.at - before.at),
            f"{WHOLE}: CPU us, sender": used[0] / count * 1e6,
            f"{WHOLE}: CPU us, recipient": used[1] / count * 1e6,
            f"{WHOLE}: CPU us, office": own / count * 1e6,
        }


def _wait(nodes: Pair, count: int) -> None:
    outbox, inbox = nodes.sender.progress(), nodes.recipient.progress()
    try:
        wait_until(
            lambda: inbox.received() >= count and outbox.is_done(),
            within_s=PATIENCE_S,
            what="all receipts",
        )
        check(outbox, inbox, count)
    finally:
        outbox.close()
        inbox.close()


def floor(size: int) -> dict[str, float]:
    """Echo of the same bytes."""
    seconds, client, server = echo(size, ECHO_MESSAGES)
    return {
        f"{ECHO}: documents/s": ECHO_MESSAGES / seconds,
        f"{ECHO}: CPU us": (client + server) / ECHO_MESSAGES * 1e6,
    }


async def one_by_one(socket: Path, count: int, size: int) -> None:
    """Hands in with one call each, several at once."""
    places = asyncio.Semaphore(AT_ONCE)
    async with unix_channel(socket) as channel:
        stub = services.OfficeServiceStub(channel)

        async def one() -> None:
            made = _whole(size)

            async def requests() -> AsyncIterator[messages.SubmitRequest]:
                yield messages.SubmitRequest(header=made.header)
                yield messages.SubmitRequest(chunk=made.content)

            async with places:
                await stub.Submit(requests())

        await asyncio.gather(*(one() for _ in range(count)))


async def in_batches(socket: Path, count: int, size: int) -> None:
    """Hands in with messages of many.

    Raises:
        AssertionError: A document was refused.
    """

    async def requests() -> AsyncIterator[messages.SubmitManyRequest]:
        for start in range(0, count, IN_MESSAGE):
            made = [_whole(size) for _ in range(min(IN_MESSAGE, count - start))]
            yield messages.SubmitManyRequest(submissions=made)

    kept = 0
    async with unix_channel(socket) as channel:
        async for answer in services.OfficeServiceStub(channel).SubmitMany(requests()):
            kept += sum(item.HasField("kept") for item in answer.answers)
    assert kept == count, f"{kept} of {count} were kept"


def _whole(size: int) -> messages.WholeSubmission:
    header = messages.SubmitHeader(
        request_id=os.urandom(16).hex(),
        recipients=[RECIPIENT],
        record_size=len(FIELDS),
        parts=[messages.PartDeclaration(name="Văn bản.bin", size=size)],
    )
    return messages.WholeSubmission(header=header, content=FIELDS + os.urandom(size))


if __name__ == "__main__":
    main()
