"""Evidence over ``edocregistry ca rotate`` and a new root, by real programs and by hand."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.integration.evidence.conftest import ByHand, authority, by_hand
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

__all__ = ["authority", "by_hand"]
FORMATS = ("zip", "asic-e")


def send(node: Node, to: Node, folder: Path) -> str:
    """A document and its receipt."""
    letter = folder / "công văn.pdf"
    letter.write_bytes(b"%PDF-1.7")
    document: str = node.done("send", letter, "--to", to.code, "--subject", "Thử")["document_id"]
    delivered = lambda: node.delivery(document)["state"] == "delivered"  # noqa: E731
    waited_for(delivered, within_s=60, what="a receipt")
    return document


def exported(node: Node, document: str, folder: Path) -> Iterator[Path]:
    """The evidence in each format."""
    folder.mkdir()
    for name in FORMATS:
        file = folder / f"evidence.{name}"
        node.done("evidence", "export", document, "--format", name, "--out", file)
        yield file


def replace_root(network: Network) -> None:
    """The officers sign the next root, which names other keys of this machine too."""
    registry, draft = network.registry, network.folder / "draft"
    registry.done("draft", "--new-root", "--new-online-key", "--out", draft)
    keys = [registry.data / "officers" / f"root-{number}.pem" for number in (1, 2)]
    words = [word for key in keys for word in ("--key", key)]
    root = registry.done("status")["root_sha256"]
    registry.done("sign", draft, *words, "--root", root, "--yes")
    registry.done("publish", draft)


@pytest.mark.slow
def test_evidence_of_before_the_replacement_of_the_authority_holds_exported_then_or_now(
    network: Network, by_hand: ByHand, tmp_path: Path
) -> None:
    node, other = network[HA_TINH], network[NOI_VU]
    anchor = network.registry.done("status")["root_sha256"]
    document = send(node, other, tmp_path)
    files = [*exported(node, document, tmp_path / "before")]
    network.registry.done("ca", "rotate", "--yes")
    replace_root(network)
    version = network.registry.done("status")["version"]
    for each in (node, other):
        follows = lambda each=each: each.status()["directory"]["version"] >= version  # noqa: E731
        waited_for(follows, within_s=60, what="the new directory")
    files += exported(node, document, tmp_path / "after")
    files += exported(other, send(other, node, tmp_path), tmp_path / "since")
    for number, file in enumerate(files):
        for each in (node, other):
            verdict = each.done("evidence", "verify", file, "--root", anchor)
            assert verdict["verdict"] == "valid", file
        folder = tmp_path / f"unpacked {number}"
        with ZipFile(file) as archive:
            archive.extractall(folder)
        done = by_hand(folder, anchor)
        assert (done.returncode, done.stderr) == (0, ""), file
        assert "\nVALID\n" in done.stdout
    after = tmp_path / "unpacked 2"
    assert len([*(after / "crls").iterdir()]) == 2
    assert (after / "roles" / "root-2").is_dir()
