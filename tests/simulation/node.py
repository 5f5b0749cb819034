"""A node of the product in the simulated world: the same parts, joined as ``app.node`` joins them.

The one place that knows the product's constructors. What is replaced is below them: database
driver, folder of parts, gRPC channels, clock and chance.
"""

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from edoccore.directory.state import Freshness
from edoccore.directory.view import Directory
from edoccore.errors import (
    EdocError,
    PeerUnreachableError,
    RegistryUnreachableError,
    StorageFailedError,
)
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import SoftwareSigner
from edockit.grpc_peer import AuthContext, peer_certificate, require_tls13
from edocnode.app.repair import build_reckoning, build_repair
from edocnode.app.revoking import build_revocations
from edocnode.domain.directory import DirectorySource, RefreshPlan, RegistrySource
from edocnode.domain.sealing import SealingKey
from edocnode.domain.setting_aside import SET_ASIDE
from edocnode.rpc.directory import GrpcSource
from edocnode.rpc.lending import lend_over
from edocnode.rpc.peers import Links, OwnTls
from edocnode.rpc.server import Mutual, register_exchange
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from edocnode.workers.answers import AnswerReader
from edocnode.workers.courier import CourierParts
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.directory import DirectoryKeeper
from edocnode.workers.fair_service import FairService
from edocnode.workers.greeting import Greeter
from edocnode.workers.judging import Judging
from edocnode.workers.parts import PartShelf
from edocnode.workers.receiving import ReceivingDesk
from edocnode.workers.room import when_there_is_room
from edocnode.workers.scheduling import Scheduler
from edocnode.workers.sealer import Sealer, SealerState
from edocnode.workers.service import NodeService
from edocnode.workers.sessions import Sessions
from edocnode.workers.setting_aside import SettingAside
from edocnode.workers.staging import Staging
from tests.simulation.disk import (
    Disk,
    SimulatedBlobs,
    SimulatedDatabase,
    SimulatedDirectoryFiles,
)
from tests.simulation.loop import PROCESS
from tests.simulation.network import Channel, Network, Server
from tests.simulation.process import Process
from tests.simulation.realm import REGISTRY_ADDRESS, START, address_of
from tests.support.nation import Agency

