"""Joins the watch over the node's own entry of the directory."""

from edoccore.identity.certificate import certificate_digest
from edockit.certificates import certificate_der
from edocnode.app.ground import Ground
from edocnode.domain.own_entry import OwnKeys
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import TLS_NAMES, DataFolder
from edocnode.storage.seal_key import seal_public_keys
from edocnode.workers.own_entry import OwnEntryWatch


def build_own_entry(ground: Ground) -> OwnEntryWatch:
    """Makes the watch; it looks when the directory changes, and now and then."""
    identity, store = ground.identity, ground.sealing.store
    watch = OwnEntryWatch(
        agency=identity.agency,
        directory=ground.directory,
        keys=lambda: own_keys(ground.folder),
        store=DirectoryFiles(ground.folder.directory, identity.root_sha256),
        statements=store,
        alarms=store,
        clock=ground.clock,
    )
    ground.keeper.on_change(watch.changed)
    return watch


def own_keys(folder: DataFolder) -> OwnKeys:
    """The keys in use, from the data folder.

    Raises:
        KeyUnusableError: One is missing or damaged.
    """
    chains = [folder.tls_chain(name) for name in TLS_NAMES if folder.has_tls_pair(name)]
    return OwnKeys(
        seal_keys=seal_public_keys(folder),
        tls={certificate_digest(certificate_der(chain)) for chain in chains},
    )
