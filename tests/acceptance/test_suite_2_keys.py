"""Seals of two keys, wherever the keys are: one in a token, the other under a passphrase."""

import zipfile
from pathlib import Path

import pytest

from edoccore.identity.keys import LATTICE_BYTES
from edockit.certificates import is_encrypted
from tests.acceptance.test_suites import sent
from tests.support.network import NOI_VU, SETTINGS, Network, Node
from tests.support.ports import free_port
from tests.support.token import TOKEN, SoftToken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]
CODE = "H40"
PASSPHRASE = "một-cụm-từ-không-đoán-được"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    return SoftToken.make(tmp_path / "token", monkeypatch.setenv)


def test_a_pair_with_one_key_in_a_token_and_the_other_under_a_passphrase_seals_with_both(
    network: Network, token: SoftToken, tmp_path: Path
) -> None:
    other = network[NOI_VU]
    node = Node(CODE, "edocnode.cli.main", tmp_path / CODE, dict(SETTINGS))
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    network.registry.done("agency", "add", CODE, "--name", "Tỉnh Nam Định")
    join = network.registry.done("invite", CODE)["join"]
    words = ["--listen", f"{network.host}:{free_port(network.host)}", "--suite", "2"]
    words += ["--seal-token", TOKEN, "--seal-module", str(token.proxy)]
    words += ["--seal-pin-file", str(token.pin_file), "--key-passphrase-file", str(passphrase)]
    node.done("init", join, *words)
    listed = {key["name"]: key for key in node.done("keys", "list")["keys"]}
    assert listed["seal"]["token"] == TOKEN
    assert Path(listed["seal-mldsa"]["file"]).name == "seal.mldsa.key"
    assert is_encrypted(Path(listed["seal-mldsa"]["file"]))
    passphrase.rename(tmp_path / "elsewhere")
    assert node.run("serve").error == (1, "KEY_UNUSABLE")
    (tmp_path / "elsewhere").rename(passphrase)
    try:
        node.start()
        document = sent(node, other, tmp_path)
        sent(other, node, tmp_path)
        evidence = tmp_path / "evidence.zip"
        node.done("evidence", "export", document, "--out", evidence)
        assert other.done("evidence", "verify", evidence)["verdict"] == "valid"
        with zipfile.ZipFile(evidence) as archive:
            for name in ("envelope/seal", "manifest"):
                assert b'"suite":2' in archive.read(f"{name}.json")
                assert len(archive.read(f"{name}.mldsa")) == LATTICE_BYTES
        assert node.done("journal", "verify")["verdict"] == "ok"
    finally:
        node.kill()
