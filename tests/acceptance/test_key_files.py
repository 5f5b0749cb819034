"""Key files with a passphrase, and secrets that are nowhere but in their files."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edockit.certificates import is_encrypted
from edockit.secrets import SecretPlace
from edocnode.settings import settings_text
from edocnode.storage.folder import SEAL_NEXT, DataFolder, KeyPlaces
from edocnode.storage.seal_key import new_seal_request
from tests.support.network import SETTINGS, Node, waited_for
from tests.support.nodes import TestNode, make_pair

PASSPHRASE = "4vZ0-không-đoán-được"
FILES = ("seal.key", "tls-current.key", "tls-next.key")


def program(made: TestNode) -> Node:
    """The program on the folder of a node."""
    DataFolder(made.data).settings_file.write_text(settings_text(made.settings), encoding="utf-8")
    return Node(made.agency.code, "edocnode.cli.main", made.data, dict(SETTINGS))


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two nodes, stopped."""
    _, *made = make_pair(tmp_path)
    first, second = map(program, made)
    yield first, second
    for node in (first, second):
        node.kill()


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def use(node: Node, passphrase: Path) -> None:
    """Names the file in the settings."""
    with (node.data / "edocnode.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'key_passphrase_file = "{passphrase}"\n')


def test_t38_a_node_with_encrypted_keys_works_and_its_secrets_are_nowhere(
    nodes: tuple[Node, Node], passphrase: Path, tmp_path: Path
) -> None:
    first, second = nodes
    first.anew = True
    plain = [(first.data / "keys" / name).read_bytes() for name in FILES]
    use(first, passphrase)
    changed = first.done("keys", "protect")["changed"]
    assert sorted(Path(path).name for path in changed) == sorted(FILES)
    assert first.done("keys", "protect")["changed"] == []
    first.start()
    second.start()
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    sent = first.done("send", letter, "--to", second.code, "--subject", "Thử")
    waited_for(lambda: first.delivery(sent["document_id"])["state"] == "delivered", what="delivery")
    assert first.process is not None
    pid = first.process.pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core" in line] == [["0", "0"]]
    assert first.done("config", "show")
    first.stop()
    places = [path for path in [first.log, *first.data.rglob("*")] if path.is_file()]
    assert len(places) > 8
    for secret in [PASSPHRASE.encode(), *map(secret_number, plain)]:
        assert secret not in environment
        for path in places:
            content = path.read_bytes()
            assert secret not in content, path
            assert secret.hex().encode() not in content, path


def secret_number(pem: bytes) -> bytes:
    """The 32 secret bytes of a P-256 key."""
    number = load_pem_private_key(pem, None).private_numbers().private_value
    return number.to_bytes(32, "big")


def test_t38_memory_of_a_node_is_in_no_dump_and_for_no_other_process_of_its_user() -> None:
    script = (
        "import ctypes, resource\n"
        "from edockit.secrets import keep_out_of_dumps\n"
        "keep_out_of_dumps()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"  # PR_GET_DUMPABLE
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["0", "(0, 0)"]


def test_t38_the_key_of_a_renewal_is_encrypted_as_the_others_and_unprotected_with_them(
    nodes: tuple[Node, Node], passphrase: Path
) -> None:
    first, _ = nodes
    use(first, passphrase)
    first.done("keys", "protect")
    secret = SecretPlace("passphrase", passphrase, "", "")
    folder = DataFolder(first.data, KeyPlaces(passphrase=secret))
    new_seal_request(folder, SEAL_NEXT)
    following = folder.key_file(SEAL_NEXT, "key")
    assert is_encrypted(following)
    changed = first.done("keys", "unprotect")["changed"]
    assert {Path(path).name for path in changed} == {*FILES, "seal-next.key"}
    assert not is_encrypted(following)


@pytest.mark.parametrize("name", FILES)
def test_t38_a_key_file_that_others_can_read_keeps_the_node_from_starting(
    nodes: tuple[Node, Node], name: str
) -> None:
    node = nodes[0]
    (node.data / "keys" / name).chmod(0o640)
    assert node.run("config", "check").error == (1, "KEY_UNUSABLE")
    if name != "tls-next.key":  # not needed before its time
        outcome = node.run("serve")
        assert outcome.code == 1
        assert "chmod 600" in outcome.talk


def test_a_wrong_or_missing_passphrase_keeps_the_node_from_starting_and_says_so(
    nodes: tuple[Node, Node], passphrase: Path
) -> None:
    node = nodes[0]
    node.done("keys", "protect", "--passphrase-file", passphrase)
    assert node.run("serve").error == (1, "KEY_UNUSABLE")  # no setting names it
    use(node, passphrase)
    passphrase.write_text("another-passphrase-that-is-wrong\n")
    before = [(node.data / "keys" / name).read_bytes() for name in FILES]
    assert node.run("keys", "unprotect").error == (1, "KEY_UNUSABLE")
    assert node.run("serve").error == (1, "KEY_UNUSABLE")
    assert before == [(node.data / "keys" / name).read_bytes() for name in FILES]
    passphrase.chmod(0o644)
    assert "open to other users" in node.run_text("serve").talk


def test_keys_are_protected_and_listed_and_written_plainly_again(
    nodes: tuple[Node, Node], passphrase: Path
) -> None:
    node = nodes[0]
    plain = [canonical(node.data / "keys" / name) for name in FILES]
    passphrase.write_text("short\n")
    assert node.run("keys", "protect", "--passphrase-file", passphrase).error == (1, "KEY_UNUSABLE")
    passphrase.write_text(PASSPHRASE)
    node.done("keys", "protect", "--passphrase-file", passphrase)
    listed = node.done("keys", "list")["keys"]
    assert [key["name"] for key in listed] == ["seal", "tls-current", "tls-next"]
    assert all(key["encrypted"] and key["days_left"] > 300 for key in listed)
    opened = subprocess.run(
        [
            "openssl",
            "pkey",
            "-in",
            node.data / "keys" / "seal.key",
            "-passin",
            f"file:{passphrase}",
        ],
        capture_output=True,
        check=True,
    )
    assert opened.stdout.startswith(b"-----BEGIN PRIVATE KEY-----")
    node.done("keys", "unprotect", "--passphrase-file", passphrase)
    assert [canonical(node.data / "keys" / name) for name in FILES] == plain
    assert not any(key["encrypted"] for key in node.done("keys", "list")["keys"])


def canonical(path: Path) -> bytes:
    """A key file that is not encrypted, however it was written."""
    key = load_pem_private_key(path.read_bytes(), None)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_the_credential_of_the_service_manager_opens_the_keys(
    nodes: tuple[Node, Node], passphrase: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = nodes[0]
    node.done("keys", "protect", "--passphrase-file", passphrase)
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "edocnode-key-passphrase").write_text(PASSPHRASE)
    (folder / "edocnode-key-passphrase").chmod(0o440)  # as systemd shows its access list
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    node.start()
    assert node.done("config", "check")["ok"]
