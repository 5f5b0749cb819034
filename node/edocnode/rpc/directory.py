"""The directory over the wire: fetched from the registry or a peer, served to peers.

What is wanted next is decided by ``edoccore.directory.collecting``; serving is from memory. What
was fetched is verified before anybody uses it, so a source need not be trusted.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Self

import grpc
import structlog

from edoccore.directory.endpoints import Endpoint
from edoccore.directory.packing import (
    CHUNK_BYTES,
    MAX_BATCH_FILES,
    FileWanted,
    Unpacking,
    pack,
    pieces,
)
from edoccore.directory.transparency import LogAnswer
from edoccore.directory.view import Directory
from edoccore.errors import (
    EdocError,
    PeerUnreachableError,
    RegistryUnreachableError,
    RequestInvalidError,
)
from edoccore.signing.seal import SealedStatement
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import raise_for_other
from edockit.addresses import split_address
from edockit.certificates import certificate_pem
from edockit.grpc_client import ServerLeaf, peer_channel, read_server_leaf
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnode.domain.directory import DirectorySource
from edocnode.rpc.lending import lend_over

CONNECT_TIMEOUT_S = 5.0  # before the next address of the same node is tried
GIVING_TIMEOUT_S = 120.0  # for all that is given back to a registry
FILES_TIMEOUT_S = 60.0  # for one question; whoever drips bytes is cut off
_NAME = re.compile(r"(timestamp|[0-9]{1,20}\.[a-z0-9-]{1,60})\.json")

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[object, object]
MirroredLog = Callable[[int, bytes], LogAnswer]  # what is here besides size and digest of a peer


class GrpcSource:
    """Fetches directory files over one channel."""

    def __init__(self, channel: grpc.aio.Channel, unreachable: type[EdocError]) -> None:
        """Takes an open channel.

        Args:
            channel: To a server with a DirectoryService.
            unreachable: What it means that nobody answers: of the registry or of a peer.
        """
        self.stub = services.DirectoryServiceStub(channel)
        self._witnesses = services.WitnessServiceStub(channel)
        self._unreachable = unreachable

    async def fetch(self, wanted: Sequence[FileWanted]) -> list[bytes | None]:
        """Fetches files; see ``DirectorySource.fetch``."""
        request = messages.GetFilesRequest(paths=[item.name for item in wanted])
        call = self.stub.GetFiles(request, timeout=FILES_TIMEOUT_S)
        unpacking = Unpacking(wanted)
        try:
            async for answer in call:
                unpacking.take(answer.index, answer.size, answer.chunk)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=self._unreachable) from error
        finally:
            call.cancel()  # an answer that does not fit is not read to its end
        return unpacking.files()

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """Asks for the log; see ``LogSource.log``."""
        request = messages.GetLogRequest(size=size, digest=digest)
        try:
            found = await self.stub.GetLog(request, timeout=FILES_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=self._unreachable) from error
        return LogAnswer(found.checkpoint, found.witnessed, found.leaves, found.asks)

    async def cosign(self, checkpoint: bytes) -> None:
        """Hands in a cosignature; see ``CosigningSource.cosign``."""
        request = messages.AddCosignatureRequest(checkpoint=checkpoint)
        try:
            await self._witnesses.AddCosignature(request, timeout=FILES_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=self._unreachable) from error

    async def show(self, checkpoint: bytes, holder: SealedStatement | None) -> bool:
        """Shows a checkpoint; see ``CosigningSource.show``."""
        word = None if holder is None else sealed_to_message(holder)
        request = messages.ShowCheckpointRequest(checkpoint=checkpoint, holder=word)
        try:
            found = await self._witnesses.ShowCheckpoint(request, timeout=FILES_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=self._unreachable) from error
        return found.wanted

    async def give_back(self, bundle: bytes, log: bytes, holder: SealedStatement | None) -> None:
        """Gives directory and log back; see ``CosigningSource.give_back``."""
        given = _given(bundle, log, holder)
        try:
            await self._witnesses.GiveBack(given, timeout=GIVING_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=self._unreachable) from error


def _given(
    bundle: bytes, log: bytes, holder: SealedStatement | None
) -> Iterator[messages.GiveBackRequest]:
    if holder is not None:
        yield messages.GiveBackRequest(holder=sealed_to_message(holder))
    for start in range(0, len(bundle), CHUNK_BYTES):
        yield messages.GiveBackRequest(bundle=bundle[start : start + CHUNK_BYTES])
    for start in range(0, len(log), CHUNK_BYTES):
        yield messages.GiveBackRequest(log=log[start : start + CHUNK_BYTES])


class RegistrySource:
    """The registry; when its pinned certificates do not answer, whoever has its address.

    A registry that was made anew after the loss of its machine shows a certificate that only the
    directory which it serves will list. Files prove themselves and nothing secret is asked, so it
    is read all the same; whoever stands there instead can withhold news, but invent none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Takes the endpoint of the registry in the directory in force."""
        self._endpoint = endpoint
        self._channels = AsyncExitStack()
        self._source: GrpcSource | None = None

    async def __aenter__(self) -> Self:
        """Opens nothing yet but what closes it."""
        await self._channels.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the channels."""
        await self._channels.aclose()

    async def fetch(self, wanted: Sequence[FileWanted]) -> list[bytes | None]:
        """Fetches files; see ``DirectorySource.fetch``."""
        if self._source is not None:
            return await self._source.fetch(wanted)
        channel = await self._channels.enter_async_context(open_channel(self._endpoint))
        self._source = GrpcSource(channel, RegistryUnreachableError)
        try:
            return await self._source.fetch(wanted)
        except RegistryUnreachableError:
            other = await self._unlisted()
            if other is None:
                self._source = None
                raise
            self._source = other
        return await self._source.fetch(wanted)

    async def log(self, size: int, digest: bytes) -> LogAnswer:
        """Asks for the log, once files were fetched; see ``LogSource.log``."""
        return await self._answering().log(size, digest)

    async def cosign(self, checkpoint: bytes) -> None:
        """Hands in a cosignature; see ``CosigningSource.cosign``."""
        await self._answering().cosign(checkpoint)

    async def show(self, checkpoint: bytes, holder: SealedStatement | None) -> bool:
        """Shows a checkpoint; see ``CosigningSource.show``."""
        return await self._answering().show(checkpoint, holder)

    async def give_back(self, bundle: bytes, log: bytes, holder: SealedStatement | None) -> None:
        """Gives directory and log back; see ``CosigningSource.give_back``."""
        await self._answering().give_back(bundle, log, holder)

    def _answering(self) -> GrpcSource:
        if self._source is None:
            raise RegistryUnreachableError
        return self._source

    async def _unlisted(self) -> GrpcSource | None:
        """Whoever answers at the registry's addresses with a certificate that is not listed."""
        pins = {certificate_pem(pin.certificate) for pin in self._endpoint.pins}
        for address in self._endpoint.addresses:
            try:
                leaf = await asyncio.to_thread(read_server_leaf, address)
            except PeerUnreachableError:
                continue
            if leaf.certificate not in pins:
                log.warning("registry_certificate_unlisted", address=address)
                channel = unverified_channel(address, leaf)
                await self._channels.enter_async_context(channel)
                return GrpcSource(channel, RegistryUnreachableError)
        return None


