"""Answers for the files of the directory: their exact bytes, whoever asks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import grpc
import structlog

from edoccore.directory.bundle import MAX_BUNDLE_BYTES, MAX_LOG_BYTES
from edoccore.directory.packing import MAX_BATCH_FILES, pieces
from edoccore.directory.transparency import LogAnswer
from edoccore.errors import FileUnknownError, RequestInvalidError
from edoccore.signing.seal import SealedStatement
from edoccore.wire.sealed import sealed_from_message
from edockit.grpc_peer import only_request
from edockit.grpc_threads import caller_of
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocregistry.domain.giving import Giver, Giving, GivingTurns

_log = structlog.get_logger(__name__)


class PublishedFiles(Protocol):
    """The files in force."""

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file as served.

        Raises:
            RequestInvalidError: No such name is possible.
            FileUnknownError: The file is not here.
        """

    def mark(self) -> tuple[int, bytes]:
        """Version of the directory and SHA-256 of its snapshot file.

        Raises:
            FileUnknownError: Nothing was published yet.
        """


class PublishedLog(Protocol):
    """The log of published versions."""

    def answer(self, size: int, digest: bytes) -> LogAnswer:
        """What it has besides what a caller has."""


class DirectoryServicer(services.DirectoryServiceServicer):
    """``edocnet.directory.v1.DirectoryService`` over published files."""

    def __init__(self, files: PublishedFiles, log: PublishedLog) -> None:
        self._files = files
        self._log = log

    def GetFiles(
        self,
        request: messages.GetFilesRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[messages.GetFilesResponse]:
        """Sends files, compressed, in chunks.

        Raises:
            RequestInvalidError: A path is no name of a directory file, or there are too many.
        """
        if not 1 <= len(request.paths) <= MAX_BATCH_FILES:
            raise RequestInvalidError(f"Between 1 and {MAX_BATCH_FILES} files may be asked for.")
        for index, path in enumerate(request.paths):
            data = self._read(path)
            for chunk in pieces(data):
                yield messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)

    def GetMark(
        self,
        request: messages.GetMarkRequest,
        context: grpc.ServicerContext,
    ) -> messages.GetMarkResponse:
        """Tells which version is in hand."""
        version, digest = self._files.mark()
        return messages.GetMarkResponse(version=version, hash=digest)

    def GetLog(
        self, request: messages.GetLogRequest, context: grpc.ServicerContext
    ) -> messages.GetLogResponse:
        """Sends what the log has besides what the caller has."""
        found = self._log.answer(request.size, request.digest)
        return messages.GetLogResponse(
            checkpoint=found.checkpoint,
            witnessed=found.witnessed,
            leaves=found.leaves,
            asks=found.asks,
        )

    def _read(self, path: str) -> bytes:
        try:
            return self._files.read(path)
        except FileUnknownError:
            return b""


class Cosignatures(Protocol):
    """Where cosignatures go."""

    def take_cosignature(self, data: bytes) -> str:
        """Adds a witness's cosignature to the newest checkpoint; returns the agency.

        Raises:
            NoteInvalidError: It is none that counts.
        """


class GivenBack(Protocol):
    """Where goes what nodes hold and the registry has lost."""

    def agency_of(self, holder: SealedStatement) -> str:
        """The agency that proves that it calls; empty: its word does not hold."""

    def show(self, checkpoint: bytes, holder: SealedStatement | None = None) -> bool:
        """Looks at a checkpoint that a node holds; returns whether it shall give back.

        Raises:
            NoteInvalidError: The log did not sign it.
        """

    def check_wanted(self) -> None:
        """Looks whether anything is wanted.

        Raises:
            RequestInvalidError: Nothing is.
        """

    def keep(self, bundle: bytes, log: bytes) -> None:
        """Keeps what a node gives back, once it is verified.

        Raises:
            RequestInvalidError: Nothing is wanted any more.
            DirectoryInvalidError: It does not verify.
        """


class WitnessServicer(services.WitnessServiceServicer):
    """``edocnet.directory.v1.WitnessService`` over the log."""

    def __init__(self, log: Cosignatures, returned: GivenBack) -> None:
        self._log = log
        self._returned = returned
        self._turns = GivingTurns()
        self._ends: dict[Giving, asyncio.Timeout] = {}  # of turns, when somebody else goes before

    def AddCosignature(
        self, request: messages.AddCosignatureRequest, context: grpc.ServicerContext
    ) -> messages.AddCosignatureResponse:
        """Takes a witness's cosignature."""
        agency = self._log.take_cosignature(request.checkpoint)
        _log.info("log_cosigned", agency=agency)
        return messages.AddCosignatureResponse()

    def ShowCheckpoint(
        self, request: messages.ShowCheckpointRequest, context: grpc.ServicerContext
    ) -> messages.ShowCheckpointResponse:
        """Looks at a checkpoint that a node holds."""
        holder = sealed_from_message(request.holder) if request.HasField("holder") else None
        wanted = self._returned.show(request.checkpoint, holder)
        return messages.ShowCheckpointResponse(wanted=wanted)

    async def GiveBack(
        self,
        request_iterator: AsyncIterator[messages.GiveBackRequest],
        context: grpc.aio.ServicerContext[object, object],
    ) -> messages.GiveBackResponse:
        """Takes a directory and a log back, whoever's turn it is.

        Raises:
            RequestInvalidError: It is not wanted, too much, or another's turn.
        """
        first: messages.GiveBackRequest = await only_request(request_iterator)
        giver = Giver(caller_of(context.peer()))
        if first.HasField("holder"):
            holder = sealed_from_message(first.holder)
            agency = await asyncio.to_thread(self._returned.agency_of, holder)
            giver = Giver(giver.address, agency)
        async with self._turn(giver) as turn:
            bundle, log = await _received(first, request_iterator, turn)
            await asyncio.to_thread(self._returned.keep, bundle, log)
        _log.warning("log_given_back", caller=str(giver))
        return messages.GiveBackResponse()

    @contextlib.asynccontextmanager
    async def _turn(self, giver: Giver) -> AsyncIterator[Giving]:
        """Lets somebody give, until somebody else goes before.

        Raises:
            RequestInvalidError: Nothing is wanted, or it is another's turn.
        """
        await asyncio.to_thread(self._returned.check_wanted)
        turn, before = self._turns.begin(giver, time.monotonic())
        if before is not None:
            _log.warning("giver_set_aside", caller=str(before.giver), by=str(giver))
            self._ends.pop(before).reschedule(0)
        try:
            async with asyncio.timeout(None) as end:
                self._ends[turn] = end
                yield turn
        except TimeoutError:
            raise RequestInvalidError("Somebody else gives back instead.") from None
        finally:
            self._ends.pop(turn, None)
            self._turns.end(turn)


async def _received(
    first: messages.GiveBackRequest,
    more: AsyncIterator[messages.GiveBackRequest],
    turn: Giving,
) -> tuple[bytes, bytes]:
    bundle, log = bytearray(first.bundle), bytearray(first.log)
    async for request in more:
        bundle += request.bundle
        log += request.log
        turn.received += len(request.bundle) + len(request.log)
        if len(bundle) > MAX_BUNDLE_BYTES or len(log) > MAX_LOG_BYTES:
            raise RequestInvalidError("No directory and no log are so large.")
    return bytes(bundle), bytes(log)
