"""Calls the nodes of other agencies: exchange/v1 as a client.

A channel trusts the TLS certificates of its one agency and nobody else's; it is made anew when
the directory changes what it depends on. Parts go over a connection of their own, so that a large
one never delays a batch. Every wait has a deadline.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, PeerUnreachableError, RequestInvalidError
from edoccore.wire.status import raise_for_other
from edockit.grpc_client import peer_channel
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.exchange.v1 import exchange_service_pb2_grpc as services
from edocnode.domain.consistency import JournalProof
from edocnode.domain.exchange import Answer, Hello, Inquiry, Parcel, PartSource, Recovered
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import NumberAnswer, Range
from edocnode.domain.repair import PartName
from edocnode.rpc.consistency import ask_consistency
from edocnode.rpc.messages import (
    answers_from_message,
    batch_to_message,
    hello_from_message,
    hello_to_message,
    inquiries_to_message,
    numbers_from_message,
    part_name_to_message,
    question_to_message,
    recovered_from_message,
)
from edocnode.rpc.part_sending import PROGRESS_WAIT, Call, next_progress, send_from

HELLO_WAIT = timedelta(seconds=10)
STATUS_WAIT = timedelta(seconds=2)  # for the status of a call that has ended
WRITE_FAILED = "Internal error from Core"  # gRPC's own words
ASK_WAIT = timedelta(seconds=30)  # for an answer that the peer looks up
RECOVER_WAIT = timedelta(minutes=30)
REST_AFTER = timedelta(seconds=30)  # longer than gRPC keeps a connection without a call


@dataclass(frozen=True, slots=True)
class OwnTls:
    """What this node shows to peers, PEM."""

    chain: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """How an agency is reached, by the directory in force."""

    address: str
    server_name: str
    pins: tuple[bytes, ...]
    digests: tuple[str, ...]


class Links:
    """Links to all peers, each made when first needed."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        own: Callable[[], OwnTls],
        clock: Callable[[], datetime],
        connect: Callable[..., grpc.aio.Channel] = peer_channel,
    ) -> None:
        """Takes where routes and the own certificate come from.

        Args:
            connect: Makes a channel, as ``peer_channel`` does.
        """
        self._directory = directory
        self._own = own
        self._clock = clock
        self._connect = connect
        self._links: dict[str, Link] = {}

    def link(self, agency: str) -> "Link":
        """The link to an agency's node; see ``PeerLinks``."""
        route = self._route(agency)
        own = self._own()
        link = self._links.get(agency)
        if link is None or not link.fits(route, own):
            if link is not None:
                link.retire()
            link = self._links[agency] = Link(agency, route, own, self._connect)
        link.used_at = self._clock()
        return link

    def follow(self, directory: Directory) -> None:
        """Ends links to whoever may hold a certificate that was revoked, whatever travels there.

        A server's certificate is looked at in the handshake alone.
        """
        for agency, link in list(self._links.items()):
            if any(map(directory.revocations.find, link.digests)):
                del self._links[agency]
                link.retire()

    async def rest(self) -> None:
        """Forgets links that are lost or that nobody uses.

        Each has 25 KB, and a node that starts says hello to thousands of peers that may be down.
        """
        unused = self._clock() - REST_AFTER
        at_rest = [item for item in self._links.items() if item[1].is_at_rest(unused)]
        for agency, _ in at_rest:
            del self._links[agency]
        for _, link in at_rest:
            await link.close()

    async def close(self) -> None:
        """Ends all connections."""
        links, self._links = list(self._links.values()), {}
        for link in links:
            await link.close()

    def _route(self, agency: str) -> Route:
        directory, now = self._directory(), self._clock()
        endpoint = directory.endpoint(agency, now)
        usable = [] if endpoint is None else directory.usable_pins(endpoint, now)
        if endpoint is None or not usable:
            raise PeerUnreachableError(
                f"{agency} has published no usable endpoint; its node was not started yet.",
                agency=agency,
            )
        pins = tuple(ssl.DER_cert_to_PEM_cert(pin.certificate).encode() for pin in usable)
        digests = tuple(pin.sha256 for pin in usable)
        return Route(endpoint.addresses[0], endpoint.server_name, pins, digests)


