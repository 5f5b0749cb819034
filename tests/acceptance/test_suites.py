"""Suite 2 by the commands: agencies go over, their minimum is raised, weaker keys are refused."""

import zipfile
from pathlib import Path

import pytest

from tests.support.network import HA_TINH, NOI_VU, Network, Node, Program, waited_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


def go_over(registry: Program, node: Node) -> None:
    """Gives a node keys of suite 2, as its operator does."""
    node.stop()
    node.settings["seal_suite"] = "2"
    node.done("keys", "replace", registry.done("invite", node.code)["join"], "--yes")
    node.start()


def sent(node: Node, to: Node, tmp_path: Path) -> str:
    """Sends a document and waits for its receipt; its id."""
    file = tmp_path / "công văn.pdf"
    file.write_bytes(b"%PDF-1.7")
    document: str = node.done("send", file, "--to", to.code, "--subject", "Thử")["document_id"]
    waited_for(lambda: node.delivery(document)["state"] == "delivered", within_s=60)
    return document


def test_t33_agencies_go_over_to_suite_2_and_no_weaker_key_is_certified_again(
    network: Network, tmp_path: Path
) -> None:
    registry, node, other = network.registry, network[HA_TINH], network[NOI_VU]
    minimum = ("agency", "minimum", HA_TINH, "--suite")
    assert registry.run(*minimum, 2).error == (6, "DECISION_CONFLICT")  # it seals with 1
    assert registry.run(*minimum, 3).error == (2, "REQUEST_INVALID")
    for each in (node, other):
        go_over(registry, each)
    names = {item["name"] for item in node.done("keys", "list")["keys"]}
    assert names == {"seal", "seal-mldsa", "tls-current", "tls-next"}
    assert registry.done(*minimum, 2)["minimum_suite"] == 2
    document = sent(node, other, tmp_path)
    sent(other, node, tmp_path)  # no minimum there: a pair seals with both keys all the same
    assert node.done("journal", "verify")["verdict"] == "ok"
    check_evidence(node, other, document, tmp_path)
    node.stop()
    node.settings["seal_suite"] = "1"
    join = registry.done("invite", HA_TINH)["join"]
    assert node.run("keys", "replace", join, "--yes").error == (2, "REQUEST_INVALID")


def check_evidence(node: Node, other: Node, document: str, tmp_path: Path) -> None:
    """All in the file is under both halves, and the other node finds that both hold."""
    evidence = tmp_path / "evidence.zip"
    node.done("evidence", "export", document, "--out", evidence)
    assert other.done("evidence", "verify", evidence)["verdict"] == "valid"
    with zipfile.ZipFile(evidence) as archive:
        for name in ("envelope/seal", "receipt/seal", "manifest"):
            assert b'"suite":2' in archive.read(f"{name}.json")
            assert len(archive.read(f"{name}.mldsa")) == 3309
