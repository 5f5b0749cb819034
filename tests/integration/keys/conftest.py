"""A real registry and two nodes that joined it by join string, all in this process.

Everything was founded ``AGE`` ago: the seals have ``SEAL_LIFE`` minus that left.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edocnode.app.joining import join_network
from edocnode.settings import NodeSettings
from edocnode.storage.folder import DataFolder
from edocregistry.app.registry import Registry
from edocregistry.app.serving import LOG_PATIENCE, Serving
from tests.support import nation
from tests.support.nodes import TestNode
from tests.support.ports import free_port
from tests.support.registry import OFFICER, Clock, found_registry

AGE = timedelta(days=680)
CODES = {"H29": "Ủy ban nhân dân tỉnh Hà Tĩnh", "G01": "Bộ Nội vụ"}


def utc_now() -> datetime:
    """The clock of all once they run."""
    return datetime.now(UTC)


@dataclass
class Country:
    """A registry and its nodes."""

    folder: Path
    registry: Registry
    port: int
    clock: Clock
    nodes: dict[str, TestNode] = field(default_factory=dict)

    @property
    def first(self) -> TestNode:
        """The node of H29."""
        return self.nodes["H29"]

    @property
    def second(self) -> TestNode:
        """The node of G01."""
        return self.nodes["G01"]

    def invitation(self, code: str) -> str:
        """A join string."""
        return self.registry.invite(OFFICER, code, timedelta(hours=1))

    async def join(self, code: str) -> None:
        """Adds an agency and lets its node join."""
        self.registry.add_agency(OFFICER, code, CODES[code], aliases=(), owner=None)
        port, data = free_port(), self.folder / code
        address = f"127.0.0.1:{port}"
        values = {"listen": address, "advertise": address, "directory_refresh_s": 1}
        settings = NodeSettings.model_validate(values)
        await join_network(
            DataFolder(data),
            self.invitation(code),
            advertise=address,
            database_url=settings.database_url(DataFolder(data).database_file),
            clock=self.clock,
        )
        agency = nation.Agency  # the nodes have their own keys
        self.nodes[code] = TestNode(agency, data, settings, clock=self.clock)  # type: ignore[arg-type]

    def in_force(self) -> nation.Directory:
        """The directory as published now."""
        self.registry.publisher._trusted = None
        return self.registry.directory()

    @asynccontextmanager
    async def serving(self, patience: timedelta = LOG_PATIENCE) -> AsyncIterator[None]:
        """The registry answers for the block."""
        every = timedelta(seconds=0.5)
        serving = Serving(self.registry, interval=every, patience=patience)
        ready = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                serving.run(lambda _: ready.set())
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)
                ready.set()

        thread = threading.Thread(target=run)
        thread.start()
        await asyncio.to_thread(ready.wait)
        try:
            assert not failed, failed
            yield
        finally:
            serving.stop()
            await asyncio.to_thread(thread.join)
        assert not failed, failed


@pytest.fixture
async def country(tmp_path: Path) -> Country:
    """H29 and G01, joined ``AGE`` ago; it is now."""
    clock, port = Clock(datetime.now(UTC) - AGE), free_port()
    registry = found_registry(tmp_path / "registry", clock, listen=f"127.0.0.1:{port}")
    made = Country(tmp_path, registry, port, clock)
    async with made.serving():
        for code in CODES:
            await made.join(code)
    clock.move(AGE)
    clock_now: Callable[[], datetime] = utc_now
    registry._clock = registry.publisher._clock = clock_now
    for node in made.nodes.values():
        node.clock = clock_now
    return made
