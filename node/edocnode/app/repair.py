"""Joins what keeps stored documents whole: repair, scrubber."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edockit.blobs import BlobFolder
from edocnode.domain.exchange import PeerLinks
from edocnode.settings import NodeSettings
from edocnode.storage.store import NodeStore
from edocnode.workers.repairing import Repairer
from edocnode.workers.scrubbing import Scrubber


@dataclass(frozen=True, slots=True)
class Repair:
    """The workers of repair."""

    repairer: Repairer
    scrubber: Scrubber

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange, until it is cancelled."""
        return [self.repairer.run(), self.scrubber.run()]


def build_repair(
    store: NodeStore,
    blobs: BlobFolder,
    links: PeerLinks,
    *,
    settings: NodeSettings,
    clock: Callable[[], datetime],
) -> Repair:
    """Builds the workers of repair."""
    repairer = Repairer(store=store, blobs=blobs, links=links, clock=clock)
    scrubber = Scrubber(
        store=store,
        blobs=blobs,
        look_at=repairer.look_at,
        bytes_per_second=settings.scrub_bytes_per_second,
    )
    return Repair(repairer, scrubber)
