"""Answers the nodes of other agencies: exchange/v1 over the receiving desk.

Only translates and keeps the pace: the interceptor has checked the caller and checks it again for
each message; what a parcel deserves is decided elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from edoccore.errors import (
    HelloMissingError,
    LimitExceededError,
    PeerUnreachableError,
    RequestInvalidError,
)
from edockit.grpc_peer import peer_identity
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnet.exchange.v1 import exchange_service_pb2_grpc as services
from edocnode.domain.exchange import ReceivingService, Session
from edocnode.rpc.messages import (
    answers_to_message,
    batch_from_message,
    hello_from_message,
    hello_to_message,
    message_id_from,
    recovered_to_message,
)

BATCHES_AT_ONCE = 4  # of one stream; more wait, which slows the sender down
IDLE = timedelta(seconds=120)  # a stream on which nothing comes is ended
CHUNK_WAIT = timedelta(seconds=30)  # for the next chunk of a part

Request = TypeVar("Request")
DeliverContext = grpc.aio.ServicerContext[messages.DeliverRequest, messages.DeliverResponse]
TransferContext = grpc.aio.ServicerContext[messages.TransferRequest, messages.TransferResponse]


class ExchangeServicer(services.ExchangeServiceServicer):
    """exchange/v1 of this node."""

    def __init__(self, service: ReceivingService) -> None:
        """Takes what decides."""
        self._service = service

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
        first = await _next(request_iterator, IDLE)
        if first is None or first.WhichOneof("kind") != "hello":
            raise HelloMissingError
        session = await self._service.open_session(agency, hello_from_message(first.hello))
        await _write(context, messages.DeliverResponse(hello=hello_to_message(session.hello)))
        session.check()
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read(request_iterator, session, context, tasks)
        except ExceptionGroup as group:
            raise _first(group) from group

    async def Transfer(  # type: ignore[override]  # as Deliver
        self, request_iterator: AsyncIterator[messages.TransferRequest], context: TransferContext
    ) -> None:
        """Takes the bytes of one part; says after each step what is on disk."""
        agency = peer_identity(str)
        first = await _next(request_iterator, CHUNK_WAIT)
        if first is None or first.WhichOneof("kind") != "place":
            raise RequestInvalidError("A transfer begins with the place of its part.")
        message_id = message_id_from(first.place.message_id)
        incoming = await self._service.receive_part(agency, message_id, first.place.index)
        try:
            await _write(context, messages.TransferResponse(offset=incoming.offset))
            while (request := await _next(request_iterator, CHUNK_WAIT)) is not None:
                if request.WhichOneof("kind") != "chunk":
                    raise RequestInvalidError("A transfer has one place, then only chunks.")
                if await incoming.write(request.chunk):
                    await _write(context, messages.TransferResponse(offset=incoming.offset))
            if not incoming.complete:
                await incoming.finish()
            await _write(context, messages.TransferResponse(offset=incoming.offset, complete=True))
        finally:
            await incoming.close()

    async def Recover(
        self,
        request: messages.RecoverRequest,
        context: grpc.aio.ServicerContext[messages.RecoverRequest, messages.RecoverResponse],
    ) -> AsyncIterator[messages.RecoverResponse]:
        """Gives back what the caller lost."""
        agency = peer_identity(str)
        for item in await self._service.lost_by(agency):
            yield recovered_to_message(item)
        await self._service.gave_back(agency)

    async def _read(
        self,
        requests: AsyncIterator[messages.DeliverRequest],
        session: Session,
        context: DeliverContext,
        tasks: asyncio.TaskGroup,
    ) -> None:
        places = asyncio.Semaphore(BATCHES_AT_ONCE)
        writing = asyncio.Lock()
        while (request := await _next(requests, IDLE)) is not None:
            session.check()
            if request.WhichOneof("kind") != "batch":
                raise RequestInvalidError("A stream has one hello, then only batches.")
            await places.acquire()
            task = tasks.create_task(self._work(request.batch, session, context, writing))
            task.add_done_callback(lambda _: places.release())

    async def _work(
        self,
        batch: messages.Batch,
        session: Session,
        context: DeliverContext,
        writing: asyncio.Lock,
    ) -> None:
        parcels = await asyncio.to_thread(batch_from_message, batch)
        answers = await self._service.answer(session.agency, parcels)
        written = await asyncio.to_thread(answers_to_message, answers)
        session.check()
        async with writing:
            await _write(context, messages.DeliverResponse(answers=written))


async def _write(context: grpc.aio.ServicerContext[Any, Any], message: object) -> None:
    """Writes a message.

    Raises:
        PeerUnreachableError: The caller has gone; what it was to be told, it asks for again.
    """
    try:
        await context.write(message)
    except grpc.aio.InternalError as error:
        raise PeerUnreachableError("The caller ended the stream.") from error


async def _next(requests: AsyncIterator[Request], within: timedelta) -> Request | None:
    """The next message of a stream; None at its end.

    Raises:
        LimitExceededError: Nothing came in time.
    """
    try:
        return await asyncio.wait_for(anext(requests), within.total_seconds())
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise LimitExceededError(
            f"Nothing came on the stream for {int(within.total_seconds())} s."
        ) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of tasks; the others followed from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
