"""Joins what follows the log of published directories."""

from collections.abc import Callable
from datetime import datetime

from edocnode.domain.ports import Alarms
from edocnode.storage.directory_log import DirectoryLogFiles, WitnessFiles
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.workers.directory import LogParts
from edocnode.workers.directory_log import LogWatch
from edocnode.workers.witnessing import Witness


def log_parts(
    folder: DataFolder, identity: NodeIdentity, alarms: Alarms, clock: Callable[[], datetime]
) -> LogParts:
    """Makes the watch over the log, and the witness, which sleeps until it has a key."""
    store = DirectoryLogFiles(folder.directory, identity.root_sha256)
    return LogParts(
        LogWatch(store=store, alarms=alarms, clock=clock),
        Witness(store=WitnessFiles(folder, identity), alarms=alarms, clock=clock),
    )
