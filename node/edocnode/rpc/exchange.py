"""Answers the nodes of other agencies: exchange/v1 over the receiving desk.

Only translates and keeps the pace: the interceptor has checked the caller and checks it again for
each message; what a parcel deserves is decided elsewhere.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import grpc

from edoccore.errors import (
    HelloMissingError,
    LimitExceededError,
    PeerUnreachableError,
    RequestInvalidError,
)
from edockit.grpc_peer import check_peer_again, peer_identity
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.exchange.v1 import exchange_service_pb2_grpc as services
from edocnode.domain.exchange import ReceivingService, Session
from edocnode.rpc.messages import (
    answers_to_messages,
    batch_from_message,
    epoch_from,
    hello_from_message,
    hello_to_message,
    inquiries_from,
    message_id_from,
    numbers_to_message,
    part_name_from,
    ranges_from,
    recovered_to_message,
)
from edocnode.rpc.transfers import CHUNKS_OF_AGENCY, Intake

BATCHES_AT_ONCE = 4  # of one stream; more wait, which slows the sender down
BATCHES_OF_AGENCY = 8  # of all its streams; refusing more would cost this node as much
HELLO_WAIT = timedelta(seconds=10)  # for the first message of a stream
READ_WAIT = timedelta(seconds=60)  # for the caller to take an answer
STEP_BYTES = 64 * 1024  # of a part, that must come each time patience begins anew

Request = TypeVar("Request")
DeliverContext = grpc.aio.ServicerContext[messages.DeliverRequest, messages.DeliverResponse]
TransferContext = grpc.aio.ServicerContext[messages.TransferRequest, messages.TransferResponse]


class ExchangeServicer(services.ExchangeServiceServicer):
    """exchange/v1 of this node."""

    def __init__(self, service: ReceivingService, patience: timedelta) -> None:
        """Takes what decides.

        Args:
            patience: A stream on which nothing comes is ended after it, and a part of which less
                than 64 KiB come.
        """
        self._service = service
        self._patience = patience
        self._stopping = _Stopping()
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._chunks_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def drain(self) -> None:
        """Ends streams once the batches under way are answered; called before the server stops."""
        self._stopping.set()

    async def Hello(
        self,
        request: messages.HelloRequest,
        context: grpc.aio.ServicerContext[messages.HelloRequest, messages.HelloResponse],
    ) -> messages.HelloResponse:
        """Exchanges hellos."""
        agency = peer_identity(str)
        session = await self._service.open_session(agency, hello_from_message(request.hello))
        return messages.HelloResponse(hello=hello_to_message(session.hello))

    async def Deliver(  # type: ignore[override]  # grpc.aio also runs coroutines that write
        self, request_iterator: AsyncIterator[messages.DeliverRequest], context: DeliverContext
    ) -> None:
        """Answers batches as they come; several of one stream are worked on at once."""
        agency = peer_identity(str)
        reader = _Reader(request_iterator, self._stopping)
        first = await reader.next(min(self._patience, HELLO_WAIT))
        if first is None or first.WhichOneof("kind") != "hello":
            raise HelloMissingError
        session = await self._service.open_session(agency, hello_from_message(first.hello))
        await _write(context, messages.DeliverResponse(hello=hello_to_message(session.hello)))
        session.check()
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read(reader, session, context, tasks)
        except ExceptionGroup as group:
            raise _first(group) from group

    async def Transfer(  # type: ignore[override]  # as Deliver
        self, request_iterator: AsyncIterator[messages.TransferRequest], context: TransferContext
    ) -> None:
        """Takes the bytes of one part; says what of them is on disk."""
        agency = peer_identity(str)
        reader = _Reader(request_iterator, self._stopping)
        first = await reader.next(min(self._patience, HELLO_WAIT))
        if first is None or first.WhichOneof("kind") != "place":
            raise RequestInvalidError("A transfer begins with the place of its part.")
        message_id, epoch = message_id_from(first.place.message_id), epoch_from(first.place.epoch)
        incoming = await self._service.receive_part(
            agency, message_id, first.place.index, epoch=epoch
        )

        async def say() -> None:
            await _write(context, messages.TransferResponse(offset=incoming.offset))

        places = asyncio.Semaphore(CHUNKS_OF_AGENCY)
        try:
            await say()
            await Intake(incoming, self._chunks_of.setdefault(agency, places), say).run(
                self._chunks(reader), lambda: self._service.check_epoch(agency, epoch)
            )
            self._service.check_epoch(agency, epoch)
            if not incoming.complete:
                await incoming.finish()
            await _write(context, messages.TransferResponse(offset=incoming.offset, complete=True))
        except ExceptionGroup as group:
            raise _first(group) from group
        finally:
            await incoming.close()

    async def Recover(
        self,
        request: messages.RecoverRequest,
        context: grpc.aio.ServicerContext[messages.RecoverRequest, messages.RecoverResponse],
    ) -> AsyncIterator[messages.RecoverResponse]:
        """Gives back what the caller lost, until it says that it has it on its disk."""
        agency = peer_identity(str)
        if request.complete:
            await self._service.gave_back(agency)
            return
        for item in await self._service.lost_by(agency):
            yield recovered_to_message(item)

    async def Fetch(  # type: ignore[override]  # as Deliver
        self,
        request: messages.FetchRequest,
        context: grpc.aio.ServicerContext[messages.FetchRequest, messages.FetchResponse],
    ) -> None:
        """Gives back the bytes of a part that the caller has had."""
        agency = peer_identity(str)
        source = await self._service.part_for(agency, part_name_from(request))
        async with contextlib.aclosing(source.chunks(request.offset)) as chunks:
            async for chunk in chunks:
                await _write(context, messages.FetchResponse(chunk=chunk))

    async def Reconcile(
        self,
        request: messages.ReconcileRequest,
        context: grpc.aio.ServicerContext[messages.ReconcileRequest, messages.ReconcileResponse],
    ) -> messages.ReconcileResponse:
        """Says what became of numbers that never arrived at the caller."""
        agency = peer_identity(str)
        ranges = ranges_from(request)
        return numbers_to_message(await self._service.answer_numbers(agency, request.epoch, ranges))

    async def Inquire(  # type: ignore[override]  # as Deliver
        self,
        request: messages.InquireRequest,
        context: grpc.aio.ServicerContext[messages.InquireRequest, messages.InquireResponse],
    ) -> None:
        """Answers messages of the caller that are held here."""
        agency = peer_identity(str)
        answers = await self._service.answer_inquiries(agency, inquiries_from(request))
        for message in answers_to_messages(answers):
            await _write(context, messages.InquireResponse(answers=message))

    async def _read(
        self,
        reader: "_Reader[messages.DeliverRequest]",
        session: Session,
        context: DeliverContext,
        tasks: asyncio.TaskGroup,
    ) -> None:
        all_places = asyncio.Semaphore(BATCHES_OF_AGENCY)
        all_places = self._places.setdefault(session.agency, all_places)
        places = asyncio.Semaphore(BATCHES_AT_ONCE)
        writing = asyncio.Lock()
        while (request := await reader.next(self._patience)) is not None:
            session.check()
            if request.WhichOneof("kind") != "batch":
                raise RequestInvalidError("A stream has one hello, then only batches.")
            await places.acquire()
            await all_places.acquire()
            task = tasks.create_task(self._work(request.batch, session, context, writing))
            for taken in (places, all_places):
                task.add_done_callback(functools.partial(_release, taken))

    async def _chunks(self, reader: "_Reader[messages.TransferRequest]") -> AsyncIterator[bytes]:
        """Reads chunks to the end; whoever sends them byte by byte is cut off.

        Raises:
            PeerUnreachableError: This node stops; the transfer goes on when it is back.
        """
        came, left = 0, self._patience
        while (request := await reader.next(left)) is not None:
            if request.WhichOneof("kind") != "chunk":
                raise RequestInvalidError("A transfer has one place, then only chunks.")
            came, left = came + len(request.chunk), left - reader.waited
            if came >= STEP_BYTES:
                came, left = 0, self._patience
            yield request.chunk
        if self._stopping.is_set():
            raise PeerUnreachableError("This node is stopping; the part goes on when it is back.")

    async def _work(
        self,
        batch: messages.Batch,
        session: Session,
        context: DeliverContext,
        writing: asyncio.Lock,
    ) -> None:
        answers = await self._service.answer(session.agency, batch_from_message(batch))
        session.check()
        async with writing:
            for message in answers_to_messages(answers):
                await _write(context, messages.DeliverResponse(answers=message))


def _release(places: asyncio.Semaphore, _ended: asyncio.Task[None]) -> None:
    places.release()


async def _write(context: grpc.aio.ServicerContext[Any, Any], message: object) -> None:
    """Writes a message, if the caller is still trusted.

    Raises:
        PeerNotTrustedError: It is not; see ``edockit.grpc_peer``.
        PeerUnreachableError: The caller has gone, or does not read; it asks for it again.
    """
    check_peer_again()
    try:
        async with asyncio.timeout(READ_WAIT.total_seconds()):
            await context.write(message)
    except grpc.aio.InternalError as error:
        raise PeerUnreachableError("The caller ended the stream.") from error
    except TimeoutError:
        raise PeerUnreachableError("The caller does not read its answers.") from None


class _Stopping:
    """Whether this node stops, which ends every wait for a message at once."""

    def __init__(self) -> None:
        self._waits: dict[asyncio.Timeout, None] = {}
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        now = asyncio.get_running_loop().time()
        for wait in list(self._waits):
            wait.reschedule(now)

    @contextlib.contextmanager
    def ending(self, wait: asyncio.Timeout) -> Iterator[None]:
        """Ends a wait when this node stops."""
        self._waits[wait] = None
        try:
            yield
        finally:
            del self._waits[wait]


class _Reader(Generic[Request]):
    """The messages of one stream, until it ends, falls silent or this node stops."""

    def __init__(self, requests: AsyncIterator[Request], stopping: _Stopping) -> None:
        self._requests = requests
        self._stopping = stopping
        self.waited = timedelta()  # for the last message

    async def next(self, within: timedelta) -> Request | None:
        """The next message; None at the end.

        Raises:
            LimitExceededError: Nothing came in time.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            seconds = 0 if self._stopping.is_set() else max(within.total_seconds(), 0)
            async with asyncio.timeout(seconds) as wait:
                with self._stopping.ending(wait):
                    return await anext(self._requests, None)
        except TimeoutError:
            if self._stopping.is_set():
                return None
            raise LimitExceededError(
                "Too little came on the stream for too long, so it was ended."
            ) from None
        finally:
            self.waited = timedelta(seconds=clock() - began)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of tasks; the others followed from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
