"""Backup of a registry, and its return: whole, never over another one, never back in versions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory import layout
from edoccore.directory.view import Directory
from edoccore.errors import KeyUnusableError
from edoccore.signing.statements import time_text
from edocregistry.app.founding import check_empty
from edocregistry.app.mirrors import Mirror
from edocregistry.app.rebuilding import catch_up
from edocregistry.app.registry import DONE, Registry
from edocregistry.domain.differences import Change, changes_between, said_in
from edocregistry.domain.model import AuditEntry
from edocregistry.domain.publication import RoleFile, targets_in
from edocregistry.settings import read_settings
from edocregistry.storage import backup as storage
from edocregistry.storage.backup import Backup, BackupHeader
from edocregistry.storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class Restored:
    """What ``restore`` did.

    Attributes:
        header: Of the backup.
        version: Of the directory afterwards.
        missing: What a mirror says that the backup did not, and what was taken over from it.
        revocations: How many revocations came from the mirror.
        waiting: What the officers have to sign now.
        needs_root: The mirror has a root that names other keys than the backup has.
    """

    header: BackupHeader
    version: int
    missing: list[Change]
    revocations: int
    waiting: list[Change]
    needs_root: bool


def backup(registry: Registry, passphrase: bytes | None, *, actor: str, now: datetime) -> bytes:
    """Makes a backup, also while the server runs."""
    folder = registry.folder
    with folder.turn() as turn:
        entry = AuditEntry(now, actor, "backup", DONE)
        turn.write(lambda records: records.add_audit(entry))
    with folder.quiet():
        content = storage.collect(folder)
        version = folder.directory.mark()[0]
    header = BackupHeader(
        network=registry.settings.network, made_at=time_text(now), version=version
    )
    return storage.encode_backup(header, content, passphrase)


def restore(
    folder: DataFolder,
    found: Backup,
    mirror: Mirror | None,
    *,
    actor: str,
    clock: Callable[[], datetime],
) -> Restored:
    """Puts a backup into an empty data folder and says everything anew, in higher versions.

    Args:
        folder: Missing or empty.
        found: The backup, opened.
        mirror: Of a node, for what happened since and the end of the log; None: that is lost.
        actor: Who does it, for the audit.
        clock: Now.

    Raises:
        FileExistsHereError, DataFolderError: The folder is not empty.
    """
    check_empty(folder)
    folder.make()
    storage.write_files(folder, found.files)
    registry = Registry(folder, read_settings(folder.settings), clock)
    now, missing, before = clock(), list[Change](), registry.folder.directory.current()
    known = _revoked(registry)
    registry.publisher.log.put_back(None if mirror is None else mirror.log)
    if mirror is not None:
        seen = mirror.directory
        now_said = said_in(lambda role: targets_in({role: RoleFile.read(_file(seen, role))}, role))
        missing = changes_between(said_in(lambda role: targets_in(before, role)), now_said)
        catch_up(registry, seen, actor=actor, now=now)
    try:
        with folder.turn() as turn:
            entry = AuditEntry(now, actor, f"restore of {found.header.made_at}", DONE)
            turn.write(lambda records: records.add_audit(entry))
            version = registry.publisher.publish(turn, renew=True).version
    except KeyUnusableError:
        return Restored(found.header, folder.directory.mark()[0], missing, 0, [], needs_root=True)
    revoked = _revoked(registry) - known
    waiting = registry.waiting()
    return Restored(found.header, version, missing, revoked, waiting, needs_root=False)


def _revoked(registry: Registry) -> int:
    with registry.folder.turn() as turn:
        return len(turn.read(lambda records: records.revocations()))


def _file(directory: Directory, role: str) -> bytes:
    return directory.files[layout.file_name(role, directory.versions[role])]
