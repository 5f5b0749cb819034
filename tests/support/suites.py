"""Seals of suite 2 for nodes whose folders were made with suite 1."""

from edockit.certificates import certificate_pem, save_private_key
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import LATTICE_KEY, SEAL, DataFolder
from tests.support.nation import Nation
from tests.support.nodes import TestNode


def give_pair(nation: Nation, node: TestNode) -> None:
    """Gives a node that is stopped a seal of suite 2; the directory lists it besides the old."""
    agency, folder = node.agency, DataFolder(node.data)
    nation.replace_seal(agency.code, suite=2)
    nation.set_address(agency.code, node.settings.advertise)
    assert agency.lattice_key is not None
    save_private_key(folder.seal_key_file, agency.seal_key)
    save_private_key(folder.key_file(SEAL, LATTICE_KEY), agency.lattice_key)
    chain = [agency.seal_certificate, agency.authority]
    folder.save_seal_chain(b"".join(certificate_pem(item) for item in chain))


def spread(nation: Nation, *nodes: TestNode) -> None:
    """Gives the newest directory to nodes that are stopped."""
    directory = nation.directory()
    for node in nodes:
        DirectoryFiles(DataFolder(node.data).directory, nation.anchor).save(directory)
