"""The sockets of this machine: the administrator's, and, when it is wanted, the one for offices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import cast

import grpc
import structlog

from edoccore.errors import StorageFailedError
from edockit.database import Database
from edockit.grpc_server import group_server, office_server
from edockit.language import marked
from edockit.unix_socket import bind_group_socket, bind_unix, remove_group_socket, remove_socket
from edocnode.app.evidence import EvidenceDesk
from edocnode.app.ground import Ground, Workers
from edocnode.app.keys import NodeKeys
from edocnode.app.loops import resting
from edocnode.app.overview import counter_of, overview_parts
from edocnode.domain.access import check_sender
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.retention import RetentionRules
from edocnode.rpc.access_desk import AccessDesk, Session
from edocnode.rpc.local import LocalParts, office_parts, register_local, register_offices
from edocnode.rpc.office import OfficeServicer
from edocnode.rpc.office_gate import OperatorRecord, TokenGate
from edocnode.rpc.revoking import Answers
from edocnode.storage.access_log import SqlAccessLog
from edocnode.storage.account_office import (
    AccountBook,
    AccountOffice,
    AccountRechecks,
    AccountStatistics,
    AccountSubmissions,
)
from edocnode.storage.accounts import SqlAccounts
from edocnode.storage.holds import SqlHolds
from edocnode.storage.office import SqlOffice
from edocnode.storage.official_numbers import SqlNumberBook
from edocnode.storage.retention import SqlRetention
from edocnode.storage.revoking import SqlSentRevocations
from edocnode.storage.scope import ScopedDatabase
from edocnode.workers.access_log import AccessRecorder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """Where programs on this machine call.

    Attributes:
        office: None unless the setting asks for it.
        stop: Takes no more calls, and waits for those under way; repeating it does nothing.
    """

    socket: Path
    office: Path | None
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def local_servers(
    ground: Ground,
    workers: Workers,
    listen: str,
    *,
    drain: timedelta,
    on_failure: Callable[[StorageFailedError], None],
    gates: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[LocalPlace]:
    """Serves offices and the administrator; when the block ends, calls may finish within ``drain``.

    Args:
        gates: What refuses calls on the administrator's socket.

    Raises:
        DataFolderError, SettingsError: A socket cannot be made.
    """
    clock, database = ground.clock, ground.sealing.database
    desk = AccessDesk(SqlAccounts(database), ground.keeper, ground.identity.agency)
    await desk.load()
    recorder = AccessRecorder(
        SqlAccessLog(database), ground.sealing.store, clock, keep=ground.settings.access_history
    )
    parts = _local_parts(ground, workers, desk)
    own = office_server(on_failure, [*gates, OperatorRecord(parts.office, recorder, clock)])
    place = register_local(own, parts)
    gate = TokenGate(desk, lambda session: _office_of(ground, parts, session), recorder, clock)
    offices = group_server(on_failure, [gate])
    register_offices(offices)
    socket = bind_unix(own, ground.folder.path)
    path = ground.settings.office_socket_path(ground.folder.path)
    if path is not None:
        bind_group_socket(offices, path, group=ground.settings.office_group)
        await offices.start()
    place.listen, place.socket = listen, str(socket)
    await own.start()

    async def stop() -> None:
        await asyncio.gather(own.stop(drain.total_seconds()), offices.stop(drain.total_seconds()))

    history = resting(ground, "access", marked("Keeping the access history"))
    writing = asyncio.create_task(history.running(recorder.run))
    writing.add_done_callback(lambda task: _tell_failure(task, on_failure))
    try:
        yield LocalPlace(socket, path, stop)
    finally:
        await stop()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await _last_entries(recorder)
        remove_socket(ground.folder.path)
        if path is not None:
            remove_group_socket(path)


def _tell_failure(
    task: asyncio.Task[None], on_failure: Callable[[StorageFailedError], None]
) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, StorageFailedError):
        on_failure(error)
    elif error is not None:
        log.error("access.history_failed", exc_info=error)


async def _last_entries(recorder: AccessRecorder) -> None:
    try:
        await recorder.flush()
    except StorageFailedError as error:  # which is why the node stops
        log.error("access.history_cut", cause=error.message)


def _office_of(
    ground: Ground, parts: LocalParts, session: Session
) -> tuple[OfficeStore, OfficeServicer]:
    """The documents that an account sees, and what works on them for it."""
    database = ground.sealing.database
    store = AccountOffice(database, session.name, session.caller)
    narrowed = cast("Database", ScopedDatabase(database, session.caller))
    settings, folder, clock = ground.settings, ground.folder, ground.clock
    sums = AccountStatistics(database, session.caller)
    counter = counter_of(settings, folder, sums, directory=ground.directory, clock=clock)
    overview = overview_parts(settings, folder, narrowed, counter=counter, clock=clock)
    own = replace(
        office_parts(parts),
        office=store,
        overview=overview,
        book=AccountBook(database, session.name, session.caller),
        rechecks=AccountRechecks(parts.rechecks),
        submissions=AccountSubmissions(parts.store, session.name),
        check_sender=lambda code: check_sender(session.caller(), code),
    )
    return store, OfficeServicer(own)


def _local_parts(ground: Ground, workers: Workers, desk: AccessDesk) -> LocalParts:
    return LocalParts(
        agency=ground.identity.agency,
        network=ground.identity.network,
        version=version("edocnode"),
        store=ground.sealing.store,
        office=SqlOffice(ground.sealing.database),
        revocations=SqlSentRevocations(ground.sealing.database),
        answers=Answers(revocations=workers.revocations.desk, updates=workers.revocations.updates),
        sealer=ground.sealing.sealer,
        scheduler=workers.scheduler,
        directory=ground.keeper,
        greeter=workers.greeter,
        evidence=_evidence_desk(ground, workers),
        own_entry=workers.own_entry,
        keys=NodeKeys(ground),
        subagencies=workers.subagencies,
        overview=workers.overview.parts,
        rechecks=workers.signatures.loop,
        encryption=ground.context.encryption,
        book=SqlNumberBook(ground.sealing.database),
        numbering=ground.settings.numbering_rules,
        blobs=workers.blobs,
        damage=workers.repair.repairer,
        desk=desk,
        history=SqlAccessLog(ground.sealing.database),
        holds=SqlHolds(ground.sealing.database),
        retention=SqlRetention(ground.sealing.database),
        rules=RetentionRules(ground.settings.retention),
        quarantine=workers.scanning.quarantine,
        clock=ground.clock,
    )


def _evidence_desk(ground: Ground, workers: Workers) -> EvidenceDesk:
    return EvidenceDesk(
        agency=ground.identity.agency,
        network=ground.identity.network,
        database=ground.sealing.database,
        blobs=workers.blobs,
        scratch=ground.folder.path,
        damage=workers.repair.repairer,
        signer=lambda: ground.sealing.sealer.signer,
        directory=ground.directory,
        clock=ground.clock,
    )
