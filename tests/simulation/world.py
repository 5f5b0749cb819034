"""One run: nodes, network, offices and faults of one seed; then all heals and is judged."""

import asyncio
import gc
import random
import resource
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from edoccore.directory.transparency import LogAnswer
from edoccore.errors import EdocError
from edocnet.directory.v1.directory_service_pb2_grpc import add_DirectoryServiceServicer_to_server
from edocnode.rpc.directory import DirectoryServicer
from edocnode.rpc.messages import batch_from_message
from edocnode.workers.sealer import SealerState
from tests.simulation import history
from tests.simulation.disk import Disk
from tests.simulation.faults import Nemesis
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.network import Network, Server
from tests.simulation.node import Clock, Kinds, Place, SimulatedNode
from tests.simulation.office import Request, decide_some, hand_in, make_request, take_back
from tests.simulation.process import Process, ProcessKilled
from tests.simulation.realm import REGISTRY_ADDRESS, Realm, address_of, realm
from tests.simulation.reform import Ends, Reformer, choose, compressed, seconds

DRAIN_S = 1800.0  # all queues are empty so long after the last fault
SETTLE_S = 45.0  # idle streams are closed after 20 s
RESTART_S = 10.0
TAKEN_BACK_SHARE = 0.12  # of documents
REPLAYED = 200  # batches that a replay may choose from
NOT_TRACED = {"event", "exc_info", "hash", "cause", "message", "why", "problem", "sha256"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large a run is.

    Attributes:
        documents: Handed in by each node.
        harm_s: For so long documents are handed in and things go wrong.
        faults: Whether things go wrong at all.
        traced: Whether what happens is written down.
        refresh_s: Between two looks at the registry; real nodes look every 60 s.
        acquaintances: Peers that each node has met before and greets at its start; 0: it has met
            nobody and greets all.
        reform: Whether agencies end and are named anew.
    """

    seed: int
    nodes: int = 3
    documents: int = 12
    harm_s: float = 60.0
    faults: bool = True
    traced: bool = True
    refresh_s: float = 10.0
    acquaintances: int = 0
    reform: bool = False
    kinds: Kinds = field(default_factory=Kinds)


def nation_plan(seed: int, nodes: int, *, documents: int = 1, harm_s: float = 20.0) -> Plan:
    """A run of many nodes that have been at work for long."""
    return Plan(
        seed=seed,
        nodes=nodes,
        documents=documents,
        harm_s=harm_s,
        faults=False,
        traced=False,
        refresh_s=60.0,
        acquaintances=3,
    )


@dataclass
class Report:
    """What came of a run."""

    seed: int
    violations: list[str]
    trace: list[str]
    documents: int
    cpu_s: float
    simulated_s: float
    memory_kib: int


class World:
    """Everything that a run has."""

    def __init__(self, plan: Plan, loop: SimulatedLoop) -> None:
        """Makes nodes and offices; nothing runs yet."""
        self.plan = plan
        self.harm_s = plan.harm_s
        self.lines: list[str] = []
        self.restored: dict[str, float] = {}
        self.came_back: dict[str, float] = {}  # when a node first ran after its last restore
        self.copied: set[str] = set()
        self.wire = history.Wire()
        self.violations: list[str] = []
        self._loop = loop
        self._background: set[asyncio.Task] = set()
        self._replayable: list[tuple[str, str, Any]] = []
        self._healed = False
        self.realm: Realm = realm(plan.nodes)
        if plan.reform:
            changes = choose(self.chance("reform"), self.realm.codes, plan.harm_s)
            self.realm = realm(plan.nodes, changes)
        self.ends = Ends(self.realm.changes)
        self.network = Network(self.chance("network"), self.trace)
        self.network.watchers.append(self._watch)
        self.registry = Registry(self)
        self.nodes = [self._node(code, address_of(code)) for code in self.realm.codes]
        self.requests: list[Request] = []

    def chance(self, name: str) -> random.Random:
        """A stream of chance of its own."""
        return random.Random(f"{self.plan.seed}/{name}")

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time()

    def trace(self, who: str, what: str) -> None:
        """Writes down what happened."""
        if self.plan.traced:
            self.lines.append(f"{self.time():11.6f} {who:<9} {what}")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task:
        """Runs work of the world beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def copy_of(self, node: SimulatedNode) -> SimulatedNode:
        """Starts a second node on a copy of a node's disk."""
        copy = self._node(node.code, f"{node.code.lower()}-copy.test:7443")
        copy.place.disk.restore(node.place.disk.copy())
        copy.place.disk.directory = node.place.disk.directory
        copy.place.disk.floor = node.place.disk.floor
        copy.start()
        return copy

    async def run(self) -> None:
        """The whole run."""
        self.registry.start()
        for node in self.nodes:
            node.start()
        keeping = self.spawn(self._keep_up())
        offices = [self.spawn(self._office(node)) for node in self.nodes]
        harm = self.spawn(Nemesis(self, self.chance("faults")).run()) if self.plan.faults else None
        reform = self.spawn(Reformer(self, self.chance("reformer")).run())
        await asyncio.sleep(self.harm_s)
        if harm is not None:
            harm.cancel()
        await self._heal()
        await asyncio.wait([*offices, reform], timeout=DRAIN_S)
        await self._drain()
        await asyncio.sleep(SETTLE_S)
        for node in self.nodes:
            await self._sweep(node)
        keeping.cancel()
        self.trace("WORLD", "judged")
        self.violations += history.judge(self) + self._loop.broken
        for node in self.nodes:
            node.kill("end")
        await asyncio.sleep(NOTHING_MORE_S)

    async def replay(self, chance: random.Random) -> None:
        """Sends a batch that was sent before, on a stream of its own."""
        if not self._replayable:
            return
        source, target, parcels = chance.choice(self._replayable)
        node = next((node for node in self.nodes if node.place.address == source), None)
        life = node.life if node else None
        if life is None:
            return
        self.trace("WORLD", f"replay of {len(parcels)} parcels {source} {target}")
        stream = None
        try:
            link = life.links.link(target.partition(".")[0])
            stream = await link.deliver(await life.sessions.hello_to(target))
            await stream.send(parcels)
            async with asyncio.timeout(10):
                async for _ in stream.answers():
                    break
        except (EdocError, TimeoutError, ProcessKilled):  # it acts in the name of a node's process
            return
        finally:
            if stream is not None:
                await stream.close()

    # --- inner

    def _ended(self, task: asyncio.Task) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.violations.append(f"the world broke: {error!r}")

    def _node(self, code: str, address: str) -> SimulatedNode:
        chance = self.chance(address)
        disk = Disk.new(chance)
        disk.directory = self.realm.first
        disk.floor = self.realm.first.floor()
        disk.know(chance.sample(self.realm.codes, self.plan.acquaintances))
        place = Place(
            agency=self.realm.agency(code),
            address=address,
            disk=disk,
            clock=Clock(self.time),
            network=self.network,
            chance=chance,
            kinds=self.plan.kinds,
            on_directory=self.wire.directory,
            refresh=timedelta(seconds=self.plan.refresh_s),
        )
        return SimulatedNode(place, self.trace)

    async def _office(self, node: SimulatedNode) -> None:
        chance = self.chance(f"office {node.code}")
        clerk = self.chance(f"clerk {node.code}")
        others = [code for code in self.realm.codes if code != node.code]
        handing: set[asyncio.Task] = set()
        for number in range(self.plan.documents):
            await asyncio.sleep(chance.random() * 2 * self.harm_s / self.plan.documents * 0.9)
            request = make_request(chance, node.code, others, number)
            self.requests.append(request)
            handing.add(self.spawn(hand_in(node, request, chance)))
            if clerk.random() < TAKEN_BACK_SHARE:
                handing.add(self.spawn(take_back(node, request, clerk)))
            await decide_some(node, clerk)
        if handing:
            await asyncio.wait(handing)

    async def _keep_up(self) -> None:
        """Starts again what died, as a service manager does."""
        chance = self.chance("service manager")
        while True:
            await asyncio.sleep(0.5 if self._healed else chance.random() * RESTART_S)
            for node in self.nodes:
                if node.life is None and node.away_until <= self.time():
                    if node.code in self.restored:
                        self.came_back.setdefault(node.code, self.time())
                    node.start()

    async def _heal(self) -> None:
        self.trace("WORLD", "all heals")
        self._healed = True
        weather = self.network.weather
        weather.cut.clear()
        weather.delay_s, weather.loss = 0.02, 0.0
        self.registry.heal()
        for node in self.nodes:
            node.place.disk.full, node.place.disk.failing = 0.0, False
            node.place.clock.off = node.place.clock.off * 0
            if node.life is not None:
                node.life.process.die_in(0)

    async def _drain(self) -> None:
        """Waits until nothing waits; an operator takes over where another copy has run."""
        deadline = self.time() + DRAIN_S
        while waiting := self._waiting():
            if self.time() > deadline:
                self.violations.append(f"I7: not quiet after {DRAIN_S} s: {waiting}")
                return
            await asyncio.sleep(1.0)
            for node in self.nodes:
                await self._take_over(node)

    async def _take_over(self, node: SimulatedNode) -> None:
        life = node.life
        if life is None or not (node.code in self.copied or node.code in self.restored):
            return
        if life.sealer.state is SealerState.SUPERSEDED:
            self.trace(node.name, "the operator takes over")
            PROCESS.set(life.process)
            task = self._loop.create_task(life.sealer.takeover())
            PROCESS.set(None)
            await asyncio.wait({task})

    def _waiting(self) -> list[str]:
        away = [f"{node.name} is away" for node in self.nodes if node.away_until > self.time()]
        return [*away, *(text for node in self.nodes for text in history.waiting(node))]

    async def _sweep(self, node: SimulatedNode) -> None:
        if node.life is not None:
            PROCESS.set(node.life.process)
            task = self._loop.create_task(node.life.staging.sweep())
            PROCESS.set(None)
            await asyncio.wait({task})

    def _watch(self, source: str, target: str, message: Any) -> None:
        if not hasattr(message, "batch") or not message.HasField("batch"):
            return
        parcels = batch_from_message(message.batch)
        sender = source.partition(".")[0].upper()
        self.wire.batch(sender, target, parcels)
        for node in self.nodes:
            if node.name == target:
                now = seconds(node.place.clock())
                is_behind = self.ends.sealed_late(node.code, self.time())
                is_behind = is_behind and not self.ends.sealed_late(node.code, now)
                self.wire.came(node.name, now, parcels, is_behind=is_behind)
        self.trace(target, f"gets {history.told(parcels)} from {sender}")
        if self.plan.faults:
            self._replayable.append((source, target, parcels))
            del self._replayable[:-REPLAYED]


NOTHING_MORE_S = 30.0  # for what the ended processes leave behind in the loop


def reform_plan(seed: int) -> Plan:
    """A run in which agencies end and are named anew."""
    return Plan(seed=seed, nodes=4, documents=8, reform=True)


class Registry:
    """Serves one of the directory's versions: the newest, or an older one."""

    def __init__(self, world: World) -> None:
        """Serves the oldest."""
        self._world = world
        self._newest = 0
        self._served = 0
        self._process = Process("REGISTRY", on_death=lambda _: None)

    def start(self) -> None:
        """Begins to serve."""
        server = Server(self._process, None)
        servicer = DirectoryServicer(
            lambda: self._world.realm.directory(self._served), lambda _size, _digest: LogAnswer()
        )
        add_DirectoryServiceServicer_to_server(servicer, server)
        self._world.network.servers[REGISTRY_ADDRESS] = server

    def change(self, chance: random.Random) -> None:
        """Publishes a newer one, or serves an older one for a while."""
        versions = len(self._world.realm.versions)
        if chance.random() < 0.5 and self._newest + 1 < versions:
            self._newest += 1
            self._served = self._newest
        else:
            self._served = chance.randint(0, self._newest)
        self._world.trace("REGISTRY", f"serves version {self._served} of {self._newest}")

    def publish(self, version: int) -> None:
        """Has a version and serves it, unless a newer one was published before."""
        self._newest = max(self._newest, version)
        self._served = max(self._served, version)

    def heal(self) -> None:
        """Serves the newest."""
        self._served = self._newest


def simulate(plan: Plan) -> Report:
    """Runs a seed to its end and judges it."""
    began, memory = time.process_time(), _peak_kib()
    realm(plan.nodes)
    loop = SimulatedLoop(random.Random(f"{plan.seed}/threads"))
    world = World(plan, loop)
    _capture_logs(world)
    gc_was_on = gc.isenabled()
    if plan.traced:
        gc.disable()  # when garbage is found must not decide anything
    asyncio.set_event_loop(None)
    try:
        with compressed():
            loop.run_until_complete(world.run())
            simulated = loop.time()
            _end_tasks(loop)
    finally:
        loop.close()
        structlog.reset_defaults()
        if gc_was_on:
            gc.enable()
            gc.collect()
    return Report(
        seed=plan.seed,
        violations=world.violations,
        trace=world.lines,
        documents=len(world.requests),
        cpu_s=time.process_time() - began,
        simulated_s=simulated,
        memory_kib=_peak_kib() - memory,
    )


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _end_tasks(loop: SimulatedLoop) -> None:
    left = sorted((task for task in asyncio.all_tasks(loop)), key=hash)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=60))


def _capture_logs(world: World) -> None:
    """Lets the product's own log lines into the trace."""

    def capture(_logger: object, method: str, event: Any) -> Any:
        process = PROCESS.get()
        fields = " ".join(
            f"{key}={value}" for key, value in sorted(event.items()) if key not in NOT_TRACED
        )
        who = process.name if process is not None else "WORLD"
        world.trace(who, f"{event['event']} {fields}".rstrip())
        if method == "exception" or event.get("exc_info"):
            world.trace(who, f"  {_told(event.get('exc_info'))}")
            if event["event"] in history.NEVER_LOGGED:
                world.violations.append(f"{who} logged {event['event']}: {_told(event)}")
        raise structlog.DropEvent

    structlog.configure(processors=[capture], cache_logger_on_first_use=False)


def _told(exc_info: object) -> str:
    import sys

    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    return repr(error)[:300]