QUOTA_BYTES = 1 << 30
SETTINGS = SimpleNamespace(
    scrub_bytes_per_second=1 << 20, revocations="auto", updates="auto", copies_kept=()
)
PATIENCE = timedelta(seconds=60)
SWEEP_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The parts of a node that a planted bug may replace."""

    store: type[NodeStore] = NodeStore
    sealer: type[Sealer] = Sealer
    desk: type[ReceivingDesk] = ReceivingDesk
    judging: type[Judging] = Judging
    keeper: type[DirectoryKeeper] = DirectoryKeeper
    database: type[SimulatedDatabase] = SimulatedDatabase


class Clock:
    """A node's clock: the world's, and how far it is off."""

    def __init__(self, world: Callable[[], float]) -> None:
        """Begins right."""
        self._world = world
        self.off = timedelta()

    def __call__(self) -> datetime:
        """The moment as this node sees it."""
        return START + timedelta(seconds=self._world()) + self.off


@dataclass(kw_only=True)
class Place:
    """Where a node runs and what it is made of; outlives its processes.

    Attributes:
        on_directory: Hears of each directory that comes into force: process, version.
        refresh: Between two looks at the registry.
    """

    agency: Agency
    address: str
    disk: Disk
    clock: Clock
    network: Network
    chance: random.Random
    kinds: Kinds
    on_directory: Callable[[str, int], None]
    refresh: timedelta


class Life:
    """A running node: one process."""

    def __init__(self, place: Place, process: Process) -> None:
        """Builds all parts; called in the context of the process."""
        self.place = place
        self.process = process
        agency, clock, kinds = place.agency, place.clock, place.kinds
        self.database = kinds.database(place.disk, process)
        self.store = kinds.store(self.database)
        self.store.raise_alarm = self._raise_alarm
        self.blobs = SimulatedBlobs(place.disk, process)
        self.office = SqlOffice(self.database)
        files = SimulatedDirectoryFiles(place.disk, process)
        directory = files.load()
        place.on_directory(process.name, directory.mark.version)
        self.keeper = kinds.keeper(
            directory,
            agency=agency.code,
            sources=_Sources(place, process),
            store=files,
            alarms=self.store,
            clock=clock,
            jitter=place.chance.random,
            plan=RefreshPlan(every=place.refresh),
        )
        self.sealer = kinds.sealer(
            store=self.store,
            alarms=self.store,
            signer=_signer(agency),
            key=SealingKey(
                network=agency.network,
                agency=agency.code,
                certificates=agency.digests,
                suite=_signer(agency).suite,
            ),
            directory=lambda: self.keeper.current.mark,
            clock=clock,
            chance=place.chance.randbytes,
        )
        self.sealer.ends_when(lambda: self.keeper.current.has_ended(agency.code, clock()))
        self.failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._build()

    @property
    def directory(self) -> Directory:
        """The directory in force."""
        return self.keeper.current

    def _build(self) -> None:
        code, network = self.place.agency.code, self.place.agency.network
        clock, store = self.place.clock, self.store
        own = OwnTls(self.place.agency.tls_certificate_pem, b"")
        in_force = lambda: self.keeper.current  # noqa: E731
        self.links = Links(directory=in_force, own=lambda: own, clock=clock, connect=self._connect)
        shared = {"network": network, "agency": code, "directory": in_force, "clock": clock}
        self.sessions = Sessions(
            journals=store, outbox=store, alarms=store, sealer=self.sealer, **shared
        )
        self.staging = Staging(inbox=store, blobs=self.blobs, quota_bytes=QUOTA_BYTES, clock=clock)
        judging = self.place.kinds.judging(sessions=self.sessions, **shared)
        judging.on_directory(self.keeper.heard)
        self.desk = self.place.kinds.desk(
            agency=code,
            judging=judging,
            inbox=store,
            staging=self.staging,
            sealer=self.sealer,
            directory=in_force,
            clock=clock,
        )
        self.repair = build_repair(store, self.blobs, self.links, settings=SETTINGS, clock=clock)
        shelf = PartShelf(self.blobs, self.repair.repairer.suspect)
        self.scheduler = Scheduler(schedule=store, sealer=self.sealer, clock=clock)
        reader = AnswerReader(jitter=self.place.chance.random, **shared)
        parts = CourierParts(
            outbox=store,
            links=self.links,
            sessions=self.sessions,
            sealer=self.sealer,
            shelf=shelf,
            reader=reader,
            clock=clock,
            jitter=self.place.chance.random,
        )
        self.dispatcher = Dispatcher(
            outbox=store,
            peers=store,
            parts=parts,
            aside=SettingAside("sending", "Sending", alarms=store, clock=clock),
            clock=clock,
            can_send=self._may_send,
        )
        self.greeter = Greeter(links=self.links, sessions=self.sessions, store=store, **shared)
        self.reckoning = build_reckoning(
            code,
            SimpleNamespace(store=store, sealer=self.sealer),
            self.links,
            self.greeter,
            reader=reader,
            dispatcher=self.dispatcher,
            directory=in_force,
            clock=clock,
        )
        self.revocations = build_revocations(
            code,
            SimpleNamespace(database=self.database, store=store, sealer=self.sealer),
            self.blobs,
            directory=in_force,
            settings=SETTINGS,
            clock=clock,
            random=self.place.chance.randbytes,
        )
        self._join(shelf)

    def _join(self, shelf: PartShelf) -> None:
        """Who hears of what."""
        self.keeper.on_change(
            lambda newer: self.place.on_directory(self.process.name, newer.mark.version)
        )
        self.sealer.on_sealed(self.dispatcher.on_sealed)
        self.sealer.paced_by(self.dispatcher.have_enough)
        self.sealer.on_takeover(self.greeter.everybody_again)
        self.sessions.on_met(self.dispatcher.peer_met)
        self.sessions.on_own_loss(self.greeter.recover)
        self.sessions.on_met(self.greeter.peer_met)
        self.sessions.on_directory(self.keeper.heard)
        server = Server(self.process, self._caller, self._fail)
        self.reckoning.connect(self.sessions, self.sealer, self.dispatcher)
        self.database.on_failure = self._fail
        service = NodeService(
            sessions=self.sessions,
            desk=self.desk,
            staging=self.staging,
            inbox=self.store,
            repair=self.store,
            shelf=shelf,
            numbers=self.store,
            clock=self.place.clock,
        )
        self.service = FairService(service, self.blobs, weight=lambda _: 1, on_failure=self._fail)
        mutual = Mutual(self.keeper.borrow, self.reckoning.prover, self.keeper.log_answer)
        in_force = lambda: self.keeper.current  # noqa: E731
        register_exchange(server, self.service, in_force, mutual, patience=PATIENCE)
        self.place.network.servers[self.place.address] = server

    async def run(self) -> None:
        """Runs all loops until one fails.

        Raises:
            StorageFailedError: The disk failed; the process must end.
        """
        jobs = {
            "sealer": self.sealer.run(),
            "keeper": self.keeper.run(),
            "dispatcher": self.dispatcher.run(),
            "scheduler": self.scheduler.run(),
            "greeting": self._greet(),
            "sweep": self._sweep(),
        }
        running = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
        running += [
            asyncio.create_task(job)
            for job in (
                self.greeter.run(),
                *self.repair.jobs(),
                *self.reckoning.jobs(),
                *self.revocations.jobs(),
            )
        ]
        watched: set[asyncio.Future] = {self.failing, *running}
        while True:
            done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=hash):
                if task.cancelled() and self.process.alive:
                    raise RuntimeError(f"{task.get_name()} was cancelled by nobody")
                task.result()

    async def stop(self) -> None:
        """Ends in order, as a node does that is told to stop."""
        await self.greeter.stop()
        await self.reckoning.stop()
        await self.dispatcher.stop()
        await self.links.close()
        await self.service.stop()

    async def _greet(self) -> None:
        await self.sealer.opened()
        await self.greeter.greet_all()

    async def _sweep(self) -> None:
        while True:
            await when_there_is_room("sweep", self.staging.sweep)
            await asyncio.sleep(SWEEP_EVERY.total_seconds())

    def _may_send(self) -> bool:
        expired = self.keeper.state().freshness is Freshness.EXPIRED
        return not expired and self.sealer.state is not SealerState.SUPERSEDED

    def _connect(self, address: str, **_: object) -> Channel:
        certificate = self.place.agency.tls_certificate_pem
        return Channel(self.place.network, self.place.address, address, certificate)

    def _caller(self, context: AuthContext) -> str:
        require_tls13(context)
        digest = certificate_digest(peer_certificate(context))
        return self.directory.tls_agency(digest, self.place.clock())

    async def _raise_alarm(self, kind: str, *told: Any, **named: Any) -> None:
        """Here a fault of the program is none to go on with."""
        if kind == SET_ASIDE:
            self._fail(RuntimeError(told[1]))
        await type(self.store).raise_alarm(self.store, kind, *told, **named)

    def _fail(self, error: Exception) -> None:
        if not self.failing.done():
            self.failing.set_exception(error)


class _Sources:
    """See ``domain.directory.DirectorySources``."""

    def __init__(self, place: Place, process: Process) -> None:
        self._place = place

    @asynccontextmanager
    async def registry(self, directory: Directory) -> AsyncIterator[RegistrySource]:
        async with self._channel(REGISTRY_ADDRESS) as channel:
            yield GrpcSource(channel, RegistryUnreachableError)

    @asynccontextmanager
    async def peer(self, directory: Directory, agency: str) -> AsyncIterator[DirectorySource]:
        async with self._channel(address_of(agency)) as channel:
            yield GrpcSource(channel, PeerUnreachableError)

    async def lend(self, directory: Directory, agency: str) -> None:
        async with self._channel(address_of(agency)) as channel:
            await lend_over(channel, directory)

    def _channel(self, address: str) -> Channel:
        place = self._place
        return Channel(place.network, place.address, address, place.agency.tls_certificate_pem)


class SimulatedNode:
    """A node over all its lives."""

    def __init__(self, place: Place, trace: Callable[[str, str], None]) -> None:
        """Takes where it runs; nothing runs before ``start``."""
        self.place = place
        self.life: Life | None = None
        self.lives = 0
        self.unexpected: list[str] = []
        self.away_from = self.away_until = 0.0  # it is switched off, by seconds from the beginning
        self._trace = trace
        self._silent_death = False

    @property
    def code(self) -> str:
        """Its agency."""
        return self.place.agency.code

    @property
    def name(self) -> str:
        """In traces."""
        return self.place.address.partition(".")[0].upper()

    @property
    def is_up(self) -> bool:
        """Whether a process runs."""
        return self.life is not None

    def start(self) -> None:
        """Begins another life."""
        assert self.life is None
        self.lives += 1
        self._trace(self.name, f"start, life {self.lives}")
        process = Process(self.name, on_death=self._died)
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        try:
            context.run(self._begin, process)
        except EdocError as error:
            self.unexpected.append(f"{self.name} cannot start: {error.message}")
            process.alive = False

    def _begin(self, process: Process) -> None:
        self.life = life = Life(self.place, process)
        task = asyncio.get_running_loop().create_task(life.run())
        task.add_done_callback(lambda done: self._ended(life, done))

    def kill(self, why: str, *, silently: bool = False) -> None:
        """Ends the life like SIGKILL; ``silently`` like a power cut, which peers notice later."""
        if self.life is not None:
            self._silent_death = silently
            self.life.process.kill(why)

    async def stop(self) -> None:
        """Ends the life in order."""
        if (life := self.life) is None:
            return
        context = contextvars.copy_context()
        context.run(PROCESS.set, life.process)
        stopping = asyncio.get_running_loop().create_task(life.stop(), context=context)
        await asyncio.wait({stopping})
        self.kill("stop")

    def _ended(self, life: Life, task: asyncio.Task) -> None:
        if task.cancelled() or not life.process.alive:
            return
        error = task.exception()
        if not isinstance(error, StorageFailedError):
            self.unexpected.append(f"{self.name} ended with {error!r}")
        life.process.kill(f"ends: {type(error).__name__}")

    def _died(self, why: str) -> None:
        assert self.life is not None
        self._trace(self.name, f"dies: {why}")
        process, self.life = self.life.process, None
        self.place.disk.crash()
        self.place.network.died(process, silently=self._silent_death)
        self._silent_death = False


_SIGNERS: dict[str, SoftwareSigner] = {}


def _signer(agency: Agency) -> SoftwareSigner:
    """The signer of an agency; reading its certificate is most of its cost."""
    key = agency.digests[0]
    if key not in _SIGNERS:
        _SIGNERS[key] = agency.signer
    return _SIGNERS[key]
