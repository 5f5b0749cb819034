"""New keys for a node that lost its seal: a new join string, the same data folder.

Each step leaves on disk what it made, so what broke off is run again with the same join string.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from cryptography import x509

from edoccore.directory.join import parse_join
from edoccore.errors import KeyUnusableError
from edoccore.identity.request import SealRequest
from edockit.certificates import certificate_pem
from edockit.files import lock_folder, write_file_atomic
from edocnode.app.joining import Joined
from edocnode.app.parts import open_sealing, seal_endpoint, sealing_context
from edocnode.app.retired import check_not_retired
from edocnode.domain.own_entry import public_key_digest
from edocnode.rpc.joining import join, publish_endpoint, read_directory
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import KEY, LATTICE_KEY, SEAL, SEAL_NEW, SEAL_NEXT, DataFolder
from edocnode.storage.seal_key import new_seal_request, seal_public_keys

BEGUN_FILE = "replacing"  # hash of the join string that is being used


async def replace_keys(
    folder: DataFolder,
    join_string: str,
    *,
    advertise: str,
    settings: NodeSettings,
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
        NodeRetiredError: The node has ended for good.
    """
    wanted = parse_join(join_string)
    identity = folder.identity()
    with lock_folder(folder.path):
        check_not_retired(folder)
        request = await asyncio.to_thread(_request, folder, join_string)
        enrolment = await join(wanted, request, agency=identity.agency, now=clock())
        files = DirectoryFiles(folder.directory, identity.root_sha256)
        floor = await asyncio.to_thread(files.floor)
        # From the root that this node has trusted all along, whatever the join string names.
        directory = await read_directory(wanted.address, identity.root_sha256, floor=floor)
        await asyncio.to_thread(files.save, directory)
        _change(folder, enrolment.seal.chain)
        context = sealing_context(folder, identity, lambda: directory, clock)
        context.tls.make_next(clock())  # both were revoked with the seal
        context.tls.take_over()
        context.tls.make_next(clock())
        database_url = settings.database_url(folder.database_file)
        scans = bool(settings.scanner)
        async with open_sealing(context, database_url, scans=scans) as parts:
            sealed = await seal_endpoint(context, parts, advertise)
            version = await publish_endpoint(directory, sealed, now=clock())
        (folder.keys / BEGUN_FILE).unlink()
    return Joined(identity, False, version)


def _request(folder: DataFolder, join_string: str) -> SealRequest:
    """The request of the new seal key; of the one in use when this broke off after the change."""
    begun = folder.keys / BEGUN_FILE
    digest = sha256(join_string.encode()).hexdigest().encode()
    if not begun.exists() or begun.read_bytes() != digest:
        folder.drop_pair(SEAL_NEW)
        request = new_seal_request(folder, SEAL_NEW)
        _require_new(folder, request.first)
        write_file_atomic(begun, digest)
        return request
    folder.finish_change(SEAL_NEW, SEAL)
    is_changed = not any(folder.key_file(SEAL_NEW, kind).exists() for kind in (KEY, LATTICE_KEY))
    return new_seal_request(folder, SEAL if is_changed else SEAL_NEW)


def _require_new(folder: DataFolder, request: bytes) -> None:
    """Refuses a token's key that has a certificate already; a key in a file is always new."""
    token = folder.key_places.token
    public = x509.load_der_x509_csr(request).public_key()
    if token is not None and public_key_digest(public) in seal_public_keys(folder):
        raise KeyUnusableError(
            f"The key '{token.key}' in the token '{token.token}' is the one in use.",
            hint="Name another one in the setting seal_token.key; it is made there.",
        )


def _change(folder: DataFolder, chain: Sequence[bytes]) -> None:
    """Puts the new certificate in force, with those of its keys that are files."""
    pem = b"".join(map(certificate_pem, chain))
    if folder.key_places.token is not None:
        folder.save_seal_chain(pem)
        folder.seal_key_file.unlink(missing_ok=True)  # of a seal that was a file before
        folder.finish_change(SEAL_NEW, SEAL)  # the second key of a pair
    elif folder.key_file(SEAL_NEW, KEY).exists():
        write_file_atomic(folder.key_file(SEAL_NEW, "pem"), pem)
        folder.change_pair(SEAL_NEW, SEAL)
    folder.drop_pair(SEAL_NEXT)
