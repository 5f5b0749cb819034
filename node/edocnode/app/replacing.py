"""New keys for a node that lost its seal: a new join string, the same data folder.

Each step leaves on disk what it made, so what broke off is run again with the same join string.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from edoccore.directory.join import parse_join
from edockit.certificates import (
    certificate_pem,
    load_private_key,
    new_private_key,
    save_private_key,
    seal_request,
)
from edockit.files import lock_folder, write_file_atomic
from edocnode.app.joining import Joined
from edocnode.app.parts import open_sealing, seal_endpoint, sealing_context
from edocnode.rpc.joining import join, publish_endpoint, read_directory
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import SEAL, SEAL_NEW, SEAL_NEXT, DataFolder
from edocnode.storage.seal_keys import REQUEST_NAME

BEGUN_FILE = "replacing"  # hash of the join string that is being used


async def replace_keys(
    data: Path,
    join_string: str,
    *,
    advertise: str,
    database_url: str,
    clock: Callable[[], datetime],
) -> Joined:
    """Enrols a node anew: seal and TLS keys are replaced, documents and journal stay.

    Args:
        advertise: host:port under which peers reach this node.

    Raises:
        JoinStringError: The join string is damaged.
        TokenRefusedError: It is of another agency, or was used with other keys.
        RegistryUnreachableError, DirectoryInvalidError: See ``rpc.joining``.
        DataFolderError, FolderInUseError: The folder cannot be used, or the node runs.
    """
    wanted, folder = parse_join(join_string), DataFolder(data)
    identity = folder.identity()
    with lock_folder(data):
        request = _request(folder, join_string)
        enrolment = await join(wanted, request, agency=identity.agency, now=clock())
        files = DirectoryFiles(folder.directory, identity.root_sha256)
        floor = await asyncio.to_thread(files.floor)
        # From the root that this node has trusted all along, whatever the join string names.
        directory = await read_directory(wanted.address, identity.root_sha256, floor=floor)
        await asyncio.to_thread(files.save, directory)
        if folder.key_file(SEAL_NEW, "key").exists():
            _change(folder, enrolment.seal.chain)
        context = sealing_context(folder, identity, lambda: directory, clock)
        context.tls.make_next(clock())  # both were revoked with the seal
        context.tls.take_over()
        context.tls.make_next(clock())
        async with open_sealing(context, database_url) as parts:
            sealed = await seal_endpoint(context, parts, advertise)
            version = await publish_endpoint(directory, sealed, now=clock())
        (folder.keys / BEGUN_FILE).unlink()
    return Joined(identity, False, version)


def _request(folder: DataFolder, join_string: str) -> bytes:
    """The request of the new seal key; of the one in use when this broke off after the change."""
    path, begun = folder.key_file(SEAL_NEW, "key"), folder.keys / BEGUN_FILE
    digest = sha256(join_string.encode()).hexdigest().encode()
    if not begun.exists() or begun.read_bytes() != digest:
        folder.drop_pair(SEAL_NEW)
        save_private_key(path, new_private_key())
        write_file_atomic(begun, digest)
    key = load_private_key(path if path.exists() else folder.seal_key_file)
    return seal_request(key, REQUEST_NAME)


def _change(folder: DataFolder, chain: Sequence[bytes]) -> None:
    pem = b"".join(map(certificate_pem, chain))
    write_file_atomic(folder.key_file(SEAL_NEW, "pem"), pem)
    folder.change_pair(SEAL_NEW, SEAL)
    folder.drop_pair(SEAL_NEXT)
