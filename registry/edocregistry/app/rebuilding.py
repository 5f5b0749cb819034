"""A registry whose machine is lost with everything on it, made anew from the mirror of any node.

The officers' keys are what is left: they sign a root that names the keys of the new machine. Until
that draft is published nothing is served, and nodes go on with the directory they have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory.view import Directory
from edoccore.errors import RequestInvalidError
from edockit import files
from edocregistry.app.founding import check_empty
from edocregistry.app.mirrors import Mirror
from edocregistry.app.officers import Drafted, DraftOrder, make_draft
from edocregistry.app.registry import DONE, Registry
from edocregistry.domain.mirror import take_over
from edocregistry.domain.model import REGISTRY_CODE, AuditEntry
from edocregistry.domain.revoking import end_keys
from edocregistry.settings import RegistrySettings, settings_text
from edocregistry.storage.folder import DataFolder, Turn

REBUILT = "the registry was made anew"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What ``rebuild`` made.

    Attributes:
        version: Of the directory it was made from.
        agencies: How many came back, without the registry itself.
        draft: For the officers.
        first_root: Number of the oldest root in the mirror; above 1, old join strings are void.
        logged: Versions in the log that came back; 0: the mirror had none.
    """

    version: int
    agencies: int
    draft: Drafted
    first_root: int
    logged: int


def rebuild(
    folder: DataFolder,
    settings: RegistrySettings,
    mirror: Mirror,
    order: DraftOrder,
    *,
    actor: str,
    clock: Callable[[], datetime],
) -> Rebuilt:
    """Makes a registry from a mirrored directory, with new keys, and drafts the root they need.

    Args:
        folder: Missing or empty.
        settings: Of the registry; at the old address nodes find it by themselves.
        mirror: Verified.
        order: How identity keys change; the online key is new in any case.
        actor: Who does it, for the audit.
        clock: Now.

    Raises:
        RequestInvalidError: The mirror is of another network.
        FileExistsHereError, DataFolderError: The folder cannot be used.
    """
    found = mirror.directory
    if found.network != settings.network:
        raise RequestInvalidError(f"The mirror is of the network {found.network}.")
    check_empty(folder)
    folder.make()
    now = clock()
    folder.directory.publish(found.files)
    folder.keys.make_authority(f"Seals of {settings.network} {now:%Y%m%d%H%M%S}", now)
    registry = Registry(folder, settings, clock)
    registry.publisher.log.put_back(mirror.log)
    with folder.turn() as turn:
        _fill(registry, turn, found, actor=actor, now=now)
    drafted = make_draft(registry, order, actor=actor, now=now)
    assert drafted is not None  # the online key is new, so a root is
    files.write_file_atomic(folder.settings, settings_text(settings).encode())
    logged = 0 if mirror.log is None else mirror.log.size
    return Rebuilt(
        found.mark.version, len(found.identities) - 1, drafted, min(found.chain.files), logged
    )


def catch_up(registry: Registry, mirror: Directory, *, actor: str, now: datetime) -> None:
    """Brings a restored registry to what a node mirrored after the backup; before it, nothing."""
    if mirror.mark.version <= registry.folder.directory.mark()[0]:
        return
    with registry.folder.turn() as turn:
        own = registry.authority().certificate
        turn.write(lambda records: take_over(records, mirror, now, own_authority=own))
        entry = AuditEntry(now, actor, f"restore from mirror {mirror.mark.version}", DONE)
        turn.write(lambda records: records.add_audit(entry))
        registry.folder.directory.publish(mirror.files)


def _fill(registry: Registry, turn: Turn, mirror: Directory, *, actor: str, now: datetime) -> None:
    """Takes the records over and gives the registry a new seal; its old keys end."""
    own = registry.authority().certificate
    turn.write(lambda records: take_over(records, mirror, now, own_authority=own))
    turn.write(lambda records: end_keys(records, REGISTRY_CODE, reason=REBUILT, now=now))
    registry.enter_own_seal(turn)
    entry = AuditEntry(now, actor, f"rebuild from directory {mirror.mark.version}", DONE)
    turn.write(lambda records: records.add_audit(entry))
