"""A running node: every part built, joined and stopped in order.

Nothing is bound before the data folder is locked and its keys were found usable. When the disk
fails to keep a write the node stops: whatever it would say afterwards could be false.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from edoccore.directory.state import Freshness
from edoccore.directory.view import Directory
from edoccore.errors import PeerNotTrustedError, StorageFailedError
from edoccore.identity.certificate import certificate_digest
from edockit.blobs import BlobFolder
from edockit.files import lock_folder
from edockit.grpc_peer import AuthContext, is_tls_certificate, peer_certificate, require_tls13
from edockit.grpc_server import HANDSHAKE_TIMEOUT_MS, bind, peer_server
from edockit.language import marked
from edocnode.app.directory_log import log_parts
from edocnode.app.ground import Ground, Workers
from edocnode.app.keys import build_seal_keeper, build_tls_renewal
from edocnode.app.local import local_servers
from edocnode.app.loops import resting, start_loops
from edocnode.app.moving import check_not_moved
from edocnode.app.overview import Overview, build_overview
from edocnode.app.own_entry import build_own_entry
from edocnode.app.parts import Opens, open_sealing, sealing_context
from edocnode.app.pins import Pins
from edocnode.app.repair import Reckoning, Repair, build_reckoning, build_repair
from edocnode.app.retired import check_not_retired
from edocnode.app.revoking import Revocations, build_revocations
from edocnode.app.scanning import Scanning, build_scanning
from edocnode.app.signatures import SignatureParts, build_signatures
from edocnode.app.stopping import fail, until_stopped, watch
from edocnode.domain.directory import RefreshPlan
from edocnode.domain.own_entry import is_silent
from edocnode.domain.quotas import CallQuotas
from edocnode.rpc.directory import GrpcSources
from edocnode.rpc.joining import load_or_fetch
from edocnode.rpc.peers import Links
from edocnode.rpc.server import Mutual, register_exchange
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.storage.seal_key import key_places
from edocnode.workers.answers import AnswerReader
from edocnode.workers.courier import CourierParts
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.directory import DirectoryKeeper
from edocnode.workers.fair_service import FairService
from edocnode.workers.greeting import Greeter
from edocnode.workers.judging import Judging
from edocnode.workers.parts import PartShelf
from edocnode.workers.receiving import ReceivingDesk
from edocnode.workers.scheduling import Scheduler
from edocnode.workers.sealer import SealerState
from edocnode.workers.service import NodeService
from edocnode.workers.sessions import Sessions
from edocnode.workers.staging import Staging
from edocnode.workers.suspensions import Suspensions

DRAIN = timedelta(seconds=5)  # calls under way may finish within it

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a node listens; ``office`` is the socket for offices, if there is one."""

    listen: str
    socket: Path
    office: Path | None = None