class Link:
    """Two connections to one node: for calls and batches, and for parts.

    Attributes:
        used_at: When somebody last wanted it.
    """

    used_at: datetime

    def __init__(
        self, agency: str, route: Route, own: OwnTls, connect: Callable[..., grpc.aio.Channel]
    ) -> None:
        """Takes the route; connects when used."""
        self._agency = agency
        self._route = route
        self._own = own
        self._connect = connect
        self._for_calls = self._channel()
        self._for_parts: grpc.aio.Channel | None = None
        self._is_closed = False
        self._closing: set[asyncio.Task[None]] = set()
        self._is_lost = False

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the certificates that it trusts."""
        return self._route.digests

    def fits(self, route: Route, own: OwnTls) -> bool:
        """Whether the link still is what the directory says, and its connection was not lost.

        A channel whose connection failed waits before it connects again, and until then answers
        with the old failure; the next caller deserves an attempt of its own.
        """
        return route == self._route and own == self._own and not self._is_lost

    def is_at_rest(self, unused: datetime) -> bool:
        """Whether nobody has wanted it since a moment, or wants it again, and no call is under way.

        A call keeps its connection; one without a call is ended by gRPC.
        """
        return (self._is_lost or self.used_at <= unused) and not any(
            channel.get_state() is grpc.ChannelConnectivity.READY for channel in self._channels()
        )

    async def hello(self, mine: Hello) -> Hello:
        """Exchanges hellos; see ``PeerLink``."""
        stub = services.ExchangeServiceStub(self._calls)
        request = messages.HelloRequest(hello=hello_to_message(mine))
        try:
            with _replaced():
                response = await stub.Hello(request, timeout=HELLO_WAIT.total_seconds())
        except grpc.RpcError as error:
            raise self._told(error) from error
        return hello_from_message(response.hello)

    async def deliver(self, mine: Hello) -> "Stream":
        """Opens a stream of parcels; see ``PeerLink``."""
        call = services.ExchangeServiceStub(self._calls).Deliver()
        stream = Stream(call, self._told)
        await stream.open(mine)
        return stream

    async def transfer(
        self, message_id: MessageId, index: int, *, offset: int, source: PartSource, epoch: bytes
    ) -> None:
        """Carries one part; see ``PeerLink``."""
        call = services.ExchangeServiceStub(self._parts).Transfer()
        place = messages.PartPlace(message_id=message_id, index=index, offset=offset, epoch=epoch)
        try:
            with _replaced():
                async with asyncio.timeout(HELLO_WAIT.total_seconds()):
                    await call.write(messages.TransferRequest(place=place))
                    start = await next_progress(call)
                await send_from(call, source, start.offset)
        except grpc.RpcError as error:
            raise self._told(await _peers_word(call, error)) from error
        except (TimeoutError, asyncio.InvalidStateError) as error:
            raise PeerUnreachableError(
                f"The node of {self._agency} stopped taking a part.", agency=self._agency
            ) from error
        finally:
            call.cancel()

    async def recover(self) -> AsyncIterator[Recovered]:
        """What the peer holds of this node's lost tail; see ``PeerLink``."""
        stub = services.ExchangeServiceStub(self._calls)
        request = messages.RecoverRequest()
        calls = stub.Recover(request, timeout=RECOVER_WAIT.total_seconds())
        try:
            while True:
                with _replaced():
                    item = await calls.read()
                if not isinstance(item, messages.RecoverResponse):
                    return
                yield recovered_from_message(item)
        except grpc.RpcError as error:
            raise self._told(error) from error

    async def recovered(self) -> None:
        """Says that what was given back is on disk here; see ``PeerLink``."""
        stub = services.ExchangeServiceStub(self._calls)
        request = messages.RecoverRequest(complete=True)
        try:
            with _replaced():
                async for _ in stub.Recover(request, timeout=HELLO_WAIT.total_seconds()):
                    pass
        except grpc.RpcError as error:
            raise self._told(error) from error

    async def reconcile(self, epoch: bytes, ranges: Sequence[Range]) -> Sequence[NumberAnswer]:
        """Asks what became of numbers that never arrived; see ``PeerLink``."""
        stub = services.ExchangeServiceStub(self._calls)
        request = question_to_message(epoch, ranges)
        try:
            with _replaced():
                response = await stub.Reconcile(request, timeout=ASK_WAIT.total_seconds())
        except grpc.RpcError as error:
            raise self._told(error) from error
        return numbers_from_message(response)

    async def inquire(self, inquiries: Sequence[Inquiry]) -> Sequence[Answer]:
        """Asks about messages that the peer never answered; see ``PeerLink``."""
        stub = services.ExchangeServiceStub(self._calls)
        call = stub.Inquire(inquiries_to_message(inquiries), timeout=ASK_WAIT.total_seconds())
        found: list[Answer] = []
        try:
            with _replaced():
                async for response in call:
                    found += answers_from_message(response.answers)
        except grpc.RpcError as error:
            raise self._told(error) from error
        return found

    async def consistency(self, epoch: bytes, first: int, second: int) -> JournalProof:
        """Asks for a proof about the peer's journal; see ``PeerLink``."""
        wait_s = ASK_WAIT.total_seconds()
        try:
            with _replaced():
                return await ask_consistency(self._calls, epoch, first, second, timeout_s=wait_s)
        except grpc.RpcError as error:
            raise self._told(error) from error

    async def fetch(self, name: PartName, offset: int) -> AsyncIterator[bytes]:
        """The bytes of a part that the peer has had; see ``PeerLink``."""
        call = services.ExchangeServiceStub(self._parts).Fetch(part_name_to_message(name, offset))
        try:
            while True:
                with _replaced():
                    async with asyncio.timeout(PROGRESS_WAIT.total_seconds()):
                        answer = await call.read()
                if not isinstance(answer, messages.FetchResponse):
                    return
                yield answer.chunk
        except grpc.RpcError as error:
            raise self._told(error) from error
        except TimeoutError:
            raise PeerUnreachableError(
                f"The node of {self._agency} stopped giving a part back.", agency=self._agency
            ) from None
        finally:
            call.cancel()

    def retire(self) -> None:
        """Ends the connections in the background; another link has taken over."""
        task = asyncio.create_task(self.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends the connections."""
        self._is_closed = True
        for channel in self._channels():
            await channel.close()

    @property
    def _calls(self) -> grpc.aio.Channel:
        self._check_open()
        return self._for_calls

    @property
    def _parts(self) -> grpc.aio.Channel:
        """Made when needed; most peers get no part for years."""
        self._check_open()
        if self._for_parts is None:
            self._for_parts = self._channel()
        return self._for_parts

    def _check_open(self) -> None:
        """Refuses what a closed channel would answer with an error that is none of the protocol.

        Raises:
            PeerUnreachableError: The link was replaced or forgotten while somebody held it.
        """
        if self._is_closed:
            raise PeerUnreachableError(
                f"The connection to the node of {self._agency} was replaced by a newer one.",
                agency=self._agency,
            )

    def _channels(self) -> list[grpc.aio.Channel]:
        return [self._for_calls, *([] if self._for_parts is None else [self._for_parts])]

    def _channel(self) -> grpc.aio.Channel:
        return self._connect(
            self._route.address,
            own_chain=self._own.chain,
            own_key=self._own.key,
            pins=self._route.pins,
            server_name=self._route.server_name,
        )

    def _told(self, error: grpc.RpcError) -> EdocError:
        told = raise_for_other(error)
        if isinstance(told, PeerUnreachableError):
            self._is_lost = True
            cause = told.fields.get("cause", "")
            return PeerUnreachableError(
                f"The node of {self._agency} at {self._route.address} does not answer: {cause}",
                agency=self._agency,
            )
        return told


class Stream:
    """A stream of parcels; see ``DeliveryStream``."""

    def __init__(self, call: Call, told: Callable[[grpc.RpcError], EdocError]) -> None:
        """Takes the call, not yet begun."""
        self._call = call
        self._told = told
        self._hello: Hello | None = None

    @property
    def hello(self) -> Hello:
        """The peer's hello on this stream."""
        if self._hello is None:
            raise ValueError("the stream is not open")
        return self._hello

    async def open(self, mine: Hello) -> None:
        """Exchanges hellos.

        Raises:
            EdocError: No answer, or not a hello.
        """
        try:
            with _replaced():
                async with asyncio.timeout(HELLO_WAIT.total_seconds()):
                    await self._call.write(messages.DeliverRequest(hello=hello_to_message(mine)))
                    first = await self._call.read()
        except TimeoutError:
            self._call.cancel()
            raise PeerUnreachableError("The peer did not answer the hello in time.") from None
        except grpc.RpcError as error:
            raise self._told(error) from error
        if isinstance(first, messages.DeliverResponse) and first.HasField("hello"):
            self._hello = hello_from_message(first.hello)
            return
        self._call.cancel()
        raise PeerUnreachableError("The peer ended the stream instead of saying hello.")

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Writes a batch."""
        message = batch_to_message(parcels)
        try:
            with _replaced():
                await self._call.write(messages.DeliverRequest(batch=message))
        except grpc.RpcError as error:
            raise self._told(await _peers_word(self._call, error)) from error
        except asyncio.InvalidStateError as error:
            raise PeerUnreachableError("The peer ended the stream.") from error

    async def answers(self) -> AsyncIterator[Sequence[Answer]]:
        """Answers as they come."""
        try:
            while isinstance(response := await self._next(), messages.DeliverResponse):
                if response.WhichOneof("kind") != "answers":
                    raise RequestInvalidError("The peer said hello twice; update its node.")
                yield answers_from_message(response.answers)
        except grpc.RpcError as error:
            raise self._told(await _peers_word(self._call, error)) from error

    async def close(self) -> None:
        """Ends the stream."""
        self._call.cancel()

    async def _next(self) -> object:
        with _replaced():
            return await self._call.read()


@contextlib.contextmanager
def _replaced() -> Iterator[None]:
    """Tells a call that ended with its channel from a task that was cancelled.

    gRPC raises CancelledError for both; the first would end a worker that nobody asked to end.

    Raises:
        PeerUnreachableError: The link was retired while the call was under way.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise PeerUnreachableError("The connection was replaced by a newer one.") from None


async def _peers_word(call: Call, error: grpc.RpcError) -> grpc.RpcError:
    """The error with which the peer ended a call.

    A write that fails makes gRPC tell of an error of its own, until the peer's status has arrived.
    """
    deadline = asyncio.get_running_loop().time() + STATUS_WAIT.total_seconds()
    while await call.details() == WRITE_FAILED:
        if asyncio.get_running_loop().time() > deadline:
            return _unavailable("the connection broke")
        await asyncio.sleep(STATUS_WAIT.total_seconds() / 100)
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return error
    return grpc.aio.AioRpcError(
        code,
        await call.initial_metadata(),
        await call.trailing_metadata(),
        details=await call.details(),
    )


def _unavailable(details: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details=details)
