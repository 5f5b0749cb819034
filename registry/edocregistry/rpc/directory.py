"""Answers for the files of the directory: their exact bytes, whoever asks."""

from collections.abc import Iterator
from typing import Protocol

import grpc

from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services

CHUNK_BYTES = 960 * 1024


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


class DirectoryServicer(services.DirectoryServiceServicer):
    """``edocnet.directory.v1.DirectoryService`` over published files."""

    def __init__(self, files: PublishedFiles) -> None:
        self._files = files

    def GetFile(
        self,
        request: messages.GetFileRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[messages.GetFileResponse]:
        """Sends one file in chunks."""
        data = self._files.read(request.path)
        for start in range(0, len(data), CHUNK_BYTES):
            yield messages.GetFileResponse(chunk=data[start : start + CHUNK_BYTES])

    def GetMark(
        self,
        request: messages.GetMarkRequest,
        context: grpc.ServicerContext,
    ) -> messages.GetMarkResponse:
        """Tells which version is in hand."""
        version, digest = self._files.mark()
        return messages.GetMarkResponse(version=version, hash=digest)
