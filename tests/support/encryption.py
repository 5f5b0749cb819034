"""Encryption keys of nodes under test: made in their folders, listed in the nation's directory."""

from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.encryption_keys import SoftwareEncryptionKeys
from edocnode.storage.folder import DataFolder
from tests.support.nation import Nation
from tests.support.nodes import TestNode, utc_now


def with_keys(nation: Nation, *nodes: TestNode) -> None:
    """Gives stopped nodes an encryption key each, which all of them know."""
    for node in nodes:
        keys = SoftwareEncryptionKeys(DataFolder(node.data), node.agency.code)
        keys.make(utc_now())
        node.agency.encryption = keys.current()
        nation.set_address(node.agency.code, node.settings.advertise)
    nation.publish()
    for node in nodes:
        DirectoryFiles(DataFolder(node.data).directory, nation.anchor).save(nation.directory())


def lose_keys(node: TestNode) -> None:
    """Deletes the private encryption keys of a stopped node."""
    lost = list(DataFolder(node.data).keys.glob("encryption-*.key"))
    assert lost
    for file in lost:
        file.unlink()
