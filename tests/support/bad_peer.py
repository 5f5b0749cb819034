"""A peer that speaks exchange/v1 with real keys and says whatever a test wants.

It opens hellos, streams and transfers directly over gRPC, seals anything with any key of the
nation, and sends any bytes. What a node must answer is the test's business.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import grpc
import msgspec
from cryptography import x509
from msgspec import UNSET, UnsetType

from edoccore.errors import EdocError
from edoccore.identity.keys import Signer, SoftwareSigner
from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, Office
from edoccore.signing.seal import SealedStatement, SignedSeal, draft
from edoccore.signing.statements import (
    DOCUMENT_MEDIA_TYPE,
    RECORD_NAME,
    Envelope,
    EpochOpening,
    Head,
    Operation,
    Part,
    Urgency,
    time_text,
    uuid_bytes,
)
from edoccore.wire.status import raise_for
from edockit import tls13  # noqa: F401 - sets the environment gRPC reads
from edockit.certificates import certificate_pem, key_pem
from edockit.grpc_peer import CallInterceptor
from edockit.grpc_server import bind
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.exchange.v1 import exchange_service_pb2_grpc as services
from edocnode.domain.delivery import PartWanted
from edocnode.domain.exchange import Answer, Hello, Need, Parcel, Recovered
from edocnode.domain.model import MessageId
from edocnode.rpc.messages import (
    answers_from_message,
    answers_to_messages,
    batch_from_message,
    batch_to_message,
    hello_from_message,
    hello_to_message,
    recovered_from_message,
)
from edocnode.rpc.peers import WRITE_FAILED
from tests.support.nation import NO_MARK, Agency, Nation, new_uuid7

SERVICE = "/edocnet.exchange.v1.ExchangeService"
CONTENT = "Quyết định số 28".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An envelope and the bytes of its parts, the record first."""

    envelope: Envelope
    parts: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """The envelope's canonical bytes."""
        return canonical.encode(self.envelope)

    @property
    def joined(self) -> bytes:
        """All parts one after another."""
        return b"".join(self.parts)

    @property
    def message_id(self) -> str:
        """Its id."""
        return self.envelope.message_id