async def serve(
    data: Path,
    settings: NodeSettings,
    *,
    clock: Callable[[], datetime],
    stop: asyncio.Event,
    ready: Callable[[Ready], None],
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Runs a node until ``stop`` is set.

    Args:
        ready: Called once, when both servers answer.
        stopping: Called once, when it begins to stop, for whatever reason.

    Raises:
        FolderInUseError, DataFolderError, KeyUnusableError: The data folder cannot be used.
        AddressInUseError: Another program listens on the address.
        StorageFailedError: The disk failed; nothing unkept was acknowledged.
    """
    folder = DataFolder(data, key_places(settings, data))
    identity = folder.identity()
    with lock_folder(data):
        check_not_moved(folder)
        check_not_retired(folder)
        async with AsyncExitStack() as stack:
            opened = ground_of(settings, folder, identity, clock)
            ground = await stack.enter_async_context(opened)
            workers = workers_on(ground)
            failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watch(ground.sealing.database, failing)
            servers = _servers(ground, workers, lambda error: fail(failing, error))
            where = await stack.enter_async_context(servers)
            stack.push_async_callback(stop_workers, workers)
            stack.callback(stopping)
            running = start_loops(ground, workers, where.listen)
            ready(where)
            # The sealer goes on until the servers have answered what is under way.
            await until_stopped(stop, running, watched=[ground.sealing.sealing, failing])


@asynccontextmanager
async def ground_of(
    settings: NodeSettings,
    folder: DataFolder,
    identity: NodeIdentity,
    clock: Callable[[], datetime],
    *,
    opened: Opens = open_sealing,
) -> AsyncIterator[Ground]:
    """Opens the database and what stands on it, and loads the directory of the last run.

    Args:
        opened: ``open_resting`` for a node that seals nothing.
    """
    store = DirectoryFiles(folder.directory, identity.root_sha256)
    directory = await load_or_fetch(store, identity.root_sha256)
    current: list[Directory] = [directory]
    context = sealing_context(folder, identity, lambda: current[0], clock)
    tls = context.tls
    url, scans = settings.database_url(folder.database_file), bool(settings.scanner)
    async with opened(context, url, scans=scans) as sealing:
        keeper = DirectoryKeeper(
            directory,
            agency=identity.agency,
            sources=GrpcSources(lambda: (tls.pair.chain, tls.pair.key), clock),
            store=store,
            alarms=sealing.store,
            clock=clock,
            jitter=random.random,
            plan=RefreshPlan(every=settings.directory_refresh),
        )
        keeper.follow_log(log_parts(folder, identity, sealing, clock))
        keeper.on_change(lambda newer: current.__setitem__(0, newer))
        yield Ground(settings, folder, identity, context, keeper, sealing, clock)


def workers_on(ground: Ground) -> Workers:
    """Builds all that runs on a ground; nothing runs yet."""
    store = ground.sealing.store
    blobs = BlobFolder(ground.folder.blobs)
    links = Links(directory=ground.directory, own=ground.tls, clock=ground.clock)
    repair = build_repair(store, blobs, links, settings=ground.settings, clock=ground.clock)
    shelf = PartShelf(blobs, repair.repairer.suspect)
    sessions = _sessions(ground)
    quota = ground.settings.staging_quota_bytes
    staging = Staging(inbox=store, blobs=blobs, quota_bytes=quota, clock=ground.clock)
    desk = _desk(ground, sessions, staging)
    reader, clock = _reader(ground), ground.clock
    dispatcher = _dispatcher(ground, sessions, links, shelf, reader)
    greeter = _greeter(ground, sessions, links)
    reckoning = _reckoning(ground, links, greeter, reader, dispatcher)
    _connect(ground, sessions, dispatcher, greeter)
    reckoning.connect(sessions, ground.sealing.sealer, dispatcher)
    scheduler = Scheduler(schedule=store, sealer=ground.sealing.sealer, clock=clock)
    suspensions = Suspensions(CallQuotas(ground.settings.weight), store, clock)
    signatures = _signatures(ground, blobs, repair)
    return Workers(
        sessions,
        dispatcher,
        greeter,
        links,
        staging,
        _service(ground, sessions, desk, staging, shelf),
        blobs,
        scheduler,
        repair,
        reckoning,
        suspensions,
        _overview(ground, desk),
        _revocations(ground, blobs),
        signatures,
        *build_own_entry(ground),
        build_tls_renewal(ground, links),
        build_seal_keeper(ground),
        _scanning(ground, blobs, repair),
    )


def _signatures(ground: Ground, blobs: BlobFolder, repair: Repair) -> SignatureParts:
    return build_signatures(
        ground.sealing.store,
        blobs,
        repair.repairer,
        ground.settings,
        data=ground.folder.path,
        identity=ground.identity,
        encryption=ground.context.encryption,
        clock=ground.clock,
    )


def _scanning(ground: Ground, blobs: BlobFolder, repair: Repair) -> Scanning:
    return build_scanning(
        ground.identity.agency,
        ground.sealing,
        blobs,
        repair.repairer,
        settings=ground.settings,
        encryption=ground.context.encryption,
        directory=ground.directory,
        clock=ground.clock,
    )


def _reckoning(
    ground: Ground, links: Links, greeter: Greeter, reader: AnswerReader, dispatcher: Dispatcher
) -> Reckoning:
    return build_reckoning(
        ground.identity.agency,
        ground.sealing,
        links,
        greeter,
        reader=reader,
        dispatcher=dispatcher,
        directory=ground.directory,
        clock=ground.clock,
    )


def _overview(ground: Ground, desk: ReceivingDesk) -> Overview:
    overview = build_overview(
        ground.settings, ground.folder, ground.sealing, ground.directory, ground.clock
    )
    desk.on_repeated(overview.counter.repeated)
    return overview


def _revocations(ground: Ground, blobs: BlobFolder) -> Revocations:
    return build_revocations(
        ground.identity.agency,
        ground.sealing,
        blobs,
        directory=ground.directory,
        settings=ground.settings,
        clock=ground.clock,
    )


def _service(
    ground: Ground, sessions: Sessions, desk: ReceivingDesk, staging: Staging, shelf: PartShelf
) -> NodeService:
    store = ground.sealing.store
    return NodeService(
        sessions=sessions,
        desk=desk,
        staging=staging,
        inbox=store,
        repair=store,
        shelf=shelf,
        numbers=store,
        clock=ground.clock,
    )


def _sessions(ground: Ground) -> Sessions:
    store = ground.sealing.store
    return Sessions(
        network=ground.identity.network,
        agency=ground.identity.agency,
        journals=store,
        outbox=store,
        alarms=store,
        sealer=ground.sealing.sealer,
        directory=ground.directory,
        clock=ground.clock,
    )


def _desk(ground: Ground, sessions: Sessions, staging: Staging) -> ReceivingDesk:
    judging = Judging(
        network=ground.identity.network,
        agency=ground.identity.agency,
        sessions=sessions,
        directory=ground.directory,
        clock=ground.clock,
    )
    judging.on_directory(ground.keeper.heard)
    return ReceivingDesk(
        agency=ground.identity.agency,
        judging=judging,
        inbox=ground.sealing.store,
        staging=staging,
        sealer=ground.sealing.sealer,
        directory=ground.directory,
        clock=ground.clock,
    )


def _reader(ground: Ground) -> AnswerReader:
    return AnswerReader(
        network=ground.identity.network,
        agency=ground.identity.agency,
        directory=ground.directory,
        clock=ground.clock,
    )


def _dispatcher(
    ground: Ground, sessions: Sessions, links: Links, shelf: PartShelf, reader: AnswerReader
) -> Dispatcher:
    store = ground.sealing.store
    parts = CourierParts(
        outbox=store,
        links=links,
        sessions=sessions,
        sealer=ground.sealing.sealer,
        shelf=shelf,
        reader=reader,
        clock=ground.clock,
    )
    return Dispatcher(
        outbox=store,
        peers=store,
        parts=parts,
        aside=resting(ground, "sending", marked("Sending what waits")),
        clock=ground.clock,
        can_send=lambda: _may_send(ground),
    )


def _may_send(ground: Ground) -> bool:
    """Whether documents may leave.

    Keys can be trusted, the own too, no newer copy of this node speaks, and its agency is heard:
    what peers would refuse waits here instead of expiring.
    """
    sealer = ground.sealing.sealer
    if ground.keeper.state().freshness is Freshness.EXPIRED or sealer.seal_problem():
        return False
    if is_silent(ground.directory(), ground.identity.agency, ground.clock()):
        return False
    return sealer.state is not SealerState.SUPERSEDED


def _greeter(ground: Ground, sessions: Sessions, links: Links) -> Greeter:
    store = ground.sealing.store
    return Greeter(
        network=ground.identity.network,
        agency=ground.identity.agency,
        links=links,
        sessions=sessions,
        store=store,
        directory=ground.directory,
        clock=ground.clock,
    )


def _connect(
    ground: Ground,
    sessions: Sessions,
    dispatcher: Dispatcher,
    greeter: Greeter,
) -> None:
    """Who hears of what."""
    ground.sealing.sealer.on_sealed(dispatcher.on_sealed)
    ground.sealing.sealer.paced_by(dispatcher.have_enough)
    ground.sealing.sealer.on_takeover(greeter.everybody_again)
    sessions.on_met(dispatcher.peer_met)
    sessions.on_met(greeter.peer_met)
    sessions.on_own_loss(greeter.recover)
    sessions.on_directory(ground.keeper.heard)


@asynccontextmanager
async def _servers(
    ground: Ground, workers: Workers, on_failure: Callable[[StorageFailedError], None]
) -> AsyncIterator[Ready]:
    pins = Pins(lambda: ground.context.tls.pair, ground.directory(), ground.clock)
    ground.keeper.on_change(pins.publish)
    workers.tls_renewal.on_change(pins.renew)
    workers.suspensions.on_shut_out(pins.shut_out)
    patience = ground.settings.patience
    limit_ms = min(HANDSHAKE_TIMEOUT_MS, int(patience.total_seconds() * 1000))
    handshake = ("grpc.server_handshake_timeout_ms", limit_ms)
    peers = peer_server(
        lambda context: _peer(ground, context),
        gate=workers.suspensions,
        options=[handshake],
        on_failure=on_failure,
    )
    weight = ground.settings.weight
    service = FairService(workers.service, workers.blobs, weight=weight, on_failure=on_failure)
    exchange = register_exchange(
        peers,
        service,
        ground.directory,
        Mutual(ground.keeper.borrow, workers.reckoning.prover, ground.keeper.log_answer),
        patience=patience,
    )
    host, _, _ = ground.settings.listen.rpartition(":")
    listen = f"{host}:{bind(peers, ground.settings.listen, pins.tls)}"
    local = local_servers(ground, workers, listen, drain=DRAIN, on_failure=on_failure)
    async with local as place:
        await peers.start()
        try:
            yield Ready(listen, place.socket, place.office)
        finally:
            exchange.drain()
            await asyncio.gather(peers.stop(DRAIN.total_seconds()), place.stop())
            await service.stop()
            await workers.overview.counter.stop()


async def stop_workers(workers: Workers) -> None:
    """Ends what workers have under way."""
    await workers.greeter.stop()
    await workers.reckoning.stop()
    await workers.dispatcher.stop()
    await workers.signatures.stop()
    await workers.links.close()


def _peer(ground: Ground, context: AuthContext) -> str:
    """Whose node calls: checked for every call and every message of a stream."""
    require_tls13(context)
    certificate = peer_certificate(context)
    agency = ground.directory().tls_agency(certificate_digest(certificate), ground.clock())
    if not is_tls_certificate(certificate):
        raise PeerNotTrustedError(
            f"{agency} called with a certificate that is not for TLS.", agency=agency
        )
    return agency
