"""A listed agency that attacks a node, as a process of its own.

Run: python -m tests.support.attacker FOLDER ATTACK. The folder holds its keys and ready-made
messages (``prepare``). It goes on until its standard input is closed, then prints what it did and
what it was told as JSON: {"done": N, "told": {"QUOTA_EXCEEDED": N, ...}}.
"""

import asyncio
import contextlib
import functools
import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.exceptions

from edoccore.wire.status import raise_for
from edockit import tls13  # noqa: F401 - sets the environment gRPC reads
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.rpc.messages import batch_to_message, hello_to_message
from tests.support.bad_peer import SERVICE, BadPeer, Letter, place

STREAMS_AT_ONCE = 64
HELD = 400  # connections that say nothing
AGAIN_S = 0.05
FLOOD_STREAMS = 12  # some over the quota, but too few to be suspended for it
FLOOD_AGAIN_S = 1.0
BURST_S = 0.008  # what a connection and the beginning of an attack cost the attacker
END_WAIT_S = 20


def prepare(folder: Path, peer: BadPeer, letters: Sequence[Letter], *, in_batch: int) -> None:
    """Writes what the process needs: keys, a hello, batches."""
    folder.mkdir()
    host, _, port = peer.address.rpartition(":")
    where = {"host": host, "port": int(port), "name": peer.target.server_name}
    (folder / "where.json").write_text(json.dumps(where), encoding="utf-8")
    (folder / "chain.pem").write_bytes(peer.chain)
    (folder / "key.pem").write_bytes(peer.key)
    (folder / "server.pem").write_bytes(peer.target.tls_certificate_pem)
    hello = hello_to_message(peer.hello())
    (folder / "hello.bin").write_bytes(hello.SerializeToString())
    for number, start in enumerate(range(0, len(letters), in_batch)):
        batch = batch_to_message(peer.parcels(*letters[start : start + in_batch]))
        request = messages.DeliverRequest(batch=batch)
        (folder / f"batch-{number:04}.bin").write_bytes(request.SerializeToString())


def prepare_offer(folder: Path, peer: BadPeer, letter: Letter) -> None:
    """Adds an offer and the places of its parts."""
    offer = messages.DeliverRequest(batch=batch_to_message([peer.offer(letter)]))
    (folder / "offer.bin").write_bytes(offer.SerializeToString())
    for index in range(1, len(letter.parts)):
        (folder / f"place-{index:02}.bin").write_bytes(place(letter, index).SerializeToString())


