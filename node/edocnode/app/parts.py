"""The parts that joining and serving share: database, store and sealer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import structlog
from msgspec import UNSET, UnsetType

from edoccore.directory.layout import to_base64
from edoccore.directory.view import Directory
from edoccore.errors import KeyUnusableError, StorageDamagedError, StorageFailedError
from edoccore.identity.encryption import SUITE
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import (
    STATEMENT_TYPES,
    EncryptionKey,
    Endpoint,
    time_text,
)
from edockit.database import Database
from edocnode.domain.seal_life import seal_problem
from edocnode.domain.sealing import is_under
from edocnode.storage.encryption_keys import SoftwareEncryptionKeys
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.storage.seal_keys import SealKeys
from edocnode.storage.store import NodeStore, open_store
from edocnode.storage.tls_keys import ListedSince, TlsKeys
from edocnode.workers.sealer import Sealer

ENDPOINT = "endpoint"  # kind of the own statement

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SealingContext:
    """What a node seals with."""

    folder: DataFolder
    identity: NodeIdentity
    tls: TlsKeys
    seals: SealKeys
    encryption: SoftwareEncryptionKeys
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SealingParts:
    """An open database with its sealer, which runs in ``sealing``; at rest that never ends."""

    database: Database
    store: NodeStore
    sealer: Sealer
    sealing: asyncio.Future[None]


def sealing_context(
    folder: DataFolder,
    identity: NodeIdentity,
    directory: Callable[[], Directory],
    clock: Callable[[], datetime],
) -> SealingContext:
    """Reads the keys of a folder.

    Raises:
        KeyUnusableError: The current TLS pair cannot be used.
    """
    listed = ListedSince(folder)
    seals = SealKeys(folder, identity, listed)
    seals.finish_change()
    return SealingContext(
        folder,
        identity,
        TlsKeys(folder, listed, agency=identity.agency, server_name=identity.server_name),
        seals,
        SoftwareEncryptionKeys(folder, identity.agency),
        directory,
        clock,
    )


class Opens(Protocol):
    """``open_sealing`` or ``open_resting``."""

    def __call__(
        self, context: SealingContext, database_url: str, *, scans: bool = False
    ) -> AbstractAsyncContextManager[SealingParts]:
        """Opens the database."""


@asynccontextmanager
async def open_sealing(
    context: SealingContext, database_url: str, *, scans: bool = False
) -> AsyncIterator[SealingParts]:
    """Opens the database, brings its tables up to date and starts the sealer.

    Args:
        scans: What arrives is shown only when it was scanned for malware.

    Raises:
        KeyUnusableError: The seal key or its certificate cannot be used.
        StorageFailedError: The disk failed.
    """
    async with (
        open_resting(context, database_url, scans=scans) as resting,
        started(resting) as parts,
    ):
        yield parts


@asynccontextmanager
async def open_resting(
    context: SealingContext, database_url: str, *, scans: bool = False
) -> AsyncIterator[SealingParts]:
    """The same, but nothing is sealed.

    Raises:
        KeyUnusableError: The seal key or its certificate cannot be used.
        StorageFailedError: The disk failed.
    """
    database = await asyncio.to_thread(open_store, database_url)
    try:
        store = NodeStore(database, scans=scans)
        sealer = _sealer(context, store)
        try:
            never = asyncio.get_running_loop().create_future()
            yield SealingParts(database, store, sealer, never)
        finally:
            await asyncio.to_thread(sealer.signer.close)  # a thread may wait for it still
    finally:
        await asyncio.to_thread(database.close)


@asynccontextmanager
async def started(resting: SealingParts) -> AsyncIterator[SealingParts]:
    """Lets the sealer run for a block."""
    sealing = asyncio.create_task(resting.sealer.run(), name="sealer")
    try:
        yield replace(resting, sealing=sealing)
    finally:
        sealing.cancel()
        await asyncio.gather(sealing, return_exceptions=True)


async def seal_own(parts: SealingParts, kind: str, data: bytes) -> SealedStatement:
    """Seals a statement about this agency.

    Raises:
        StorageFailedError: The sealer stopped.
    """
    sealing = asyncio.ensure_future(parts.sealer.seal_own(kind, data))
    both: set[asyncio.Future[Any]] = {sealing, parts.sealing}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not sealing.done():
        sealing.cancel()
        raise StorageFailedError("The sealer stopped before its statement was sealed.")
    return await sealing


async def seal_endpoint(
    context: SealingContext, parts: SealingParts, address: str
) -> SealedStatement:
    """Seals where this node is reached; the statement in hand when it says the same already.

    A copy of the node that ran elsewhere may have listed itself since: then it is sealed anew.

    Args:
        address: host:port for peers.

    Raises:
        StorageFailedError: The sealer stopped.
    """
    last = await parts.store.own_statement(ENDPOINT)
    before = None if last is None else canonical.decode(last.statement, Endpoint)
    listed = context.directory().endpoint(context.identity.agency, context.clock())
    own, taken = (before.counter if before else 0), (listed.counter if listed else 0)
    wanted = _endpoint(context, address, last_counter=max(own, taken))
    still_so = before is not None and own >= taken and _says_same(before, wanted)
    if last is not None and still_so and is_under(last.seal, parts.sealer.certificate):
        return last
    return await seal_own(parts, ENDPOINT, canonical.encode(wanted))


def published_key(context: SealingContext) -> EncryptionKey | UnsetType:
    """The encryption key as the endpoint statement has it; none when it could not be read here."""
    try:
        key = context.encryption.current()
    except (KeyUnusableError, StorageDamagedError):  # told by ``workers.encryption_keys``
        return UNSET
    return UNSET if key is None else EncryptionKey(suite=SUITE, key=to_base64(key.data))


def _sealer(context: SealingContext, store: NodeStore) -> Sealer:
    signer, key = context.seals.signer()
    sealer = Sealer(
        store=store,
        alarms=store,
        signer=signer,
        key=key,
        directory=lambda: context.directory().mark,
        clock=context.clock,
        problem=lambda key: seal_problem(
            context.directory(), key.agency, key.certificates[0], context.clock()
        ),
    )
    sealer.ends_when(lambda: context.directory().has_ended(key.agency, context.clock()))
    return sealer


def _endpoint(context: SealingContext, address: str, *, last_counter: int) -> Endpoint:
    now = context.clock()
    return Endpoint(
        network=context.identity.network,
        agency=context.identity.agency,
        addresses=(address,),
        server_name=context.identity.server_name,
        certificates=tuple(to_base64(item) for item in context.tls.certificates),
        abilities=STATEMENT_TYPES,
        counter=max(last_counter + 1, int(now.timestamp() * 1000)),
        created=time_text(now),
        encryption=published_key(context),
    )


def _says_same(one: Endpoint, other: Endpoint) -> bool:
    said, wanted = (
        (each.addresses, each.certificates, each.server_name, each.abilities, each.encryption)
        for each in (one, other)
    )
    return said == wanted