def unverified_channel(address: str, leaf: ServerLeaf) -> grpc.aio.Channel:
    """A channel pinned to a certificate that somebody showed; for what proves itself alone."""
    return peer_channel(
        address,
        own_chain=None,
        own_key=None,
        pins=[leaf.certificate],
        server_name=leaf.server_name,
    )


class GrpcSources:
    """Opens channels to the registry and to peers by the directory in force."""

    def __init__(
        self, own: Callable[[], tuple[bytes, bytes]], clock: Callable[[], datetime]
    ) -> None:
        """Takes what a node shows to peers.

        Args:
            own: Its TLS certificate chain and key in force, PEM.
            clock: Aware, UTC.
        """
        self._own = own
        self._clock = clock

    @asynccontextmanager
    async def registry(self, directory: Directory) -> AsyncIterator[RegistrySource]:
        """The registry, at the first of its addresses that answers.

        Raises:
            RegistryUnreachableError: It has no valid endpoint in the directory.
        """
        endpoint = directory.endpoint(directory.info.registry, self._clock())
        if endpoint is None:
            raise RegistryUnreachableError(
                "The registry has no valid address in the directory.",
                hint="Ask the registry's officer; a peer may have a newer directory.",
            )
        async with RegistrySource(endpoint) as source:
            yield source

    @asynccontextmanager
    async def peer(self, directory: Directory, agency: str) -> AsyncIterator[DirectorySource]:
        """The node of an agency.

        Raises:
            PeerUnreachableError: It has no valid endpoint in the directory.
        """
        async with open_channel(self._endpoint(directory, agency), own=self._own()) as channel:
            yield GrpcSource(channel, PeerUnreachableError)

    async def lend(self, directory: Directory, agency: str) -> None:
        """Gives the directory to the node of an agency; see ``DirectorySources.lend``."""
        async with open_channel(self._endpoint(directory, agency), own=self._own()) as channel:
            await lend_over(channel, directory)

    def _endpoint(self, directory: Directory, agency: str) -> Endpoint:
        endpoint = directory.endpoint(agency, self._clock())
        if endpoint is None:
            raise PeerUnreachableError(
                f"The agency {agency} has no valid address in the directory.", agency=agency
            )
        return endpoint