@dataclass
class AttackProcess:
    """An attack under way."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, attack: str, *, core: int | None = None) -> "AttackProcess":
        """Begins an attack, on one core if it is given; returns when it is under way."""
        command = [sys.executable, "-m", "tests.support.attacker", str(folder), attack]
        command += [] if core is None else [str(core)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        return cls(process)

    def end(self) -> tuple[int, dict[str, int]]:
        """Ends it; returns how much it did and what it was told how often."""
        try:
            output, _ = self.process.communicate(timeout=END_WAIT_S)
        finally:
            self.process.kill()
        assert self.process.returncode == 0
        result = json.loads(output)
        return result["done"], result["told"]


@dataclass
class Attacker:
    """What all attacks share."""

    folder: Path
    done: int = 0
    told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.where = json.loads(self.read("where.json"))
        self.batches = [path.read_bytes() for path in sorted(self.folder.glob("batch-*.bin"))]

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def hello(self) -> bytes:
        hello = messages.Hello.FromString(self.read("hello.bin"))
        return messages.DeliverRequest(hello=hello).SerializeToString()

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        credentials = grpc.ssl_channel_credentials(
            self.read("server.pem"), self.read("key.pem"), self.read("chain.pem")
        )
        options = [
            ("grpc.ssl_target_name_override", self.where["name"]),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 100),
        ]
        address = f"{self.where['host']}:{self.where['port']}"
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            yield channel

    def call(self, channel: grpc.aio.Channel, method: str) -> Any:
        return channel.stream_stream(f"{SERVICE}/{method}", None, None)()

    def note(self, error: grpc.RpcError) -> None:
        """Counts what the node said."""
        told = raise_for(error)
        self.told[told.reason] += 1

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.read("server.pem").decode())
        context.load_cert_chain(self.folder / "chain.pem", self.folder / "key.pem")
        context.set_alpn_protocols(["h2"])
        return context

    async def forever(
        self, *attacks: Callable[[], Awaitable[None]], again_s: float = AGAIN_S
    ) -> None:
        """Repeats attacks side by side, those that were refused after a while."""

        async def again(attack: Callable[[], Awaitable[None]]) -> None:
            while True:
                try:
                    await attack()
                except grpc.RpcError as error:
                    self.note(error)
                    await asyncio.sleep(again_s)
                except (OSError, asyncio.InvalidStateError, h2.exceptions.ProtocolError) as error:
                    self.told[type(error).__name__] += 1
                    await asyncio.sleep(again_s)

        await asyncio.gather(*(again(attack) for attack in attacks))

    async def busy(self) -> None:
        """No attack: only uses its core, as every attack here does."""
        while True:
            self.done += 1
            await asyncio.sleep(0)

    async def bursts(self) -> None:
        """No attack: uses its core now and then, as one does whose connections are not taken."""
        while True:
            self.done += 1
            end = time.monotonic() + BURST_S
            while time.monotonic() < end:
                pass
            await asyncio.sleep(AGAIN_S)

    async def flood(self) -> None:
        """Valid batches over many streams, faster than they are answered."""
        async with self.channel() as channel:

            async def stream() -> None:
                call = self.call(channel, "Deliver")
                await call.write(self.hello())
                await call.read()
                reading = asyncio.create_task(self._count_answers(call))
                try:
                    for number in range(1_000_000):
                        await call.write(self.batches[number % len(self.batches)])
                        self.done += 1
                        if reading.done():
                            break
                    await reading
                except asyncio.InvalidStateError:
                    await reading  # knows why the stream has ended
                finally:
                    reading.cancel()
                    call.cancel()

            await self.forever(*[stream] * FLOOD_STREAMS, again_s=FLOOD_AGAIN_S)

    async def _count_answers(self, call: Any) -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            for answer in messages.DeliverResponse.FromString(data).answers.answers:
                kind = answer.WhichOneof("kind")
                self.told[answer.try_later.reason if kind == "try_later" else kind] += 1

    async def hellos(self) -> None:
        """Hellos without end, each of which costs the node signatures and the database."""
        async with self.channel() as channel:
            request = messages.HelloRequest(
                hello=messages.Hello.FromString(self.read("hello.bin"))
            ).SerializeToString()

            async def greet() -> None:
                await channel.unary_unary(f"{SERVICE}/Hello", None, None)(request, timeout=60)
                self.done += 1

            await self.forever(*[greet] * STREAMS_AT_ONCE)

    async def hoard_streams(self) -> None:
        """Streams that are opened and held."""
        async with self.channel() as channel:

            async def hold() -> None:
                call = self.call(channel, "Deliver")
                await call.write(self.hello())
                self.done += await call.read() is not grpc.aio.EOF
                await call.read()
                raise grpc.aio.AioRpcError(
                    await call.code(), grpc.aio.Metadata(), await call.trailing_metadata()
                )

            await self.forever(*[hold] * STREAMS_AT_ONCE)

    async def drip(self) -> None:
        """Parts of which a byte comes now and then, over as many transfers as are let in."""
        async with self.channel() as channel:
            await self._offer(channel)
            chunk = messages.TransferRequest(chunk=b"x").SerializeToString()

            async def transfer(where: bytes) -> None:
                call = self.call(channel, "Transfer")
                await call.write(where)
                while True:
                    if await call.read() is grpc.aio.EOF:
                        raise grpc.aio.AioRpcError(
                            await call.code(), grpc.aio.Metadata(), await call.trailing_metadata()
                        )
                    await asyncio.sleep(AGAIN_S)
                    await call.write(chunk)
                    self.done += 1

            places = [path.read_bytes() for path in sorted(self.folder.glob("place-*.bin"))]
            await self.forever(*(functools.partial(transfer, place) for place in places))

    async def _offer(self, channel: grpc.aio.Channel) -> None:
        """Offers the document whose parts will drip, as soon as the node lets it in."""
        while True:
            deliver = self.call(channel, "Deliver")
            try:
                await deliver.write(self.hello())
                await deliver.read()
                await deliver.write(self.read("offer.bin"))
                await deliver.read()
            except grpc.RpcError as error:
                self.note(error)
                await asyncio.sleep(FLOOD_AGAIN_S)
            else:
                return

    async def connections(self) -> None:
        """TCP connections that say nothing or nonsense, opened as fast as the node closes them."""

        async def hold(first: bytes) -> None:
            reader, writer = await asyncio.open_connection(self.where["host"], self.where["port"])
            self.done += 1
            try:
                writer.write(first)
                await reader.read()
            finally:
                writer.close()

        async def silent() -> None:
            await hold(b"")

        async def nonsense() -> None:
            await hold(b"\x16\x03\x01" + os.urandom(200))

        await self.forever(*[silent] * (HELD - 16), *[nonsense] * 16)

    async def reset(self) -> None:
        """Rapid reset: calls that are opened and broken off in one breath."""
        await self.forever(self._reset_on_one_connection)

    async def _reset_on_one_connection(self) -> None:
        reader, writer = await asyncio.open_connection(
            self.where["host"],
            self.where["port"],
            ssl=self.tls(),
            server_hostname=self.where["name"],
        )
        http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        http.initiate_connection()
        reading = asyncio.create_task(self._read_frames(reader, http))
        try:
            while not reading.done():
                for _ in range(32):
                    self._open_and_break(http)
                writer.write(http.data_to_send())
                await writer.drain()
                await asyncio.sleep(0)  # draining alone lets nothing else run
            await reading
        finally:
            reading.cancel()
            writer.close()

    def _open_and_break(self, http: h2.connection.H2Connection) -> None:
        stream = http.get_next_available_stream_id()
        http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":path", f"{SERVICE}/Hello"),
                (":authority", self.where["name"]),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ],
        )
        http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.done += 1

    async def _read_frames(
        self, reader: asyncio.StreamReader, http: h2.connection.H2Connection
    ) -> None:
        while data := await reader.read(65_536):
            http.receive_data(data)
        self.told["CONNECTION_CUT"] += 1


async def main() -> None:
    """Attacks until nobody wants it any more."""
    if len(sys.argv) > 3:
        os.sched_setaffinity(0, {int(sys.argv[3])})
    attacker = Attacker(Path(sys.argv[1]))
    running = asyncio.create_task(getattr(attacker, sys.argv[2])())
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    while not (attacker.done or attacker.told or running.done()):  # noqa: ASYNC110 - plain counts
        await asyncio.sleep(0.01)
    print("begun", flush=True)
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    print(json.dumps({"done": attacker.done, "told": attacker.told}), flush=True)
    os._exit(0)  # gRPC would end hundreds of calls one by one


if __name__ == "__main__":
    asyncio.run(main())
