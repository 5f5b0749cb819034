"""What the parts of a running node stand on: settings, keys, database, directory; and what runs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory.view import Directory
from edockit.blobs import BlobFolder
from edocnode.app.overview import Overview
from edocnode.app.parts import SealingContext, SealingParts
from edocnode.app.repair import Reckoning, Repair
from edocnode.app.revoking import Revocations
from edocnode.app.scanning import Scanning
from edocnode.app.signatures import SignatureParts
from edocnode.rpc.peers import Links, OwnTls
from edocnode.settings import NodeSettings
from edocnode.storage.folder import DataFolder, NodeIdentity
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.directory import DirectoryKeeper
from edocnode.workers.greeting import Greeter
from edocnode.workers.own_entry import OwnEntryWatch
from edocnode.workers.scheduling import Scheduler
from edocnode.workers.seal_renewal import SealKeeper
from edocnode.workers.service import NodeService
from edocnode.workers.sessions import Sessions
from edocnode.workers.staging import Staging
from edocnode.workers.subagencies import SubagencyDesk
from edocnode.workers.suspensions import Suspensions
from edocnode.workers.tls_renewal import TlsRenewal


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything else stands on."""

    settings: NodeSettings
    folder: DataFolder
    identity: NodeIdentity
    context: SealingContext
    keeper: DirectoryKeeper
    sealing: SealingParts
    clock: Callable[[], datetime]

    def directory(self) -> Directory:
        """The directory in force."""
        return self.keeper.current

    def tls(self) -> OwnTls:
        """The TLS certificate in force."""
        pair = self.context.tls.pair
        return OwnTls(pair.chain, pair.key)


@dataclass(frozen=True, slots=True)
class Workers:
    """What runs on the ground."""

    sessions: Sessions
    dispatcher: Dispatcher
    greeter: Greeter
    links: Links
    staging: Staging
    service: NodeService
    blobs: BlobFolder
    scheduler: Scheduler
    repair: Repair
    reckoning: Reckoning
    suspensions: Suspensions
    overview: Overview
    revocations: Revocations
    signatures: SignatureParts
    own_entry: OwnEntryWatch
    subagencies: SubagencyDesk
    tls_renewal: TlsRenewal
    seal_keeper: SealKeeper
    scanning: Scanning
