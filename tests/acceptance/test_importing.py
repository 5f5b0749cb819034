"""Directories and extensions brought as files to a node that is stopped, its registry lost."""

from pathlib import Path

from edoccore.directory.bundle import encode_bundle
from edoccore.directory.layout import ROLE_LIFE
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.acceptance.test_ladder import begin_again, extended, needs_faketime
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for


def exported(node: Node, to: Path) -> Path:
    node.done("directory", "export", to)
    return to


def known(node: Node) -> DirectoryFiles:
    folder = DataFolder(node.data)
    return DirectoryFiles(folder.directory, folder.identity().root_sha256)


def newer_for_one_alone(network: Network) -> Node:
    """Publishes a version that G01 has and H29, which is stopped, has not; no registry any more."""
    node, peer = network[HA_TINH], network[NOI_VU]
    node.stop()
    network.registry.done("agency", "add", "H30", "--name", "Ủy ban nhân dân tỉnh Thái Bình")
    version = network.registry.done("status")["version"]
    waited_for(lambda: known(peer).load().mark.version >= version, within_s=60)
    network.registry.stop()
    peer.stop()
    return node


def test_stopped_node_takes_a_newer_directory_before_it_starts_and_never_an_older_one(
    network: Network, tmp_path: Path
) -> None:
    old = exported(network[HA_TINH], tmp_path / "old")
    node = newer_for_one_alone(network)
    new = exported(network[NOI_VU], tmp_path / "new")
    found = node.done("directory", "import", new, "--actor", "an officer")
    assert found["changed"]
    assert found["directory"]["version"] == known(network[NOI_VU]).load().mark.version
    assert "H30" in known(node).load().identities
    assert not node.done("directory", "import", new)["changed"]
    assert node.run("directory", "import", old).error == (4, "DIRECTORY_INVALID")
    before = node.done("journal", "verify")["effects"]
    node.start()  # what was imported, and by whom, is sealed now
    waited_for(lambda: node.done("journal", "verify")["effects"] == before + 2, within_s=60)


def test_what_is_forged_or_cut_changes_nothing_on_a_stopped_node(
    network: Network, tmp_path: Path
) -> None:
    node = newer_for_one_alone(network)
    new = exported(network[NOI_VU], tmp_path / "new")
    files = dict(known(network[NOI_VU]).load().files)
    name = next(each for each in files if each.endswith("timestamp.json"))
    files[name] = files[name].replace(b'"20', b'"21', 1)  # it would hold a century longer
    forged, cut = tmp_path / "forged", tmp_path / "cut"
    forged.write_bytes(encode_bundle(files))
    cut.write_bytes(new.read_bytes()[:-100])
    before = known(node).load().mark
    assert node.run("directory", "import", forged).error == (4, "DIRECTORY_INVALID")
    assert node.run("directory", "import", cut).code == 4
    assert known(node).load().mark == before
    node.done("move", "pack", tmp_path / "edocnode.move")
    assert node.run("directory", "import", new).error == (6, "NODE_MOVED")


@needs_faketime
def test_stopped_node_takes_an_extension_and_starts_into_the_emergency(
    network: Network, tmp_path: Path
) -> None:
    node = network[HA_TINH]
    node.stop()
    network.registry.kill()
    extension = extended(network, tmp_path)  # one that too few officers signed is refused there
    found = node.done("directory", "import", extension)
    assert found["extended_until"]
    assert known(node).load().extension is not None
    begin_again([node], ROLE_LIFE.days + 1)
    assert node.status()["directory"]["state"] == "emergency"
