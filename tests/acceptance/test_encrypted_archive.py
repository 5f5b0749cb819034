"""Encrypted files on networks of their own: without keys, and where a node's folder goes."""

from pathlib import Path

from tests.acceptance.test_encryption import SECRET, WAIT, sent_encrypted, stored_bytes, with_key
from tests.acceptance.test_moving import move
from tests.integration.edxml.packages import action_and_files
from tests.support.network import HA_TINH, NOI_VU, Network, Node


def contents(node: Node, document_id: str, folder: Path) -> list[bytes]:
    """The files of a document as a command saves them."""
    saved = node.done("save", document_id, "--to", folder)["files"]
    return [Path(each["path"]).read_bytes() for each in saved]


def test_keys_go_where_the_node_goes_and_its_archive_reads_on(
    network: Network, tmp_path: Path
) -> None:
    node, peer = network[NOI_VU], network[HA_TINH]
    for code in (NOI_VU, HA_TINH):
        with_key(network, code)
    file = tmp_path / "Hồ sơ.txt"
    file.write_bytes(SECRET * 5_000)
    first = sent_encrypted(peer, [file], NOI_VU)
    move(network, node, tmp_path / "host")
    assert all(
        key.stat().st_mode & 0o777 == 0o600 for key in (node.data / "keys").glob("encryption*")
    )
    assert contents(node, first, tmp_path / "moved") == [file.read_bytes()]
    second = peer.done(
        *("send", file, "--to", NOI_VU, "--subject", "sau khi chuyển", "--encrypt", *WAIT)
    )["document_id"]
    assert SECRET not in stored_bytes(node)

    package = tmp_path / "đến.edxml"
    node.done("edxml", "export", second, "--out", package)
    _action, packed = action_and_files(package.read_bytes())
    assert packed == {file.name: file.read_bytes()}

    node.stop()
    node.done("retire", "--yes")
    for number, document_id in enumerate((first, second)):
        assert contents(node, document_id, tmp_path / f"archive-{number}") == [file.read_bytes()]
    evidence = tmp_path / "chứng cứ.zip"
    node.done("evidence", "export", second, "--out", evidence)
    assert SECRET not in evidence.read_bytes()
    node.done("evidence", "open", evidence, "--to", tmp_path / "mở")
    [opened] = (tmp_path / "mở").iterdir()
    assert opened.read_bytes() == file.read_bytes()


def test_nothing_leaves_without_the_key_of_a_recipient_who_is_named(
    network: Network, tmp_path: Path
) -> None:
    sender, file = network[HA_TINH], tmp_path / "Hồ sơ.txt"
    file.write_bytes(SECRET)
    words = ("send", file, "--to", NOI_VU, "--subject", "chưa có khóa", "--encrypt")
    outcome = sender.run(*words)
    assert outcome.error == (4, "ENCRYPTION_KEY_MISSING")
    assert HA_TINH in outcome.talk  # the own one comes first
    with_key(network, HA_TINH)
    outcome = sender.run(*words)
    assert outcome.error == (4, "ENCRYPTION_KEY_MISSING")
    assert NOI_VU in outcome.talk
    assert not sender.done("outbox", "--search", "chưa có khóa")["documents"]
