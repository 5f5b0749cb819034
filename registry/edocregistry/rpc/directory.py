"""Answers for the files of the directory: their exact bytes, whoever asks."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc
import structlog

from edoccore.directory.bundle import MAX_BUNDLE_BYTES, MAX_LOG_BYTES
from edoccore.directory.packing import MAX_BATCH_FILES, pieces
from edoccore.directory.transparency import LogAnswer
from edoccore.errors import FileUnknownError, RequestInvalidError
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services

GIVING_LIMIT_S = 120.0  # for all of what a node gives back

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
            checkpoint=found.checkpoint, witnessed=found.witnessed, leaves=found.leaves
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

    def show(self, checkpoint: bytes) -> bool:
        """Looks at a checkpoint that a node holds; returns whether it shall give back.

        Raises:
            NoteInvalidError: The log did not sign it.
        """

    def take(self, receive: Callable[[], tuple[bytes, bytes]]) -> None:
        """Keeps what a node gives back, bundle and log, once it is verified.

        Raises:
            RequestInvalidError: Nothing is wanted, or not now.
            DirectoryInvalidError: It does not verify.
        """


class WitnessServicer(services.WitnessServiceServicer):
    """``edocnet.directory.v1.WitnessService`` over the log."""

    def __init__(self, log: Cosignatures, returned: GivenBack) -> None:
        self._log = log
        self._returned = returned

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
        return messages.ShowCheckpointResponse(wanted=self._returned.show(request.checkpoint))

    def GiveBack(
        self, request_iterator: Iterator[messages.GiveBackRequest], context: grpc.ServicerContext
    ) -> messages.GiveBackResponse:
        """Takes a directory and a log back.

        Raises:
            RequestInvalidError: It is not wanted, or too much.
        """
        deadline = threading.Timer(GIVING_LIMIT_S, context.cancel)  # for whoever drips bytes
        deadline.start()
        try:
            self._returned.take(lambda: _received(request_iterator))
        finally:
            deadline.cancel()
        _log.warning("log_given_back")
        return messages.GiveBackResponse()


def _received(requests: Iterator[messages.GiveBackRequest]) -> tuple[bytes, bytes]:
    bundle, log = bytearray(), bytearray()
    for request in requests:
        bundle += request.bundle
        log += request.log
        if len(bundle) > MAX_BUNDLE_BYTES or len(log) > MAX_LOG_BYTES:
            raise RequestInvalidError("No directory and no log are so large.")
    return bytes(bundle), bytes(log)
