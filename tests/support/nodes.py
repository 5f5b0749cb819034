"""Real nodes in this process: real TLS, SQLite files, sealers and streams; no registry program.

A node's data folder is made from a ``Nation``, as joining would have left it, so that tests of the
exchange start in milliseconds and can bend whatever they want from outside. ``served`` puts the
nation's directory on a port, as a registry does; without it nodes run with the registry down.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc

from edoccore.directory.packing import pieces
from edoccore.signing import canonical
from edoccore.signing.statements import Endpoint
from edoccore.wire.sealed import sealed_from_message
from edockit.certificates import certificate_pem, key_pem, new_private_key, save_private_key
from edockit.grpc_client import unix_channel
from edockit.grpc_peer import CallInterceptor
from edockit.grpc_server import bind
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from edocnet.directory.v1 import directory_service_pb2 as directory_messages
from edocnet.directory.v1 import directory_service_pb2_grpc as directory_services
from edocnet.enrolment.v1 import enrolment_service_pb2 as enrolment_messages
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as enrolment_services
from edocnet.office.v1 import office_service_pb2 as offices
from edocnet.office.v1 import office_service_pb2_grpc as office_services
from edocnode.app.node import Ready, serve
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import LATTICE_KEY, SEAL, DataFolder, NodeIdentity, TlsPair
from tests.support.nation import REGISTRY, Agency, Nation, new_uuid7, tls_certificate
from tests.support.ports import free_port
from tests.support.stores import new_file

CHUNK_BYTES = 960 * 1024
LOOK_EVERY_S = 0.02
Context = grpc.aio.ServicerContext[object, object]


def utc_now() -> datetime:
    """The clock of real nodes."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """A document that a node acknowledged."""

    document_id: bytes
    message_ids: tuple[bytes, ...]

    @property
    def message_id(self) -> bytes:
        """Of the first recipient."""
        return self.message_ids[0]


@dataclass
class TestNode:
    """One node that can be started and stopped."""

    __test__ = False
    agency: Agency
    data: Path
    settings: NodeSettings
    clock: Callable[[], datetime] = utc_now
    running: asyncio.Task[None] | None = None
    where: Ready | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self.where is not None
        return self.where.listen

    async def start(self) -> "TestNode":
        """Starts the node and waits until it listens.

        Raises:
            EdocError: It cannot start.
        """
        self._stop = asyncio.Event()
        ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.running = asyncio.create_task(
            serve(
                self.data,
                self.settings,
                clock=self.clock,
                stop=self._stop,
                ready=ready.set_result,
            )
        )
        await asyncio.wait({self.running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if self.running.done():
            failed, self.running = self.running, None
            failed.result()
        self.where = await ready
        return self

    async def stop(self) -> None:
        """Stops the node in order."""
        if self.running is not None:
            self._stop.set()
            running, self.running = self.running, None
            await running

    def backup(self, to: Path) -> Path:
        """Copies the folder of the node, which is stopped."""
        assert self.running is None
        shutil.copytree(self.data, to)
        return to

    def restore(self, copy: Path) -> None:
        """Puts a copy in the place of the folder of the node, which is stopped."""
        assert self.running is None
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)

    async def send(
        self,
        *contents: bytes,
        to: Sequence[str],
        request_id: str = "",
        subject: str = "Thử",
        urgency: offices.Urgency = offices.URGENCY_NORMAL,
        encrypt: bool = False,
    ) -> Sent:
        """Hands in a document; it is durable when this returns."""
        fields = f'{{"subject":"{subject}"}}'.encode()
        header = offices.SubmitHeader(
            request_id=request_id or new_uuid7(utc_now()),
            recipients=to,
            urgency=urgency,
            encrypt=encrypt,
            record_size=len(fields),
            parts=[
                offices.PartDeclaration(name=f"{number}.pdf", size=len(content))
                for number, content in enumerate(contents, 1)
            ],
        )
        stream = b"".join([fields, *contents])

        async def requests() -> AsyncIterator[offices.SubmitRequest]:
            yield offices.SubmitRequest(header=header)
            for start in range(0, len(stream), CHUNK_BYTES):
                yield offices.SubmitRequest(chunk=stream[start : start + CHUNK_BYTES])

        async with self.office() as stub:
            answer = await stub.Submit(requests())
        return Sent(answer.document_id, tuple(item.message_id for item in answer.deliveries))

    @contextlib.asynccontextmanager
    async def office(self) -> AsyncIterator[office_services.OfficeServiceStub]:
        """The office's side of the node."""
        assert self.where is not None
        async with unix_channel(self.where.socket) as channel:
            yield office_services.OfficeServiceStub(channel)

    async def delivery(self, sent: Sent) -> offices.Delivery:
        """The first delivery of a document as the outbox shows it."""
        async with self.office() as stub:
            answer = await stub.GetDocument(
                offices.GetDocumentRequest(id=str(UUID(bytes=sent.document_id)))
            )
        found: offices.Delivery = answer.sent.deliveries[0]
        return found

    async def part(self, message_id: bytes, index: int) -> bytes:
        """The bytes of a part of a received document, as an office reads them."""
        request = offices.GetPartRequest(id=str(UUID(bytes=message_id)), index=index)
        async with self.office() as stub:
            return b"".join([answer.chunk async for answer in stub.GetPart(request)])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Reads the node's database, beside it."""
        path = DataFolder(self.data).database_file
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def count(self, query: str, *values: object) -> int:
        """The one number that a query finds."""
        return int(self.rows(query, *values)[0][0])

    def write(self, *statements: str) -> None:
        """Changes the node's database from outside."""
        path = DataFolder(self.data).database_file
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
            for statement in statements:
                database.execute(statement)

    def inbox(self) -> int:
        """How many documents are visible."""
        return self.count("SELECT count(*) FROM inbox")

    def state(self, message_id: bytes) -> str:
        """Where a delivery stands."""
        return str(self.rows("SELECT state FROM delivery WHERE message_id = ?", message_id)[0][0])

    def alarms(self) -> dict[str, str]:
        """Messages of the alarms that are open, by kind."""
        return dict(self.rows("SELECT kind, message FROM alarm WHERE acknowledged_at IS NULL"))

    async def delivered(self, *sent: Sent, within_s: float = 60) -> None:
        """Waits until the receipts of documents are here."""
        ids = {message_id for item in sent for message_id in item.message_ids}
        marks = ",".join("?" * len(ids))
        query = (
            f"SELECT count(*) FROM delivery WHERE state = 'delivered' AND message_id IN ({marks})"
        )
        await until(lambda: self.count(query, *ids) == len(ids), within_s=within_s)


