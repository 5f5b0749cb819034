"""Making a node: keys, enrolment, the first epoch, the first endpoint statement.

Each step leaves on disk what it made, and ``node.json`` comes last, so joining that broke off is
run again with the same join string and goes on with the same keys.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edoccore.directory.join import parse_join
from edoccore.errors import RequestConflictError
from edoccore.officer_errors import AwaitingOfficersError
from edockit.certificates import (
    certificate_pem,
)
from edockit.files import lock_folder
from edocnode.app.parts import open_sealing, seal_endpoint, sealing_context
from edocnode.rpc.joining import Enrolment, join, publish_endpoint
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import TLS_NAMES, DataFolder, NodeIdentity
from edocnode.storage.seal_key import new_seal_request
from edocnode.storage.tls_keys import new_tls_pair

TRY_AGAIN = timedelta(seconds=5)  # while officers have to sign


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining did.

    Attributes:
        already: The folder had joined before; nothing was changed.
        directory_version: The directory in which the node's endpoint stands; 0 with ``already``.
    """

    identity: NodeIdentity
    already: bool
    directory_version: int


async def join_network(
    folder: DataFolder,
    join_string: str,
    *,
    advertise: str,
    database_url: str,
    clock: Callable[[], datetime],
) -> Joined:
    """Makes a data folder a node of the network that a join string names.

    Args:
        advertise: host:port under which peers reach this node.

    Raises:
        JoinStringError: The join string is damaged.
        RequestConflictError: Another network's or agency's node lives in the folder.
        RegistryUnreachableError, DirectoryInvalidError, TokenRefusedError,
        AwaitingOfficersError: See ``rpc.joining``; joining again goes on with the same keys.
        DataFolderError, FolderInUseError: The folder cannot be used.
        KeyUnusableError: The seal's key cannot be made.
    """
    wanted = parse_join(join_string)
    folder.create()
    with lock_folder(folder.path):
        if folder.is_joined():
            return Joined(_same_network(folder, wanted.root_sha256), True, 0)
        request = await asyncio.to_thread(new_seal_request, folder)
        enrolment = await join(wanted, request, now=clock())
        identity = _keep(folder, enrolment, wanted.root_sha256, clock())
        files = DirectoryFiles(folder.directory, wanted.root_sha256)
        await asyncio.to_thread(files.save, enrolment.directory)
        context = sealing_context(folder, identity, lambda: enrolment.directory, clock)
        async with open_sealing(context, database_url) as parts:
            sealed = await seal_endpoint(context, parts, advertise)
            version = await publish_endpoint(enrolment.directory, sealed, now=clock())
        folder.save_identity(identity)
    return Joined(identity, False, version)


async def join_when_signed(
    attempt: Callable[[], Awaitable[Joined]],
    *,
    wait: timedelta,
    clock: Callable[[], datetime],
    waiting: Callable[[AwaitingOfficersError], None],
) -> Joined:
    """Joins, and tries again while the registry's officers have not signed the entry.

    Args:
        attempt: Joins once.
        wait: How long to try again.
        clock: Now.
        waiting: Told once that, and for what, it waits.

    Raises:
        AwaitingOfficersError: They have not signed in time; keys and enrolment are kept.
    """
    until, told = clock() + wait, False
    while True:
        try:
            return await attempt()
        except AwaitingOfficersError as error:
            if clock() + TRY_AGAIN > until:
                raise
            if not told:
                waiting(error)
            told = True
            await asyncio.sleep(TRY_AGAIN.total_seconds())


def _same_network(folder: DataFolder, root_sha256: str) -> NodeIdentity:
    identity = folder.identity()
    if identity.root_sha256 != root_sha256:
        raise RequestConflictError(
            f"The node of {identity.agency} in network {identity.network} lives in {folder.path}.",
            hint="Choose another data folder with --data.",
            agency=identity.agency,
        )
    return identity


def _keep(
    folder: DataFolder, enrolment: Enrolment, root_sha256: str, now: datetime
) -> NodeIdentity:
    """Writes the seal certificate and makes the TLS certificates, unless they are there."""
    chain = enrolment.seal.chain
    folder.save_seal_chain(b"".join(certificate_pem(item) for item in chain))
    server_name = f"{enrolment.agency.lower().replace('.', '-')}.{enrolment.directory.network}"
    for name in TLS_NAMES:
        if not folder.has_tls_pair(name):
            folder.save_tls_pair(name, new_tls_pair(enrolment.agency, server_name, now))
    return NodeIdentity(
        network=enrolment.directory.network,
        agency=enrolment.agency,
        root_sha256=root_sha256,
        server_name=server_name,
    )
