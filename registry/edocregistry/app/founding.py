"""Founds a registry: makes all its keys, its own entry and the first directory.

The settings file is written last, so a folder that has one is complete.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from edoccore.errors import DataFolderError, FileExistsHereError
from edockit import files
from edocregistry.app.registry import DONE, Registry
from edocregistry.domain import agencies
from edocregistry.domain.model import REGISTRY_CODE, AuditEntry
from edocregistry.domain.publication import ROOT_VERSION, first_root
from edocregistry.settings import RegistrySettings, settings_text
from edocregistry.storage.folder import DataFolder, Turn

OFFICERS = 3  # root keys
THRESHOLD = 2  # of them must sign the next root


@dataclass(frozen=True, slots=True)
class Founded:
    """What ``init`` made."""

    root_sha256: str
    version: int
    officer_files: list[Path]


def found(
    folder: DataFolder, settings: RegistrySettings, *, actor: str, clock: Callable[[], datetime]
) -> Founded:
    """Founds a registry in an empty folder.

    Args:
        folder: Missing or empty.
        settings: Of the new registry.
        actor: Who does it, for the audit.
        clock: Now.

    Raises:
        FileExistsHereError: There is a registry already.
        DataFolderError: The folder has something else in it.
    """
    check_empty(folder)
    folder.make()
    now = clock()
    officers = folder.keys.make_officers(OFFICERS)
    root = first_root(officers, folder.keys.make_signers(), threshold=THRESHOLD, now=now)
    folder.directory.write_root(ROOT_VERSION, root)
    folder.keys.make_authority(f"Seals of {settings.network}", now)
    folder.keys.make_log_key()
    registry = Registry(folder, settings, clock)
    with folder.turn() as turn:
        _enter_itself(registry, turn, actor=actor, now=now)
    registry.publish_due()
    with folder.turn() as turn:
        publication = registry.state_endpoint(turn, (registry.make_tls(), registry.make_tls()))
    files.write_file_atomic(folder.settings, settings_text(settings).encode())
    return Founded(sha256(root).hexdigest(), publication.version, folder.keys.officer_files())


def check_empty(folder: DataFolder) -> None:
    """Accepts a folder in which a registry can be made.

    Raises:
        FileExistsHereError: There is a registry already.
        DataFolderError: The folder has something else in it.
    """
    if folder.settings.exists():
        raise FileExistsHereError(
            f"There is a registry in {folder.path} already.",
            hint="Use another --data, or look at it with: edocregistry status",
            path=str(folder.path),
        )
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise DataFolderError(
            f"{folder.path} is not empty; it may be left over from an init that was cut off.",
            hint="Use another --data, or empty it when nothing in it is needed.",
            path=str(folder.path),
        )


def _enter_itself(registry: Registry, turn: Turn, *, actor: str, now: datetime) -> None:
    """Gives the registry its own agency and seal certificate."""
    name = f"Registry of {registry.settings.network}"
    turn.write(lambda records: agencies.add_agency(records, REGISTRY_CODE, name, now=now))
    registry.enter_own_seal(turn)
    entry = AuditEntry(now, actor, f"init --network {registry.settings.network}", DONE)
    turn.write(lambda records: records.add_audit(entry))