async def until(found: Callable[[], object | Awaitable[object]], *, within_s: float = 60) -> Any:
    """Waits until something holds and returns it.

    Raises:
        AssertionError: It did not come true in time.
    """
    deadline = time.monotonic() + within_s
    while True:
        value = found()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"did not come true within {within_s} s"
        await asyncio.sleep(LOOK_EVERY_S)


def large(node: TestNode, content: bytes) -> Path:
    """Where a large part of a node lies."""
    digest = sha256(content).hexdigest()
    return DataFolder(node.data).blobs / digest[:2] / digest[2:]


def make_node(
    nation: Nation,
    agency: Agency,
    data: Path,
    *,
    port: int = 0,
    advertise: str = "",
    **settings: object,
) -> TestNode:
    """Writes the data folder of a node whose agency is in the nation."""
    folder = DataFolder(data)
    folder.create()
    new_file(folder.database_file)
    save_private_key(folder.seal_key_file, agency.seal_key)
    if agency.lattice_key is not None:
        save_private_key(folder.key_file(SEAL, LATTICE_KEY), agency.lattice_key)
    chain = [agency.seal_certificate, agency.authority]
    folder.save_seal_chain(b"".join(certificate_pem(item) for item in chain))
    folder.save_tls_pair("current", TlsPair(agency.tls_certificate_pem, agency.tls_key_pem))
    key = new_private_key()
    following = tls_certificate(key, agency.code, now=nation.now)
    folder.save_tls_pair("next", TlsPair(certificate_pem(following), key_pem(key)))
    DirectoryFiles(folder.directory, nation.anchor).save(nation.directory())
    folder.save_identity(
        NodeIdentity(
            network=nation.network,
            agency=agency.code,
            root_sha256=nation.anchor,
            server_name=agency.server_name,
        )
    )
    address = f"127.0.0.1:{port}"
    values = {"listen": address, "advertise": advertise or address, "directory_refresh_s": 1}
    return TestNode(agency, data, NodeSettings.model_validate(values | settings))


