"""Small documents between two node processes, beside the raw gRPC echo of the same bytes.

Run: python -m tests.benchmarks.bench_exchange [DOCUMENTS] [BYTES]. They are handed in while
the recipient is down, so that what is timed is the exchange: seal checked, kept on disk, receipt
sealed, sent back, checked and kept. Prints documents per second and CPU per document; fails when a
document is lost, doubled or left without its receipt.
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.rpc.office_client import OfficeClient, open_office
from tests.benchmarks.raw_echo import cpu_seconds, echo
from tests.support.load import office_of
from tests.support.network import AGENCIES, HA_TINH, NOI_VU, Network, waited_for

DOCUMENTS = 10_000
BYTES = 4 * 1024
THREADS = 16  # offices that hand in at once
IN_BATCH = 128  # documents in one message between nodes, about
LOOK_EVERY_S = 0.05
PATIENCE_S = 300


def main() -> None:
    """Measures and prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS
    size = int(sys.argv[2]) if len(sys.argv) > 2 else BYTES
    print(f"exchange of {count} documents of {size} bytes, {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as folder:
        network = Network(Path(folder))
        try:
            network.found()
            network.join(AGENCIES)
            network.start()
            seconds = measure(network, count, size)
        finally:
            for program in (*network.nodes.values(), network.registry):
                program.kill()
    for name, message_bytes, messages_sent in (
        ("raw echo, one message each", size, count),
        (f"raw echo, {IN_BATCH} in a message", IN_BATCH * size, count // IN_BATCH),
    ):
        took, client, server = echo(message_bytes, messages_sent)
        documents = messages_sent * message_bytes // size
        show(name, took, documents, client, server)
        print(f"{'':<32}exchange takes {seconds / count / (took / documents):.1f} times as long")


def measure(network: Network, count: int, size: int) -> float:
    """Hands in, lets the recipient return, and times until the last receipt; returns seconds."""
    sender, recipient = network[HA_TINH], network[NOI_VU]
    recipient.stop()
    with office_of(sender) as office:
        first, cpu = time.perf_counter(), cpu_seconds(sender.process.pid)
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(hand_in, repeat(office, count), repeat(size)))
        took = time.perf_counter() - first
        show("hand in, until durably kept", took, count, cpu_seconds(sender.process.pid) - cpu)
    recipient.start()
    both = [sender.process.pid, recipient.process.pid]
    with open_office(sender.socket) as office:
        before = [time.perf_counter(), *map(cpu_seconds, both)]
        deadline = time.monotonic() + PATIENCE_S
        while has(office, "queued") or has(office, "sending"):
            assert time.monotonic() < deadline, "documents still wait"
            if not has(office, "delivered"):  # nothing has moved yet
                before = [time.perf_counter(), *map(cpu_seconds, both)]
            time.sleep(LOOK_EVERY_S)
        after = [time.perf_counter(), *map(cpu_seconds, both)]
    took, *used = (new - old for new, old in zip(after, before, strict=True))
    show("exchange, until receipt is kept", took, count, *used)
    check(network, count)
    return took


def has(office: OfficeClient, state: str) -> bool:
    """Whether a delivery is in a state."""
    return bool(office.outbox(agency="", state=state, limit=1, after="")["documents"])


def hand_in(office, size: int) -> None:
    """Hands in one document with content of its own."""
    office.submit(os.urandom(size), to=[NOI_VU], request_id=os.urandom(16).hex())


def check(network: Network, count: int) -> None:
    """Every document arrived once and has its receipt."""
    with office_of(network[NOI_VU]) as office:
        arrived = [item.document_id for item in office.inbox()]
    with office_of(network[HA_TINH]) as office:
        waited_for(office.is_idle, within_s=PATIENCE_S, what="all receipts")
        delivered = {i.document_id for i in office.outbox(messages.DELIVERY_STATE_DELIVERED)}
    assert len(arrived) == len(set(arrived)) == count, (len(arrived), len(set(arrived)))
    assert set(arrived) == delivered
    print(f"{'':<32}all {count} arrived once, each with its receipt")


def show(name: str, seconds: float, count: int, sender_s: float, recipient_s: float = 0) -> None:
    """Prints one line."""
    cpu = f"{sender_s / count * 1e6:7.0f} us sender"
    if recipient_s:
        cpu += f" {recipient_s / count * 1e6:7.0f} us recipient"
    print(f"{name:<32}{count / seconds:8.0f}/s   CPU per document: {cpu}")


if __name__ == "__main__":
    main()
