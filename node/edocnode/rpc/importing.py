"""Directories and extensions that are brought as files: from an operator to the keeper."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from edoccore.directory.bundle import BUNDLE, MAX_BUNDLE_BYTES
from edoccore.directory.extension import KIND as EXTENSION
from edoccore.directory.wrapping import kind_of
from edoccore.directory_errors import DirectoryFileError
from edoccore.errors import RequestInvalidError, StorageDamagedError
from edocnet.admin.v1 import admin_service_pb2 as messages
from edocnode.domain.decisions import MAX_ACTOR


class DirectoryTaker(Protocol):
    """Takes what was brought, once it is verified; see ``DirectoryKeeper``."""

    async def take_bundle(self, data: bytes) -> bool:
        """Takes a directory; whether the one in force changed."""

    async def take_extension(self, data: bytes) -> datetime:
        """Takes an extension; when it ends."""


async def read_file(
    requests: AsyncIterator[messages.ImportDirectoryRequest],
) -> tuple[str, bytes]:
    """Reads who brings a file, and the file.

    Raises:
        RequestInvalidError: Nobody is named, or it is longer than any directory.
    """
    actor, data = "", bytearray()
    async for request in requests:
        if request.WhichOneof("kind") == "actor":
            actor = request.actor
        data += request.chunk
        if len(data) > MAX_BUNDLE_BYTES:
            raise RequestInvalidError(f"The file has more than {MAX_BUNDLE_BYTES} bytes.")
    if not 1 <= len(actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who imports must be named.", hint="Add --actor NAME.")
    return actor, bytes(data)


async def take_file(keeper: DirectoryTaker, data: bytes) -> tuple[bool, datetime | None]:
    """Gives a file to the keeper, as what it says that it is.

    Returns:
        Whether anything changed, and for an extension its end.

    Raises:
        DirectoryFileError: It says neither, or is not whole.
        DirectoryInvalidError: It cannot be trusted, or is older than what is in force.
    """
    kind = kind_of(data)
    try:
        if kind == EXTENSION:
            return True, await keeper.take_extension(data)
        if kind == BUNDLE:
            return await keeper.take_bundle(data), None
    except StorageDamagedError as error:
        raise DirectoryFileError(
            "The file is damaged: it was cut off or changed on its way.",
            hint="Copy it again from where it was made.",
        ) from error
    raise DirectoryFileError(
        hint="Take the file of: edocnode directory export, or of: edocregistry extend"
    )