def make_pair(tmp_path: Path, **settings: object) -> tuple[Nation, TestNode, TestNode]:
    """A nation with two agencies, H29 and G01, and a node for each, both with these settings."""
    nation = Nation.create(utc_now())
    ports = [free_port(), free_port()]
    agencies = [
        nation.add_agency(
            "H29",
            "Ủy ban nhân dân tỉnh Hà Tĩnh",
            owns=["H29.5"],
            aliases=["000.00.00.H29"],
            address=f"127.0.0.1:{ports[0]}",
        ),
        nation.add_agency(
            "G01",
            "Bộ Nội vụ",
            owns=["G01.22"],
            aliases=["000.00.00.G01"],
            address=f"127.0.0.1:{ports[1]}",
        ),
    ]
    nation.directory()
    first, second = (
        make_node(nation, agency, tmp_path / agency.code, port=port, **settings)
        for agency, port in zip(agencies, ports, strict=True)
    )
    return nation, first, second


@contextlib.asynccontextmanager
async def running(*nodes: TestNode) -> AsyncIterator[None]:
    """Runs nodes for a block and stops them in order."""
    try:
        for node in nodes:
            await node.start()
        yield
    finally:
        for node in nodes:
            await node.stop()


class _Registry(
    directory_services.DirectoryServiceServicer, enrolment_services.EnrolmentServiceServicer
):
    """Serves the files of a nation and takes endpoint statements into it."""

    def __init__(self, nation: Nation, files: Mapping[str, bytes] | None) -> None:
        self._nation = nation
        self._files = files

    async def GetFiles(  # noqa: N802
        self, request: directory_messages.GetFilesRequest, context: Context
    ) -> AsyncIterator[directory_messages.GetFilesResponse]:
        files = self._nation.files if self._files is None else self._files
        for index, path in enumerate(request.paths):
            data = files.get(path, b"")
            for chunk in pieces(data):
                yield directory_messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)

    async def PublishEndpoint(  # noqa: N802
        self, request: enrolment_messages.PublishEndpointRequest, context: Context
    ) -> enrolment_messages.PublishEndpointResponse:
        sealed = sealed_from_message(request.endpoint)
        code = canonical.decode(sealed.statement, Endpoint).agency
        self._nation.put_endpoint(code, sealed)
        self._nation.publish()
        version = self._nation.versions["snapshot"]
        return enrolment_messages.PublishEndpointResponse(directory_version=version)


@contextlib.asynccontextmanager
async def served(
    nation: Nation, port: int, *, files: Mapping[str, bytes] | None = None
) -> AsyncIterator[None]:
    """Serves the nation's directory as it is at each moment, or the files of a certain one.

    The registry's address must be in the directory before nodes are made: ``nation.set_address``.
    """
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    servicer = _Registry(nation, files)
    directory_services.add_DirectoryServiceServicer_to_server(servicer, server)
    enrolment_services.add_EnrolmentServiceServicer_to_server(servicer, server)
    own = nation.agencies[REGISTRY]
    material = TlsMaterial(chain=own.tls_certificate_pem, key=own.tls_key_pem)
    bind(server, f"127.0.0.1:{port}", TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED))
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