class Ended(Exception):  # noqa: N818 - not a fault: what a test waits for
    """The node ended a call.

    Attributes:
        error: What it said.
        code: gRPC status.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        self.error: EdocError = raise_for(error)
        self.code: grpc.StatusCode = error.code()
        super().__init__(f"{self.code.name}: {self.error.reason}: {self.error.message}")

    @property
    def reason(self) -> str:
        """Reason of the table."""
        return self.error.reason


@dataclass
class BadPeer:
    """One agency of the nation, without a node.

    Attributes:
        target: The agency whose node is called.
        address: Where that node listens.
        chain: Certificate shown in TLS, PEM; the agency's own by default. ``key`` is its key.
    """

    nation: Nation
    agency: Agency
    target: Agency
    address: str
    chain: bytes = b""
    key: bytes = b""
    seq: int = 0
    opening: SealedStatement = field(init=False)

    def __post_init__(self) -> None:
        self.chain = self.chain or self.agency.tls_certificate_pem
        self.key = self.key or self.agency.tls_key_pem
        self.open_epoch()

    def open_epoch(
        self, *, at: datetime | None = None, previous: Head | UnsetType = UNSET
    ) -> SealedStatement:
        """Opens a new epoch; hellos show it from now on."""
        moment = at or now()
        self.agency.epoch, self.agency.index = new_uuid7(moment), 0
        statement = EpochOpening(
            network=self.nation.network,
            agency=self.agency.code,
            epoch=self.agency.epoch,
            previous=previous,
            reason="start",
        )
        self.opening = self.seal(canonical.encode(statement), time=moment)[0]
        return self.opening

    def with_tls_of_seal(self) -> None:
        """Shows the seal certificate in TLS from now on."""
        self.chain = certificate_pem(self.agency.seal_certificate)
        self.key = key_pem(self.agency.seal_key)

    def letter(
        self,
        *contents: bytes,
        names: Sequence[str] = (),
        record: bytes | None = None,
        size_stated: int | None = None,
        **changes: object,
    ) -> Letter:
        """Writes a letter; every field of its envelope can be bent.

        Args:
            size_stated: What the envelope says of the size of every part but the record.
        """
        moment = now()
        contents = contents or (CONTENT,)
        document_id = str(changes.get("document_id", new_uuid7(moment)))
        if record is None:
            record = self.record(document_id)
        datas = (record, *contents)
        named = (RECORD_NAME, *(names or [f"{i}.pdf" for i in range(1, len(datas))]))
        self.seq += 1
        values: dict[str, Any] = {
            "network": self.nation.network,
            "message_id": new_uuid7(moment),
            "document_id": document_id,
            "from_": self.agency.code,
            "to": self.target.code,
            "to_node": self.target.code,
            "epoch": self.agency.epoch,
            "seq": self.seq,
            "created": time_text(moment),
            "expires": time_text(moment + timedelta(days=30)),
            "urgency": Urgency.NORMAL,
            "operation": Operation.NEW,
            "parts": tuple(
                part(index, name, data, **_stated(size_stated if index else None))
                for index, (name, data) in enumerate(zip(named, datas, strict=True))
            ),
        }
        return Letter(envelope=Envelope(**(values | changes)), parts=datas)

    def record(self, document_id: str) -> bytes:
        """The record of a document of this agency."""
        return canonical.encode(
            DocumentRecord(
                network=self.nation.network,
                document_id=document_id,
                issuer=Office(code=self.agency.code),
                subject="Về việc kết nối trục liên thông văn bản",
            )
        )

    def seal(
        self,
        *statements: bytes,
        signer: Signer | None = None,
        time: datetime | None = None,
        **place: object,
    ) -> list[SealedStatement]:
        """Seals anything, together; ``place`` bends the seal (network, signer, index, ...)."""
        where = replace(self.agency.place(directory=NO_MARK), **place)  # type: ignore[arg-type]
        made = draft(where, statements, [], time=time or now())
        self.agency.index += 1
        signed = SignedSeal(made.data, (signer or self.agency.signer).sign(made.data))
        return [
            SealedStatement(statement, leaf, tuple(proof), signed)
            for leaf, (statement, proof) in enumerate(
                zip(statements, made.statement_proofs, strict=True)
            )
        ]

    def seal_with_tls_key(self, *statements: bytes) -> list[SealedStatement]:
        """Seals with the TLS key, naming the TLS certificate."""
        certificate = x509.load_der_x509_certificate(self.agency.tls_certificate)
        return self.seal(
            *statements,
            signer=SoftwareSigner(self.agency.tls_key, certificate),
            certificates=(self.agency.tls_sha256,),
        )

    def parcels(self, *letters: Letter) -> list[Parcel]:
        """Letters under one seal, with their parts."""
        sealed = self.seal(*(letter.data for letter in letters))
        return [
            Parcel(envelope=item, parts=letter.joined, offer=False)
            for item, letter in zip(sealed, letters, strict=True)
        ]

    def parcel(self, letter: Letter, *, parts: bytes | None = None) -> Parcel:
        """One letter under its own seal; the bytes of its parts may be others."""
        made = self.parcels(letter)[0]
        return made if parts is None else msgspec.structs.replace(made, parts=parts)

    def offer(self, letter: Letter) -> Parcel:
        """One letter without its parts."""
        return msgspec.structs.replace(self.parcels(letter)[0], parts=b"", offer=True)

    def hello(self, **changes: object) -> Hello:
        """What it says of itself."""
        values: dict[str, Any] = {
            "agency": self.agency.code,
            "opening": self.opening,
            "known": None,
            "known_opening": None,
            "directory": NO_MARK,
            "time": now(),
            "tail_lost": False,
            "earlier": (),
            "settled": (),
        }
        return Hello(**(values | changes))

    @contextlib.asynccontextmanager
    async def connect(self, *options: tuple[str, Any]) -> AsyncIterator["Connection"]:
        """A TLS connection to the node, bounded by nothing on this side."""
        credentials = grpc.ssl_channel_credentials(
            self.target.tls_certificate_pem, self.key, self.chain
        )
        given = (
            ("grpc.ssl_target_name_override", self.target.server_name),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            *options,
        )
        async with grpc.aio.secure_channel(self.address, credentials, options=given) as channel:
            yield Connection(self, channel)

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncIterator["Stream"]:
        """A stream on a connection of its own, hellos exchanged."""
        async with self.connect() as connection, connection.stream() as stream:
            yield stream


@dataclass
class Connection:
    """A connection that carries any bytes."""

    peer: BadPeer
    channel: grpc.aio.Channel

    def call(self, method: str, **options: Any) -> Any:
        """Begins a call of two streams."""
        response = getattr(messages, f"{method}Response")
        multi = self.channel.stream_stream(
            f"{SERVICE}/{method}",
            request_serializer=_bytes,
            response_deserializer=response.FromString,
        )
        return multi(**options)

    async def say_hello(self, **changes: object) -> Hello:
        """Exchanges hellos by the call of that name.

        Raises:
            Ended: The node refused.
        """
        multi = self.channel.unary_unary(
            f"{SERVICE}/Hello",
            request_serializer=_bytes,
            response_deserializer=messages.HelloResponse.FromString,
        )
        request = messages.HelloRequest(hello=hello_to_message(self.peer.hello(**changes)))
        try:
            return hello_from_message((await multi(request, timeout=60)).hello)
        except grpc.RpcError as error:
            raise Ended(error) from error

    async def recover(self) -> list[Recovered]:
        """What the node gives back.

        Raises:
            Ended: The node refused.
        """
        multi = self.channel.unary_stream(
            f"{SERVICE}/Recover",
            request_serializer=_bytes,
            response_deserializer=messages.RecoverResponse.FromString,
        )
        try:
            given = multi(messages.RecoverRequest(), timeout=60)
            return [recovered_from_message(item) async for item in given]
        except grpc.RpcError as error:
            raise Ended(error) from error

    @contextlib.asynccontextmanager
    async def stream(self, **changes: object) -> AsyncIterator["Stream"]:
        """A stream; its hello can be bent.

        Raises:
            Ended: The node refused the hello.
        """
        stream = Stream(self.call("Deliver"))
        try:
            await stream.write(
                messages.DeliverRequest(hello=hello_to_message(self.peer.hello(**changes)))
            )
            stream.hello = hello_from_message((await stream.read()).hello)
            yield stream
        finally:
            stream.call.cancel()

    async def transfer(
        self, letter: Letter, index: int, *chunks: bytes, epoch: bytes | None = None
    ) -> int:
        """Sends the bytes of a part, whatever they are; returns the bytes that are on disk.

        Args:
            epoch: From which it says it speaks; None: the newest.

        Raises:
            Ended: The node refused.
        """
        stream = Stream(self.call("Transfer"))
        try:
            spoken = uuid_bytes(self.peer.agency.epoch) if epoch is None else epoch
            await stream.write(place(letter, index, epoch=spoken))
            await stream.read()
            for chunk in chunks:
                await stream.write(messages.TransferRequest(chunk=chunk))
            await stream.call.done_writing()
            while True:
                progress = await stream.read()
                if progress.complete:
                    return int(progress.offset)
        finally:
            stream.call.cancel()


class Stream:
    """A call of two streams; it is read all the time, or gRPC would hide how it ended."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.hello: Hello | None = None
        self._came: asyncio.Queue[Any] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read_all())

    async def write(self, message: object) -> None:
        """Writes a message, or bytes in place of one.

        Raises:
            Ended: The node has ended the stream.
        """
        try:
            await self.call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise await self._reading from error

    async def read(self) -> Any:
        """Reads a message.

        Raises:
            Ended: The node has ended the stream.
        """
        message = await self._came.get()
        if isinstance(message, Ended):
            self._came.put_nowait(message)
            raise message
        return message

    async def refused(self, *written: object) -> "Ended":
        """Writes messages and reads until the node ends the stream for them."""
        with contextlib.suppress(Ended):
            for message in written:
                await self.write(message)
        return await self._reading

    async def _read_all(self) -> "Ended":
        with contextlib.suppress(grpc.RpcError):
            while (message := await self.call.read()) is not grpc.aio.EOF:
                self._came.put_nowait(message)
        for _ in range(100):
            if await self.call.details() != WRITE_FAILED:
                break
            await asyncio.sleep(0.01)  # until the node's status has arrived
        status = grpc.aio.AioRpcError(
            await self.call.code(),
            await self.call.initial_metadata(),
            await self.call.trailing_metadata(),
            details=await self.call.details(),
        )
        ended = Ended(status)
        self._came.put_nowait(ended)
        return ended

    async def exchange(self, *parcels: Parcel) -> list[Answer]:
        """Sends parcels in one batch and returns their answers in the same order."""
        await self.write(messages.DeliverRequest(batch=batch_to_message(parcels)))
        wanted = [sha256(parcel.envelope.statement).digest() for parcel in parcels]
        return await self.answers(wanted)

    async def answers(self, wanted: Sequence[bytes]) -> list[Answer]:
        """Reads until every digest is answered."""
        found: dict[bytes, list[Answer]] = {digest: [] for digest in wanted}
        missing = len(wanted)
        while missing:
            for answer in answers_from_message((await self.read()).answers):
                found[answer.envelope_digest].append(answer)
                missing -= 1
        return [found[digest].pop(0) for digest in wanted]


