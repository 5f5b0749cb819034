"""Entering a network by join string, and telling it where the node is reached.

Trust starts at one hash. So the files of the directory are read from whoever answers, verified from
that hash, and only the TLS certificate that the verified directory lists for the registry is ever
shown the token.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import grpc
import structlog

from edoccore.directory.endpoints import Endpoint
from edoccore.directory.floor import NO_FLOOR, Floor
from edoccore.directory.join import JoinString
from edoccore.directory.loading import load
from edoccore.directory.seals import ListedSeal
from edoccore.directory.state import Freshness, judge
from edoccore.directory.trust import check_floor
from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyUnknownError,
    DataFolderError,
    DirectoryInvalidError,
    PeerUnreachableError,
    RegistryUnreachableError,
    SealCertificateError,
    StorageDamagedError,
)
from edoccore.identity.request import SealRequest
from edoccore.officer_errors import AwaitingOfficersError
from edoccore.signing.seal import SealedStatement
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import raise_for_other
from edockit.certificates import certificate_pem
from edockit.grpc_client import peer_channel, read_server_leaf
from edocnet.enrolment.v1 import enrolment_service_pb2 as messages
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as services
from edocnode.domain.directory import DirectoryStore, fetch_files
from edocnode.rpc.directory import GrpcSource, open_channel, unverified_channel

log = structlog.get_logger(__name__)

ENROL_TIMEOUT_S = 60.0  # the registry publishes before it answers


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What joining brings.

    Attributes:
        agency: Code that the token was for.
        directory: Verified; lists the new certificate.
        seal: The new certificate with its chain, as the directory lists it.
    """

    agency: str
    directory: Directory
    seal: ListedSeal


async def read_directory(address: str, anchor: str, *, floor: Floor = NO_FLOOR) -> Directory:
    """Reads and verifies the directory of whoever answers; nothing secret is sent.

    Args:
        address: host:port of the registry.
        anchor: SHA-256 of the root file that is trusted.
        floor: What was seen before, when a node reads its directory again.

    Raises:
        RegistryUnreachableError: Nobody answers there.
        DirectoryInvalidError: What answers has not the directory of that root, or an older one.
    """
    async with _unverified(address) as channel:
        files = await fetch_files(GrpcSource(channel, RegistryUnreachableError), {}, anchor)
    directory = await asyncio.to_thread(load, files, anchor, floor)
    check_floor(floor, directory)
    return directory


async def load_or_fetch(store: DirectoryStore, anchor: str) -> Directory:
    """Loads the directory of the last run; when it is lost or damaged, fetches it again.

    What was fetched is verified from the same root, is not older than what was ever seen, and is
    on disk when this returns. With a sound directory on disk nothing is asked of any network.

    Args:
        store: Where it is kept.
        anchor: SHA-256 of the root file that this node trusts.

    Raises:
        DataFolderError, StorageDamagedError, DirectoryInvalidError: There is no sound directory on
            disk and none could be fetched; the error says what is wrong with the one on disk.
    """
    try:
        return await asyncio.to_thread(store.load)
    except (DataFolderError, StorageDamagedError, DirectoryInvalidError) as lost:
        log.warning("directory_lost", reason=lost.reason, cause=lost.message)
        floor = await asyncio.to_thread(store.floor)
        for address in floor.registry:
            try:
                directory = await read_directory(address, anchor, floor=floor)
            except (RegistryUnreachableError, DirectoryInvalidError) as error:
                log.warning("directory_not_fetched", address=address, cause=error.message)
                continue
            await asyncio.to_thread(store.save, directory)
            return directory
        raise


async def join(
    join: JoinString, request: SealRequest, *, agency: str = "", now: datetime
) -> Enrolment:
    """Enters a network: verifies its directory, then trades the token for a seal certificate.

    Repeating it with the same request gives the same certificate.

    Args:
        join: As the registry's officer gave it.
        request: Made with the new seal key, or the pair.
        agency: Code the caller expects; empty when it does not know.
        now: For the validity of certificates.

    Raises:
        RegistryUnreachableError: Nobody answers at the address.
        DirectoryInvalidError: What answers there is not the registry of the join string, or its
            answer does not fit the directory.
        TokenRefusedError: The token is unknown, expired or was used with another key.
        AwaitingOfficersError: The officers have not signed the agency's entry yet.
    """
    directory = await read_directory(join.address, join.root_sha256)
    _require_fresh(directory, now)
    async with _registry(directory, join, now) as channel:
        answer = await _enrol(channel, join.token, request, agency=agency)
        source = GrpcSource(channel, RegistryUnreachableError)
        files = await fetch_files(source, directory.files, join.root_sha256)
    floor = directory.floor()
    directory = await asyncio.to_thread(load, files, join.root_sha256, floor)
    check_floor(floor, directory)
    return Enrolment(answer.agency_code, directory, _listed(directory, answer, request))


