"""Joins what follows the log of published directories."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import LogHolder, time_text
from edocnode.app.parts import SealingParts, seal_own
from edocnode.storage.directory_log import DirectoryLogFiles, WitnessFiles
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.workers.directory import LogParts
from edocnode.workers.directory_log import LogWatch
from edocnode.workers.witnessing import Witness

log = structlog.get_logger(__name__)

HOLDER = "holder"  # kind of the own statement
SEAL_WITHIN = timedelta(seconds=10)


def log_parts(
    folder: DataFolder, identity: NodeIdentity, sealing: SealingParts, clock: Callable[[], datetime]
) -> LogParts:
    """Makes the watch over the log, and the witness, which sleeps until it has a key."""
    store, alarms = DirectoryLogFiles(folder.directory, identity.root_sha256), sealing.store

    async def word(checkpoint: bytes) -> SealedStatement | None:
        if not sealing.sealer.is_sealing:
            return None
        said = LogHolder(
            network=identity.network,
            agency=identity.agency,
            checkpoint=sha256(checkpoint).hexdigest(),
            created=time_text(clock()),
        )
        try:
            async with asyncio.timeout(SEAL_WITHIN.total_seconds()):
                return await seal_own(sealing, HOLDER, canonical.encode(said))
        except TimeoutError:
            log.warning("holder.not_sealed", problem=sealing.sealer.problem)
            return None

    return LogParts(
        LogWatch(store=store, alarms=alarms, clock=clock, word=word),
        Witness(store=WitnessFiles(folder, identity), alarms=alarms, clock=clock),
    )
