"""Joins what answers revocations and updates, and removes what was destroyed."""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edoccore.directory.view import Directory
from edockit.blobs import BlobFolder
from edocnode.app.parts import SealingParts
from edocnode.settings import NodeSettings
from edocnode.storage.revocations import SqlReceivedRevocations
from edocnode.storage.updates import SqlReceivedUpdates
from edocnode.workers.revoking import Policy, Remover, RevocationDesk
from edocnode.workers.updating import UpdateDesk


@dataclass(frozen=True, slots=True)
class Revocations:
    """The workers for what senders take back or change."""

    desk: RevocationDesk
    updates: UpdateDesk
    remover: Remover

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange, until it is cancelled."""
        return [self.desk.run(), self.updates.run(), self.remover.run()]


def build_revocations(
    agency: str,
    sealing: SealingParts,
    blobs: BlobFolder,
    *,
    directory: Callable[[], Directory],
    settings: NodeSettings,
    clock: Callable[[], datetime],
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Revocations:
    """Builds the workers."""
    store = SqlReceivedRevocations(sealing.database)
    asks = settings.revocations == "ask"
    desk = RevocationDesk(
        agency=agency,
        store=store,
        sealer=sealing.sealer,
        directory=directory,
        policy=Policy(asks=asks, still_held=settings.copies_kept),
        clock=clock,
        random=random,
    )
    updates = UpdateDesk(
        agency=agency,
        store=SqlReceivedUpdates(sealing.database),
        sealer=sealing.sealer,
        directory=directory,
        asks=settings.updates == "ask",
        clock=clock,
        random=random,
    )
    return Revocations(desk, updates, Remover(store=store, needs=sealing.store, blobs=blobs))
