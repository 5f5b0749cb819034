"""Officers' keys in a real PKCS#11 token (SoftHSM2): made there, signing there, never on a disk."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_registry import command, done, error
from tests.support.token import FINAL_TRY, PIN, TOKEN, SoftToken

KEY = "officer 4"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    return SoftToken.make(tmp_path / "token", monkeypatch.setenv)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A founded registry, and beside it the officers' files."""
    done("init", "--network", "vn-test", "--listen", "127.0.0.1:0", data=tmp_path / "registry")
    return tmp_path


def new_key(token: SoftToken, file: Path, key: str = KEY) -> dict:
    place = ("--token", TOKEN, "--module", token.proxy, "--token-key", key)
    words = ("key", "new", file, *place, "--pin-file", token.pin_file, "--json")
    result = command(*words)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def root_of(room: Path) -> str:
    return done("status", data=room / "registry")["root_sha256"]


def drafted(room: Path, file: Path) -> Path:
    """A draft in which the officer with the token takes the place of the third."""
    old = [room / "registry" / "officers" / f"root-{number}.pem" for number in (1, 2)]
    for path in old:
        result = command("key", "protect", path, "--passphrase-file", passphrase(room))
        assert result.returncode == 0, result.stderr
    words = [word for path in (*old, file) for word in ("--officer", f"{path}.pub")]
    out = room / "change.draft"
    done("draft", "--out", out, *words, data=room / "registry")
    return out


def passphrase(room: Path) -> Path:
    path = room / "passphrase"
    path.write_text("bốn từ ngẫu nhiên")
    path.chmod(0o600)
    return path


def signed(room: Path, draft: Path, *keys: Path, pin: Path):
    words = [word for key in keys for word in ("--key", key)]
    secrets = ("--passphrase-file", passphrase(room), "--pin-file", pin)
    return command("sign", draft, *words, *secrets, "--root", root_of(room), "--yes", "--json")


def private_keys(room: Path) -> set[Path]:
    """Files with a private key, under a passphrase or not; what the token keeps is no such file."""
    found = (path for path in room.rglob("*") if path.is_file())
    return {path for path in found if b"PRIVATE KEY" in path.read_bytes()}


def test_officer_with_a_token_signs_roots_and_the_key_is_on_no_disk(
    room: Path, token: SoftToken
) -> None:
    file = room / "root-4.token"
    before = private_keys(room)
    made = new_key(token, file)
    draft = drafted(room, file)
    officers = room / "registry" / "officers"
    first = signed(room, draft, officers / "root-1.pem", file, pin=token.pin_file)
    assert first.returncode == 0, first.stderr
    assert made["key"] in json.loads(first.stdout)["keys"]
    second = signed(room, draft, officers / "root-2.pem", pin=token.pin_file)
    assert second.returncode == 0, second.stderr
    done("publish", draft, data=room / "registry")
    # From now on the token is one of the two that the next root needs.
    done("draft", "--out", room / "next.draft", "--new-root", data=room / "registry")
    keys = (officers / "root-2.pem", file)
    last = signed(room, room / "next.draft", *keys, pin=token.pin_file)
    assert last.returncode == 0, last.stderr
    done("publish", room / "next.draft", data=room / "registry")
    written = [path for path in room.rglob("*") if path.is_file() and "token" not in path.parts]
    assert not [path for path in written if PIN.encode() in path.read_bytes()]
    assert private_keys(room) == before
    assert token.log().count("sign") >= 2


def test_wrong_pin_is_shown_to_the_token_once(room: Path, token: SoftToken) -> None:
    file = room / "root-4.token"
    new_key(token, file)
    draft = drafted(room, file)
    wrong = room / "wrong"
    wrong.write_text("00001111")
    wrong.chmod(0o600)
    before = token.log().count("login")
    for _ in range(3):
        result = signed(room, draft, file, pin=wrong)
        assert error(result)[1] == "KEY_UNUSABLE"
        assert "refused the PIN" in result.stderr
        assert "00001111" not in result.stderr
    assert token.log().count("login") == before + 1
    unsigned = json.loads(draft.read_text())
    assert all(
        '"signatures":[]' in text.replace(" ", "").replace("\n", "")
        for text in unsigned["roles"].values()
    )
    assert signed(room, draft, file, pin=token.pin_file).returncode == 0


def test_pin_file_that_others_read_is_refused(room: Path, token: SoftToken) -> None:
    file = room / "root-4.token"
    new_key(token, file)
    draft = drafted(room, file)
    token.pin_file.chmod(0o644)
    before = token.log().count("login")
    assert signed(room, draft, file, pin=token.pin_file).returncode != 0
    assert token.log().count("login") == before


def test_token_that_the_next_wrong_pin_would_lock_is_shown_none(
    room: Path, token: SoftToken
) -> None:
    file = room / "root-4.token"
    new_key(token, file)
    draft = drafted(room, file)
    token.control("flags", FINAL_TRY)
    result = signed(room, draft, file, pin=token.pin_file)
    assert result.returncode != 0
    assert "takes no PIN" in result.stderr


def test_token_with_another_key_of_that_name_signs_nothing(room: Path, token: SoftToken) -> None:
    file = room / "root-4.token"
    new_key(token, file)
    draft = drafted(room, file)
    new_key(token, room / "other.token", "officer 5")
    moved = json.loads(file.read_text())
    file.write_text(json.dumps({**moved, "key": "officer 5"}, separators=(",", ":")))
    result = signed(room, draft, file, pin=token.pin_file)
    assert result.returncode != 0
    assert "is not the one whose public key" in result.stderr
    assert "signatures" in draft.read_text()


def test_key_file_is_never_overwritten(room: Path, token: SoftToken) -> None:
    file = room / "root-4.token"
    new_key(token, file)
    words = ("key", "new", file, "--token", TOKEN, "--module", token.proxy)
    result = command(*words, "--pin-file", token.pin_file, "--json")
    assert error(result)[1] == "FILE_EXISTS"