def part(index: int, name: str, data: bytes, **changes: object) -> Part:
    """States a part."""
    values: dict[str, Any] = {
        "index": index,
        "name": name,
        "media_type": "application/pdf" if index else DOCUMENT_MEDIA_TYPE,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }
    return Part(**(values | changes))


def _stated(size: int | None) -> dict[str, object]:
    return {} if size is None else {"size": size}


def place(
    letter: Letter, index: int, *, offset: int = 0, epoch: bytes = b""
) -> messages.TransferRequest:
    """The first message of a transfer."""
    message_id = bytes.fromhex(letter.message_id.replace("-", ""))
    where = messages.PartPlace(message_id=message_id, index=index, offset=offset, epoch=epoch)
    return messages.TransferRequest(place=where)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def _bytes(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


class BadRecipient(services.ExchangeServiceServicer):
    """A node that asks for every part and then answers transfers as a test wants.

    Attributes:
        transfer_error: Ends each transfer after its last byte; None: the part is taken.
        transfer_epochs: From which the node said it spoke.
    """

    def __init__(self, nation: Nation, agency: Agency, port: int) -> None:
        self.peer = BadPeer(nation, agency, agency, f"127.0.0.1:{port}")
        self.transfer_error: type[EdocError] | None = None
        self.transfers = 0
        self.transfer_epochs: list[bytes] = []

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listens for a block."""
        server = grpc.aio.server(interceptors=[CallInterceptor()])
        services.add_ExchangeServiceServicer_to_server(self, server)
        material = TlsMaterial(chain=self.peer.chain, key=self.peer.key)
        provider = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
        bind(server, self.peer.address, provider)
        await server.start()
        try:
            yield
        finally:
            await server.stop(0)

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[messages.DeliverRequest], context: object
    ) -> AsyncIterator[messages.DeliverResponse]:
        """Says hello, then needs all parts of everything."""
        async for request in request_iterator:
            if request.WhichOneof("kind") == "hello":
                yield messages.DeliverResponse(hello=hello_to_message(self.peer.hello()))
                continue
            answers = [
                answer
                for parcel in batch_from_message(request.batch)
                for answer in self._needs(parcel)
            ]
            for message in answers_to_messages(answers):
                yield messages.DeliverResponse(answers=message)

    async def Transfer(  # noqa: N802
        self, request_iterator: AsyncIterator[messages.TransferRequest], context: object
    ) -> AsyncIterator[messages.TransferResponse]:
        """Takes the bytes of a part, or says that they are wrong."""
        self.transfers += 1
        size = 0
        async for request in request_iterator:
            if request.WhichOneof("kind") == "place":
                self.transfer_epochs.append(request.place.epoch)
                yield messages.TransferResponse(offset=0)
            size += len(request.chunk)
        if self.transfer_error is not None:
            raise self.transfer_error
        yield messages.TransferResponse(offset=size, complete=True)

    def _needs(self, parcel: Parcel) -> list[Need]:
        envelope = canonical.decode(parcel.envelope.statement, Envelope)
        return [
            Need(
                message_id=MessageId(uuid_bytes(envelope.message_id)),
                envelope_digest=sha256(parcel.envelope.statement).digest(),
                parts=tuple(PartWanted(index=item.index, offset=0) for item in envelope.parts),
            )
        ]