@asynccontextmanager
async def open_channel(
    endpoint: Endpoint, own: tuple[bytes, bytes] | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a channel that trusts the TLS certificates of one endpoint and nothing else.

    Args:
        endpoint: Of the agency called.
        own: Certificate chain and key to show, PEM; None at the registry, which asks for none.
    """
    chain, key = own if own is not None else (None, None)
    channel = peer_channel(
        await _first_answering(endpoint),
        own_chain=chain,
        own_key=key,
        pins=[certificate_pem(pin.certificate) for pin in endpoint.pins],
        server_name=endpoint.server_name,
    )
    async with channel:
        yield channel


async def _first_answering(endpoint: Endpoint) -> str:
    """The first address with a listener; the last when none has, to fail with its reason."""
    for address in endpoint.addresses[:-1]:
        host, port = split_address(address)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
        except OSError:
            continue
        writer.close()
        return address
    return endpoint.addresses[-1]


class DirectoryServicer(services.DirectoryServiceServicer):
    """Serves the mirrored files and the log to peers, from memory."""

    def __init__(self, directory: Callable[[], Directory], log: MirroredLog) -> None:
        """Takes where the directory in force is found, and what answers for the log."""
        self._directory = directory
        self._log = log

    async def GetFiles(
        self,
        request: messages.GetFilesRequest,
        context: Context,
    ) -> AsyncIterator[messages.GetFilesResponse]:
        """Sends files, compressed, in chunks.

        Raises:
            RequestInvalidError: A path is no name of a directory file, or there are too many.
        """
        if not 1 <= len(request.paths) <= MAX_BATCH_FILES:
            raise RequestInvalidError(f"Between 1 and {MAX_BATCH_FILES} files may be asked for.")
        if not all(map(_NAME.fullmatch, request.paths)):
            raise RequestInvalidError("A path is no name of a directory file.")
        files = self._directory().files
        for index, path in enumerate(request.paths):
            data = files.get(path, b"")
            await asyncio.to_thread(pack, data)  # remembered; a large one would hold up the others
            for chunk in pieces(data):
                yield messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)

    async def GetMark(
        self,
        request: messages.GetMarkRequest,
        context: Context,
    ) -> messages.GetMarkResponse:
        """Tells the version in hand."""
        mark = self._directory().mark
        return messages.GetMarkResponse(version=mark.version, hash=bytes.fromhex(mark.hash))

    async def GetLog(
        self,
        request: messages.GetLogRequest,
        context: Context,
    ) -> messages.GetLogResponse:
        """Sends what is here of the log besides what the caller has."""
        found = self._log(request.size, request.digest)
        return messages.GetLogResponse(
            checkpoint=found.checkpoint, witnessed=found.witnessed, leaves=found.leaves
        )
