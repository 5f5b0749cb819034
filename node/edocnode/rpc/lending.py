"""A newer directory over a connection that its holder opened: who is called asks and is given.

The same questions and answers as ``GetFiles``, the other way round: for a node that reaches nobody
at the addresses which its old directory lists, while others reach it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc

from edoccore.directory.packing import MAX_BATCH_FILES, FileWanted, Unpacking, pack, pieces
from edoccore.directory.transparency import LogAnswer
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, PeerUnreachableError, RequestInvalidError
from edoccore.signing.statements import DirectoryMark
from edoccore.wire.status import raise_for_other
from edockit.grpc_peer import check_peer_again, peer_identity
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnode.domain.directory import PEER_LIMIT, Borrow

PIECE_WAIT_S = 60.0  # for the next piece; whoever drips bytes is cut off by PEER_LIMIT besides
HASH_BYTES = 32

Context = grpc.aio.ServicerContext[Any, Any]


class LendingServicer(services.LendingServiceServicer):
    """Takes a newer directory from whoever calls."""

    def __init__(self, borrow: Borrow) -> None:
        """Takes who decides whether a directory is wanted, and verifies it."""
        self._borrow = borrow

    async def Lend(  # type: ignore[override]  # grpc.aio also runs coroutines that write
        self, request_iterator: AsyncIterator[messages.LendRequest], context: Context
    ) -> None:
        """Asks for what is missing here of the caller's directory."""
        agency = peer_identity(str)
        lent = _Lent(request_iterator, context)
        try:
            async with asyncio.timeout(PEER_LIMIT.total_seconds()):
                await self._borrow(agency, await lent.mark(), lent)
        except TimeoutError:
            raise RequestInvalidError("The directory was lent too slowly.") from None


class _Lent:
    """The caller's directory; see ``domain.directory.DirectorySource``."""

    def __init__(self, requests: AsyncIterator[messages.LendRequest], context: Context) -> None:
        self._requests = requests
        self._context = context

    async def mark(self) -> DirectoryMark:
        """What the caller says that it holds."""
        first = await self._next()
        if first.WhichOneof("kind") != "mark" or len(first.mark.hash) != HASH_BYTES:
            raise RequestInvalidError("Lending begins with the mark of the directory.")
        return DirectoryMark(version=first.mark.version, hash=first.mark.hash.hex())

    async def fetch(self, wanted: Sequence[FileWanted]) -> list[bytes | None]:
        """Asks the caller for files; see ``DirectorySource.fetch``."""
        check_peer_again()
        await self._context.write(messages.LendResponse(paths=[item.name for item in wanted]))
        unpacking = Unpacking(wanted)
        while not unpacking.is_complete:
            request = await self._next()
            if request.WhichOneof("kind") != "piece":
                raise DirectoryInvalidError("A directory was lent in another way than asked for.")
            unpacking.take(request.piece.index, request.piece.size, request.piece.chunk)
        return unpacking.files()

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """Nothing: whoever lends gives files alone; the log is asked for at the next look."""
        del size, digest
        return LogAnswer()

    async def _next(self) -> messages.LendRequest:
        try:
            async with asyncio.timeout(PIECE_WAIT_S):
                return await anext(self._requests)
        except (StopAsyncIteration, TimeoutError):
            raise PeerUnreachableError("The caller stopped lending its directory.") from None


async def lend_over(channel: grpc.aio.Channel, directory: Directory) -> None:
    """Lends a directory to the node at the other end, as far as it asks.

    Raises:
        EdocError: It does not answer, or asks for what is none of a directory.
    """
    call = services.LendingServiceStub(channel).Lend(timeout=PEER_LIMIT.total_seconds())
    mark = messages.GetMarkResponse(
        version=directory.mark.version, hash=bytes.fromhex(directory.mark.hash)
    )
    try:
        await call.write(messages.LendRequest(mark=mark))
        while isinstance(asked := await call.read(), messages.LendResponse):
            if not 1 <= len(asked.paths) <= MAX_BATCH_FILES:
                raise RequestInvalidError("The peer asks for more files than may be asked for.")
            for index, path in enumerate(asked.paths):
                data = directory.files.get(path, b"")
                await asyncio.to_thread(pack, data)  # remembered, as for GetFiles
                for piece in _pieces(index, data):
                    await call.write(messages.LendRequest(piece=piece))
    except grpc.aio.AioRpcError as error:
        raise raise_for_other(error, unreachable=PeerUnreachableError) from error
    except asyncio.InvalidStateError as error:
        raise PeerUnreachableError("The peer ended the lending.") from error
    finally:
        call.cancel()


def _pieces(index: int, data: bytes) -> Iterator[messages.GetFilesResponse]:
    for chunk in pieces(data):
        yield messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)
