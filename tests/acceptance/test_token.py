"""An agency whose seal is in a PKCS#11 token: joined by commands, killed while the token signs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.network import NOI_VU, SETTINGS, Network, Node, waited_for
from tests.support.ports import free_port
from tests.support.token import PIN, TOKEN, SoftToken

CODE = "H40"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    return SoftToken.make(tmp_path / "token", monkeypatch.setenv)


@pytest.fixture
def node(network: Network, token: SoftToken, tmp_path: Path) -> Iterator[Node]:
    """A node that joined with its key in the token; it runs."""
    network.registry.done("agency", "add", CODE, "--name", "Tỉnh Nam Định")
    join = network.registry.done("invite", CODE)["join"]
    node = Node(CODE, "edocnode.cli.main", tmp_path / CODE, dict(SETTINGS))
    words = ["--listen", f"{network.host}:{free_port(network.host)}", "--seal-token", TOKEN]
    words += ["--seal-module", str(token.proxy), "--seal-pin-file", str(token.pin_file)]
    node.done("init", join, *words)
    assert node.run("init", join, *words).data["already_enrolled"]
    node.start()
    yield node
    node.kill()


def rows(node: Node, table: str) -> int:
    """How many rows a table of its database has."""
    path = node.data / "node.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_key_is_made_in_the_token_and_the_pin_is_written_nowhere(
    network: Network, node: Node, token: SoftToken, tmp_path: Path
) -> None:
    assert not (node.data / "keys" / "seal.key").exists()
    assert f'token = "{TOKEN}"' in (node.data / "edocnode.toml").read_text()
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    sent = node.done("send", letter, "--to", NOI_VU, "--subject", "Thử", "--wait", 60)
    evidence = tmp_path / "evidence.zip"
    node.done("evidence", "export", sent["document_id"], "--out", evidence)
    assert network[NOI_VU].done("evidence", "verify", evidence)
    node.done("config", "check")
    node.stop()
    for path in [node.log, *node.data.rglob("*")]:
        if path.is_file():
            assert PIN.encode() not in path.read_bytes(), path


def test_kill_while_the_token_signs_shows_nothing_unsealed_and_loses_nothing(
    network: Network, node: Node, token: SoftToken, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    waited_for(lambda: CODE in network[NOI_VU].peers(), what="the node in the directory")
    token.control("hang", 60_000)
    asked = len(token.log())
    came = network[NOI_VU].done("send", letter, "--to", CODE, "--subject", "Đến")
    waited_for(lambda: rows(node, "incoming") == 1, what="the document kept")
    waited_for(lambda: len(token.log()) > asked, what="the token asked")
    went = node.done("send", letter, "--to", NOI_VU, "--subject", "Đi")
    assert rows(node, "inbox") == 0
    node.kill()
    assert rows(node, "inbox") == 0
    node.start()
    assert node.received() == []
    assert node.delivery(went["document_id"])["state"] == "queued"
    token.control("fine")
    waited_for(
        lambda: node.delivery(went["document_id"])["state"] == "delivered",
        what="it went",
        within_s=60,
    )
    waited_for(
        lambda: network[NOI_VU].delivery(came["document_id"])["state"] == "delivered",
        what="it came",
        within_s=60,
    )
    assert node.received() == [came["document_id"]]
    assert network[NOI_VU].received() == [went["document_id"]]
    assert node.done("journal", "verify")["verdict"] == "ok"


def test_wrong_pin_at_init_is_told_at_once_and_the_right_one_goes_on(
    network: Network, token: SoftToken, tmp_path: Path
) -> None:
    network.registry.done("agency", "add", CODE, "--name", "Tỉnh Nam Định")
    join = network.registry.done("invite", CODE)["join"]
    node = Node(CODE, "edocnode.cli.main", tmp_path / CODE, dict(SETTINGS))
    words = ["--listen", "127.0.0.1:1", "--seal-token", TOKEN, "--seal-module", str(token.proxy)]
    words += ["--seal-pin-file", str(token.pin_file)]
    token.write_pin("99998888")
    for _ in range(2):
        assert node.run("init", join, *words).error == (1, "KEY_UNUSABLE")
    assert token.log().count("login") == 1
    token.write_pin(PIN)
    assert node.done("init", join, *words)["agency"] == CODE


def test_next_key_is_made_in_the_token_under_another_name_and_the_same_one_is_refused(
    network: Network, node: Node, tmp_path: Path
) -> None:
    [before] = [key for key in node.status()["keys"] if key["kind"] == "seal"]
    assert "seal_token.key" in before["by_hand"]
    node.stop()
    join = network.registry.done("invite", CODE)["join"]
    assert node.run("keys", "replace", join, "--yes").error[1] == "KEY_UNUSABLE"
    settings = node.data / "edocnode.toml"
    settings.write_text(settings.read_text() + 'key = "next seal"\n')  # of [seal_token], the last
    node.done("keys", "replace", join, "--yes")
    node.start()
    [after] = [key for key in node.status()["keys"] if key["kind"] == "seal"]
    assert after["sha256"] != before["sha256"]
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    node.done("send", letter, "--to", NOI_VU, "--subject", "Thử", "--wait", 60)