async def publish_endpoint(directory: Directory, sealed: SealedStatement, *, now: datetime) -> int:
    """Has the registry publish where this node is reached.

    Args:
        directory: In force; tells where the registry is.
        sealed: An ``edoc.endpoint/v1`` under the agency's own seal.
        now: For the validity of the registry's certificates.

    Returns:
        Version of the directory in which it stands.

    Raises:
        RegistryUnreachableError: The registry does not answer.
        EndpointRefusedError: Its counter is too low, or a certificate has the wrong profile.
    """
    request = messages.PublishEndpointRequest(endpoint=sealed_to_message(sealed))
    async with open_channel(registry_endpoint(directory, now)) as channel:
        stub = services.EnrolmentServiceStub(channel)
        try:
            answer = await stub.PublishEndpoint(request, timeout=ENROL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=RegistryUnreachableError) from error
    return answer.directory_version


@asynccontextmanager
async def _unverified(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel pinned to whatever certificate the other side shows."""
    try:
        leaf = await asyncio.to_thread(read_server_leaf, address)
    except PeerUnreachableError as error:
        raise RegistryUnreachableError(error.message, hint=error.hint, address=address) from error
    async with unverified_channel(address, leaf) as channel:
        yield channel


@asynccontextmanager
async def _registry(
    directory: Directory, join: JoinString, now: datetime
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the registry at the address of the join string, pinned by the directory."""
    endpoint = registry_endpoint(directory, now)
    channel = peer_channel(
        join.address,
        own_chain=None,
        own_key=None,
        pins=[certificate_pem(pin.certificate) for pin in endpoint.pins],
        server_name=endpoint.server_name,
    )
    async with channel:
        yield channel


def registry_endpoint(directory: Directory, now: datetime) -> Endpoint:
    """Where the registry is reached.

    Raises:
        RegistryUnreachableError: The directory does not say so.
    """
    endpoint = directory.endpoint(directory.info.registry, now)
    if endpoint is None:
        raise RegistryUnreachableError(
            "The directory lists no valid address and TLS certificate of the registry itself.",
            hint="Check the clock of this machine, then ask the registry's officer.",
        )
    return endpoint


def _require_fresh(directory: Directory, now: datetime) -> None:
    """A newcomer has no older directory to compare with, so it takes none that is out of date."""
    state = judge(directory, now)
    if state.freshness is not Freshness.FRESH:
        raise DirectoryInvalidError(
            f"The directory offered is out of date: {state.reasons[0]}.",
            hint="Check the clock of this machine, then ask the registry's officer.",
        )


async def _enrol(
    channel: grpc.aio.Channel, token: bytes, request: SealRequest, *, agency: str
) -> messages.EnrolResponse:
    message = messages.EnrolRequest(
        token=token,
        seal_request=request.first,
        second_request=request.second,
        agency_code=agency,
    )
    try:
        return await services.EnrolmentServiceStub(channel).Enrol(message, timeout=ENROL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise raise_for_other(error, unreachable=RegistryUnreachableError) from error


def _listed(
    directory: Directory, answer: messages.EnrolResponse, request: SealRequest
) -> ListedSeal:
    """The new certificate, from the directory; the answer alone is not believed."""
    digest = sha256(answer.certificate).hexdigest()
    try:
        listed = directory.seals.listed(answer.agency_code, digest)
    except (AgencyUnknownError, SealCertificateError) as error:
        raise AwaitingOfficersError(
            f"The registry has taken the key of {answer.agency_code}; its officers have not signed "
            "the entry in the directory yet.",
            hint="Nothing is lost: run the same command again when they have signed, or let it "
            "wait with --wait SECONDS. Ask the registry's officer when that will be.",
            agency=answer.agency_code,
        ) from error
    if not request.is_for(listed.key):
        raise DirectoryInvalidError(
            f"The registry answered with a certificate of {answer.agency_code} for another key.",
            hint="Nothing was stored. Tell the registry's officer.",
            agency=answer.agency_code,
        )
    return listed
