"""The floor: bytes echoed over one gRPC stream with mutual TLS, by a process that does nothing.

Run by the benchmarks of the exchange, in the same minute, so that both see the same machine.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc

from edockit.certificates import certificate_der
from edockit.grpc_client import peer_channel
from edockit.grpc_server import bind
from edockit.grpc_tls import TlsMaterial, TlsProvider
from tests.benchmarks.observing import cpu_seconds
from tests.benchmarks.pair import held_to, two_processors
from tests.integration.edockit.echo import STREAM, handler
from tests.support.pki import Leaf, dns_name, tls_leaf

IN_FLIGHT = 4  # messages, as between nodes
SERVER, CLIENT = "H29", "G01"


def echo(message_bytes: int, count: int, *, apart: bool = False) -> tuple[float, float, float]:
    """Echoes messages; returns seconds, and CPU seconds of client and server.

    Args:
        apart: Client and server are held to a processor each, as nodes may be.
    """
    own, other = two_processors() if apart else (None, None)
    server, client = tls_leaf(SERVER), tls_leaf(CLIENT)
    told = {
        "chain": server.certificate_pem.decode(),
        "key": server.key_pem.decode(),
        "pin": client.certificate_pem.decode(),
    }
    process = subprocess.Popen(
        [*held_to(other), sys.executable, "-m", "tests.benchmarks.raw_echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        port = int(process.stdout.readline())
        with _held(own):
            return asyncio.run(_client(port, server, client, process.pid, message_bytes, count))
    finally:
        process.stdin.close()
        process.wait(10)


@contextlib.contextmanager
def _held(processor: int | None) -> Iterator[None]:
    """Holds this process, all its threads, to a processor; None: to none."""
    everywhere = os.sched_getaffinity(0)
    _hold(everywhere if processor is None else {processor})
    try:
        yield
    finally:
        _hold(everywhere)


def _hold(processors: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), processors)


async def _client(
    port: int, server: Leaf, client: Leaf, server_process: int, message_bytes: int, count: int
) -> tuple[float, float, float]:
    channel = peer_channel(
        f"127.0.0.1:{port}",
        own_chain=client.certificate_pem,
        own_key=client.key_pem,
        pins=[server.certificate_pem],
        server_name=dns_name(SERVER),
    )
    async with channel:
        call: Any = channel.stream_stream(STREAM)()
        await call.write(b"x")
        await call.read()
        message = bytes(message_bytes)
        free = asyncio.Semaphore(IN_FLIGHT)
        before = (time.perf_counter(), time.process_time(), cpu_seconds(server_process))

        async def send() -> None:
            for _ in range(count):
                await free.acquire()
                await call.write(message)

        sending = asyncio.create_task(send())
        for _ in range(count):
            await call.read()
            free.release()
        await sending
        after = (time.perf_counter(), time.process_time(), cpu_seconds(server_process))
        await call.done_writing()
    seconds, own, other = (new - old for new, old in zip(after, before, strict=True))
    return seconds, own, other


async def _serve(told: dict[str, str]) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([handler()])
    material = TlsMaterial(
        told["chain"].encode(), told["key"].encode(), [certificate_der(told["pin"].encode())]
    )
    port = bind(server, "127.0.0.1:0", TlsProvider(material))
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.stdin.readline())))
