"""Joins what watches over the node's own entry of the directory, and what changes its list."""

from edoccore.identity.certificate import certificate_digest
from edoccore.signing.seal import SealedStatement
from edockit.certificates import certificate_der
from edocnode.app.ground import Ground
from edocnode.domain.own_entry import OwnKeys
from edocnode.rpc.own_word import publish_subagencies
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import TLS_NAMES, DataFolder
from edocnode.storage.seal_key import seal_public_keys
from edocnode.workers.own_entry import OwnEntryWatch
from edocnode.workers.subagencies import SubagencyDesk, SubagencyParts


def build_own_entry(ground: Ground) -> tuple[OwnEntryWatch, SubagencyDesk]:
    """Makes the watch, which looks when the directory changes and now and then, and the desk."""
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
    return watch, _build_subagencies(ground, watch)


def _build_subagencies(ground: Ground, watch: OwnEntryWatch) -> SubagencyDesk:
    """Makes what changes the list of sub-agencies; the watch knows each list before peers do."""

    async def publish(sealed: SealedStatement) -> int:
        return await publish_subagencies(ground.directory(), sealed, now=ground.clock())

    return SubagencyDesk(
        SubagencyParts(
            network=ground.identity.network,
            agency=ground.identity.agency,
            store=ground.sealing.store,
            sealer=ground.sealing.sealer,
            directory=ground.directory,
            publish=publish,
            refresh=ground.keeper.refresh,
            made=watch.made_list,
            clock=ground.clock,
        )
    )


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
