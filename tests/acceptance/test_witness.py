"""Agencies watch over the registry: real programs, one that lies, one that was restored."""

from pathlib import Path

import pytest

from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for


def log_of(node: Node) -> dict[str, object]:
    """The log as the node has it, as ``edocnode directory log`` prints it."""
    found: dict[str, object] = node.done("directory", "log")
    return found


def is_covered(node: Node, version: int) -> bool:
    """Whether a node has a version, or one that came after it, and its cosignature."""
    found = log_of(node)
    return int(str(found["version"])) >= version and found["state"] == "covered"


def is_uncovered(node: Node, version: int) -> bool:
    """Whether a node has a version that nobody cosigned; the log comes after the directory."""
    found = log_of(node)
    return (found["version"], found["state"]) == (version, "uncovered")


def published(network: Network) -> int:
    version: int = network.registry.done("status")["version"]
    return version


def add(network: Network, code: str) -> int:
    """Publishes one version more."""
    network.registry.done("agency", "add", code, "--name", f"Đơn vị {code}")
    return published(network)


def watched(network: Network) -> None:
    """Lets Nội vụ's node watch over the registry, and has its word demanded."""
    registry, witness = network.registry, network[NOI_VU]
    key = witness.done("witness", "enable")["key"]
    assert witness.done("witness", "enable")["key"] == key
    assert registry.run("witness", "add", HA_TINH, key).error == (2, "REQUEST_INVALID")
    registry.done("witness", "add", NOI_VU, key)
    registry.done("witness", "require", 1)


@pytest.mark.slow
def test_an_agency_that_watches_cosigns_each_version_also_after_it_was_down(
    network: Network,
) -> None:
    registry, node, witness = network.registry, network[HA_TINH], network[NOI_VU]
    # Nobody watches, and nobody has to; a node is ready before the log has come to it.
    waited_for(lambda: log_of(node)["state"] == "covered", what="the log of the directory")
    watched(network)
    version = published(network)
    waited_for(lambda: is_covered(node, version), what="a cosigned directory")
    status = registry.done("status")["log"]
    assert (status["size"], status["threshold"]) == (status["witnessed_size"], 1)
    assert [item["agency"] for item in status["witnesses"]] == [NOI_VU]
    shown = witness.done("witness", "show")
    assert (shown["listed"], shown["size"]) == (True, status["size"])
    witness.kill()
    version = add(network, "H90")
    waited_for(lambda: is_uncovered(node, version), what="the new directory")
    assert not node.alarms()  # for a day
    witness.start()
    waited_for(lambda: is_covered(node, version), what="the cosignature of a witness that was down")
    assert witness.run("witness", "disable").error == (2, "REQUEST_INVALID")
    witness.done("witness", "disable", "--yes")
    assert witness.done("witness", "show")["key"] is None
    known = log_of(node)["version"]
    node.stop()
    (node.data / "directory" / "log").unlink()
    said = log_of(node)  # as it is before the log has come
    assert (said["log"], said["version"], said["state"]) == (None, known, "missing")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_t43_a_registry_that_says_two_things_is_proven_to_and_documents_travel_on(
    network: Network, tmp_path: Path
) -> None:
    """Whoever has its keys shows one agency a directory of its own; then the other one again."""
    registry, node, witness = network.registry, network[HA_TINH], network[NOI_VU]
    watched(network)
    version = published(network)
    waited_for(lambda: is_covered(node, version), what="a cosigned directory")
    size = witness.done("witness", "show")["size"]
    registry.stop()
    honest = registry.copy_folder(tmp_path / "honest")
    witness.stop()  # is not shown what comes
    registry.start()
    lie = add(network, "H66")
    waited_for(lambda: is_uncovered(node, lie), what="the directory for one alone")
    registry.stop()
    node.stop()
    registry.restore_folder(honest)
    registry.done("log", "confirm", "--yes")  # whoever has the keys says what he likes
    registry.start()
    version = add(network, "H77")
    witness.start()
    waited_for(lambda: is_covered(witness, version), what="the directory for all others")
    node.start()
    waited_for(lambda: "LOG_FORKED" in node.alarms(), what="the alarm")
    assert log_of(node)["version"] == lie  # the registry's other one is older in a role
    waited_for(lambda: "LOG_FORKED" in witness.alarms(), what="the alarm at whoever hears of it")
    assert witness.done("witness", "show")["size"] > size
    proof, root = tmp_path / "proof", registry.done("status")["root_sha256"]
    (listed,) = node.done("directory", "evidence")["proofs"]
    assert listed["sizes"][0] <= listed["sizes"][1]
    node.done("directory", "evidence", "--log", "--out", proof)
    assert witness.done("directory", "verify", proof, "--root", root)["sizes"] == listed["sizes"]
    assert witness.run("directory", "verify", proof, "--root", "0" * 64).code == 4
    letter = tmp_path / "letter.txt"
    letter.write_text("Công văn")
    sent = node.done("send", letter, "--to", NOI_VU, "--subject", "Thử", "--wait", 60)
    assert sent["deliveries"][0]["state"] == "delivered"


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_registry_that_was_restored_is_accused_of_nothing(
    network: Network, tmp_path: Path, *, mirrored: bool
) -> None:
    registry, node, witness = network.registry, network[HA_TINH], network[NOI_VU]
    watched(network)
    backup = tmp_path / "registry.backup"
    registry.done("backup", backup, "--no-passphrase")
    version = add(network, "H90")
    waited_for(lambda: is_covered(node, version), what="a version that the backup lacks")
    registry.stop()
    registry.data.rename(tmp_path / "lost")
    mirror = ("--mirror", node.data / "directory") if mirrored else ()
    registry.done("restore", backup, *mirror)
    registry.start()
    version = published(network)
    if mirrored:
        waited_for(lambda: is_covered(node, version), what="the log that goes on")
        assert not node.alarms()
        return
    waited_for(lambda: "LOG_REPLACED" in node.alarms(), what="word of the lost versions")
    assert node.done("directory", "evidence")["proofs"] == []
    waited_for(lambda: "LOG_WITNESS" in witness.alarms(), what="the witness that stays firm")
    key = witness.done("witness", "enable", "--new-key")["key"]
    registry.done("witness", "add", NOI_VU, key)
    version = published(network)
    waited_for(lambda: is_covered(node, version), what="the witness under its new key")
