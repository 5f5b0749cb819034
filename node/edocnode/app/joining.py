"""Making a node: keys, enrolment, the first epoch, the first endpoint statement.

Each step leaves on disk what it made, and ``node.json`` comes last, so joining that broke off is
run again with the same join string and goes on with the same keys.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from edoccore.directory.join import parse_join
from edoccore.errors import RequestConflictError
from edockit.certificates import (
    certificate_pem,
    load_private_key,
    new_private_key,
    save_private_key,
    seal_request,
)
from edockit.files import lock_folder
from edocnode.app.parts import open_sealing, seal_endpoint, sealing_context
from edocnode.rpc.joining import Enrolment, join, publish_endpoint
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import TLS_NAMES, DataFolder, NodeIdentity
from edocnode.storage.seal_keys import REQUEST_NAME
from edocnode.storage.tls_keys import new_tls_pair


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
    data: Path,
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
        RegistryUnreachableError, DirectoryInvalidError, TokenRefusedError: See ``rpc.joining``.
        DataFolderError, FolderInUseError: The folder cannot be used.
    """
    wanted = parse_join(join_string)
    folder = DataFolder(data)
    folder.create()
    with lock_folder(data):
        if folder.is_joined():
            return Joined(_same_network(folder, wanted.root_sha256), True, 0)
        key = _seal_key(folder)
        enrolment = await join(wanted, seal_request(key, REQUEST_NAME), now=clock())
        identity = _keep(folder, enrolment, wanted.root_sha256, clock())
        files = DirectoryFiles(folder.directory, wanted.root_sha256)
        await asyncio.to_thread(files.save, enrolment.directory)
        context = sealing_context(folder, identity, lambda: enrolment.directory, clock)
        async with open_sealing(context, database_url) as parts:
            sealed = await seal_endpoint(context, parts, advertise)
            version = await publish_endpoint(enrolment.directory, sealed, now=clock())
        folder.save_identity(identity)
    return Joined(identity, False, version)


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


def _seal_key(folder: DataFolder) -> EllipticCurvePrivateKey:
    if not folder.seal_key_file.exists():
        save_private_key(folder.seal_key_file, new_private_key())
    return load_private_key(folder.seal_key_file)
