import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edoccore.directory.packing import pieces
from edoccore.errors import TokenRefusedError
from edoccore.wire.sealed import sealed_from_message
from edockit.grpc_peer import CallInterceptor
from edockit.grpc_server import bind
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from edocnet.directory.v1 import directory_service_pb2 as directory_messages
from edocnet.directory.v1 import directory_service_pb2_grpc as directory_services
from edocnet.enrolment.v1 import enrolment_service_pb2 as enrolment_messages
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as enrolment_services
from edocnode.domain.alarms import Alarm, check_raise
from edocnode.domain.directory import RefreshPlan
from edocnode.rpc.directory import GrpcSources
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.workers.directory import DirectoryKeeper
from tests.support.nation import REGISTRY, Agency, Nation

TOKEN = bytes(range(16))
Context = grpc.aio.ServicerContext[object, object]


@dataclass(slots=True)
class Served:
    """What a server did and what it is told to do.

    Attributes:
        asked: Names of the files asked for.
        tokens: Tokens that arrived.
        lie: Replaces the bytes of a file.
        swap: Certificate request that is used in place of the one that arrives.
    """

    asked: list[str] = field(default_factory=list)
    tokens: list[bytes] = field(default_factory=list)
    lie: Callable[[str, bytes | None], bytes | None] = lambda _, data: data
    swap: bytes = b""


class RegistryServer(
    directory_services.DirectoryServiceServicer, enrolment_services.EnrolmentServiceServicer
):
    """Serves a nation as a registry does, or lies as it is told."""

    def __init__(self, nation: Nation, served: Served) -> None:
        self.nation = nation
        self.served = served

    async def GetFiles(  # noqa: N802
        self, request: directory_messages.GetFilesRequest, context: Context
    ) -> AsyncIterator[directory_messages.GetFilesResponse]:
        for index, path in enumerate(request.paths):
            self.served.asked.append(path)
            data = self.served.lie(path, self.nation.files.get(path)) or b""
            for chunk in pieces(data):
                yield directory_messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)

    async def Enrol(  # noqa: N802
        self, request: enrolment_messages.EnrolRequest, context: Context
    ) -> enrolment_messages.EnrolResponse:
        self.served.tokens.append(request.token)
        if request.token != TOKEN:
            raise TokenRefusedError
        certificate = self.nation.enrol("H37", "Newcomer", self.served.swap or request.seal_request)
        self.nation.publish()
        return enrolment_messages.EnrolResponse(
            agency_code="H37",
            network=self.nation.network,
            certificate=certificate,
            chain=[self.nation.ca_certificate],
            directory_version=self.nation.versions["snapshot"],
        )

    async def PublishEndpoint(  # noqa: N802
        self, request: enrolment_messages.PublishEndpointRequest, context: Context
    ) -> enrolment_messages.PublishEndpointResponse:
        self.nation.put_endpoint("H37", sealed_from_message(request.endpoint))
        self.nation.publish()
        version = self.nation.versions["snapshot"]
        return enrolment_messages.PublishEndpointResponse(directory_version=version)


Serve = Callable[..., Awaitable[int]]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def nation(now: datetime) -> Nation:
    nation = Nation.create(now)
    nation.add_agency("H29", "Ủy ban nhân dân Thành phố Hồ Chí Minh")
    nation.add_agency("G01", "Bộ Công an")
    return nation


@pytest.fixture
async def serve_as() -> AsyncIterator[Serve]:
    """Starts servers with real TLS, each as one agency; tells the port."""
    servers: list[grpc.aio.Server] = []

    async def start(agency: Agency, add: Callable[[grpc.aio.Server], None], port: int = 0) -> int:
        server = grpc.aio.server(interceptors=[CallInterceptor()])
        add(server)
        material = TlsMaterial(chain=agency.tls_certificate_pem, key=agency.tls_key_pem)
        provider = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
        bound = bind(server, f"127.0.0.1:{port}", provider)
        await server.start()
        servers.append(server)
        return bound

    yield start
    await asyncio.gather(*(server.stop(0) for server in servers))


@dataclass(slots=True)
class RunningRegistry:
    """A registry that runs; ``address`` is also in the directory."""

    nation: Nation
    served: Served
    address: str


@pytest.fixture
async def registry(nation: Nation, serve_as: Serve) -> RunningRegistry:
    """The registry of the nation, served on loopback and listed in its own directory."""
    served = Served()
    servicer = RegistryServer(nation, served)

    def add(server: grpc.aio.Server) -> None:
        directory_services.add_DirectoryServiceServicer_to_server(servicer, server)
        enrolment_services.add_EnrolmentServiceServicer_to_server(servicer, server)

    port = await serve_as(nation.agencies[REGISTRY], add)
    nation.set_address(REGISTRY, f"127.0.0.1:{port}")
    nation.publish()
    return RunningRegistry(nation, served, f"127.0.0.1:{port}")


class HeardAlarms:
    """Alarms in memory: the port of ``edocnode.domain.ports``."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], Alarm] = {}

    async def raise_alarm(
        self, kind: str, subject: str, message: str, at: datetime, proof: str = ""
    ) -> None:
        check_raise(kind, proof)
        known = self.open.get((kind, subject))
        self.open[kind, subject] = Alarm(
            kind=kind,
            subject=subject,
            message=message,
            since=known.since if known else at,
            last_at=at,
            proof=proof,
        )

    async def clear_alarm(self, kind: str, subject: str) -> None:
        self.open.pop((kind, subject), None)

    async def alarms(self) -> Sequence[Alarm]:
        return sorted(self.open.values(), key=lambda alarm: alarm.since)

    def kinds(self) -> set[str]:
        """Kinds that are open."""
        return {kind for kind, _ in self.open}


@pytest.fixture
def alarms() -> HeardAlarms:
    return HeardAlarms()


MakeKeeper = Callable[..., DirectoryKeeper]


@pytest.fixture
def make_keeper(
    registry: RunningRegistry, alarms: HeardAlarms, tmp_path: Path, now: datetime
) -> MakeKeeper:
    """Starts a keeper for H29 on the files in ``tmp_path``; saves a first directory there."""
    nation = registry.nation
    own = nation.agencies["H29"]
    store = DirectoryFiles(tmp_path / "directory", nation.anchor)
    store.save(nation.directory())

    def make(
        clock: Callable[[], datetime] = lambda: now,
        kind: type[GrpcSources] = GrpcSources,
        every: timedelta = timedelta(milliseconds=20),
    ) -> DirectoryKeeper:
        return DirectoryKeeper(
            store.load(),
            agency="H29",
            sources=kind(lambda: (own.tls_certificate_pem, own.tls_key_pem), clock),
            store=store,
            alarms=alarms,
            clock=clock,
            jitter=lambda: 0.5,
            plan=RefreshPlan(every=every),
        )

    return make
