"""The database of a node, whole: every port of ``domain.ports`` over one database."""

from edockit.database import Database
from edockit.revision import bring_up
from edocnode.storage.acknowledging import SqlAcknowledging
from edocnode.storage.alarms import SqlAlarms
from edocnode.storage.expiring import SqlExpiry
from edocnode.storage.forwarding import SqlForwarding
from edocnode.storage.held_seals import SqlHeldSeals
from edocnode.storage.inbox import SqlInbox
from edocnode.storage.migrations import HEAD, SCRIPTS
from edocnode.storage.numbers import SqlNumbers
from edocnode.storage.outbox import SqlOutbox
from edocnode.storage.part_repair import SqlRepair
from edocnode.storage.peers import SqlPeers
from edocnode.storage.quarantine import SqlQuarantine
from edocnode.storage.scanning import SqlScans
from edocnode.storage.schedule import SqlSchedule
from edocnode.storage.sealing import SqlSealerStore
from edocnode.storage.signature_checks import SqlSignatureChecks
from edocnode.storage.small_parts import SqlSmallParts
from edocnode.storage.submitting import SqlSubmissions


class NodeStore(
    SqlSubmissions,
    SqlSchedule,
    SqlOutbox,
    SqlInbox,
    SqlPeers,
    SqlSealerStore,
    SqlAlarms,
    SqlAcknowledging,
    SqlRepair,
    SqlSmallParts,
    SqlNumbers,
    SqlExpiry,
    SqlForwarding,
    SqlHeldSeals,
    SqlSignatureChecks,
    SqlScans,
    SqlQuarantine,
):
    """Implements every port but ``OfficeStore``, each by the class that bears its name."""

    def __init__(self, database: Database, *, scans: bool = False) -> None:
        """Takes a database whose tables are up to date; see ``open_store``.

        Args:
            scans: Documents that arrive are shown only when they were scanned.
        """
        super().__init__(database)
        if scans:
            self.show_scanned_only()


def open_store(url: str) -> Database:
    """Opens the database of a node and brings its tables up to date.

    Args:
        url: See ``Database.open``.

    Raises:
        SettingsError, DataFolderError, StorageDamagedError: As ``Database.open`` and
            ``migrations.upgrade``.
    """
    database = Database.open(url)
    try:
        bring_up(database, SCRIPTS, head=HEAD)
    except BaseException:
        database.close()
        raise
    return database
