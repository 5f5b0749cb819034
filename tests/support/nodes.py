"""Real nodes in this process: real TLS, SQLite files, sealers and streams; no registry.

A node's data folder is made from a ``Nation``, as joining would have left it, so that tests of the
exchange start in milliseconds and can bend whatever they want from outside.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edockit.certificates import certificate_pem, save_private_key
from edocnode.app.node import Ready, serve
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder, NodeIdentity, TlsPair
from tests.support.nation import Agency, Nation


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def utc_now() -> datetime:
    """The clock of real nodes."""
    return datetime.now(UTC)


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
            self.running.result()
        self.where = await ready
        return self

    async def stop(self) -> None:
        """Stops the node in order."""
        if self.running is not None:
            self._stop.set()
            running, self.running = self.running, None
            await running


def make_node(nation: Nation, agency: Agency, data: Path, *, port: int) -> TestNode:
    """Writes the data folder of a node whose agency is in the nation."""
    folder = DataFolder(data)
    folder.create()
    save_private_key(folder.seal_key_file, agency.seal_key)
    chain = [agency.seal_certificate, agency.authority]
    folder.save_seal_chain(b"".join(certificate_pem(item) for item in chain))
    pair = TlsPair(agency.tls_certificate_pem, agency.tls_key_pem)
    for name in ("current", "next"):
        folder.save_tls_pair(name, pair)
    DirectoryFiles(folder.directory, nation.anchor).save(nation.directory())
    folder.save_identity(
        NodeIdentity(
            network=nation.network,
            agency=agency.code,
            root_sha256=nation.anchor,
            server_name=agency.server_name,
        )
    )
    settings = NodeSettings(listen=f"127.0.0.1:{port}", advertise=f"127.0.0.1:{port}")
    return TestNode(agency, data, settings)


def make_pair(tmp_path: Path) -> tuple[Nation, TestNode, TestNode]:
    """A nation with two agencies, H29 and G01, and a node for each."""
    nation = Nation.create(utc_now())
    ports = [free_port(), free_port()]
    agencies = [
        nation.add_agency(
            "H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"], address=f"127.0.0.1:{ports[0]}"
        ),
        nation.add_agency("G01", "Bộ Nội vụ", owns=["G01.22"], address=f"127.0.0.1:{ports[1]}"),
    ]
    nation.directory()
    first, second = (
        make_node(nation, agency, tmp_path / agency.code, port=port)
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
