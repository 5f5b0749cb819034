"""Joins what answers revocations and updates, and removes what was destroyed."""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edoccore.directory.view import Directory
from edockit.blobs import BlobFolder
from edockit.language import marked
from edocnode.app.parts import SealingParts
from edocnode.domain.setting_aside import Waiting
from edocnode.settings import NodeSettings
from edocnode.storage.revocations import SqlReceivedRevocations
from edocnode.storage.updates import SqlReceivedUpdates
from edocnode.workers.revoking import Policy, Remover, RevocationDesk
from edocnode.workers.setting_aside import SettingAside
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

    def aside(name: str, work: str) -> SettingAside[Waiting]:
        return SettingAside(name, work, alarms=sealing.store, clock=clock)

    desk = RevocationDesk(
        agency=agency,
        store=store,
        sealer=sealing.sealer,
        directory=directory,
        policy=Policy(asks=asks, still_held=settings.copies_kept),
        aside=aside("revocations", marked("Answering revocations")),
        clock=clock,
        random=random,
    )
    updates = UpdateDesk(
        agency=agency,
        store=SqlReceivedUpdates(sealing.database),
        sealer=sealing.sealer,
        directory=directory,
        asks=settings.updates == "ask",
        aside=aside("updates", marked("Answering updates")),
        clock=clock,
        random=random,
    )
    remover = Remover(
        store=store,
        needs=sealing.store,
        blobs=blobs,
        aside=aside("removal", marked("Removing the files of destroyed documents")),
    )
    return Revocations(desk, updates, remover)
