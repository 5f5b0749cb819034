"""The commands of officers as they meet them: what is shown, asked and refused."""

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.test_registry import TIMEOUT_S, command, done, error
from tests.support.commands import run_command

PASSPHRASE = "bốn từ ngẫu nhiên"


@pytest.fixture
def room(tmp_path) -> Path:
    """A registry, an officer's key under a passphrase, and a draft of a next root."""
    registry = tmp_path / "registry"
    done("init", "--network", "vn-test", "--listen", "127.0.0.1:0", data=registry)
    for number in (1, 2, 3):
        (registry / "officers" / f"root-{number}.pem").rename(tmp_path / f"root-{number}.pem")
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "passphrase").chmod(0o600)
    secret = ("--passphrase-file", tmp_path / "passphrase")
    assert command("key", "protect", tmp_path / "root-1.pem", *secret).returncode == 0
    done("draft", "--new-root", "--out", tmp_path / "a.draft", data=registry)
    return tmp_path


def root_of(room: Path) -> str:
    return done("status", data=room / "registry")["root_sha256"]


def sign(room: Path, *words: object, answer: str = "", **environment: str):
    """Signs with no data folder named; ``answer`` is typed."""
    outer = {k: v for k, v in os.environ.items() if k != "EDOCREGISTRY_DATA"}
    return run_command(
        "edocregistry.cli.main",
        ["sign", str(room / "a.draft"), *map(str, words)],
        environment=outer | environment,
        timeout_s=TIMEOUT_S,
        typed=answer,
    )


def signatures(room: Path) -> int:
    draft = json.loads((room / "a.draft").read_text())
    return sum(len(json.loads(text)["signatures"]) for text in draft["roles"].values())


def test_what_is_signed_is_shown_first_and_only_yes_signs(room):
    for answer in ("", "y\n", "no\n"):
        refused = sign(room, "--key", room / "root-2.pem", answer=answer)
        assert refused.returncode == 2
        assert "Root 1 is followed by root 2." in refused.stderr
        assert root_of(room) in refused.stderr
        assert signatures(room) == 0
    signed = sign(room, "--key", room / "root-2.pem", answer="yes\n")
    assert signed.returncode == 0, signed.stderr
    assert signed.stdout == "root: 1 have signed, 1 more must\n"
    assert signatures(room) == 1


def test_signing_unasked_needs_a_root_that_somebody_knows(room):
    key = ("--key", room / "root-2.pem", "--yes")
    assert sign(room, *key).returncode == 2
    assert error(sign(room, *key, "--root", "a" * 64, "--json")) == (4, "DRAFT_INVALID")
    assert signatures(room) == 0
    assert sign(room, *key, "--root", root_of(room)).returncode == 0


def test_passphrase_comes_from_a_private_file_or_a_credential_and_from_nowhere_else(room):
    known = ("--key", room / "root-1.pem", "--yes", "--root", root_of(room), "--json")
    assert error(sign(room, *known)) == (2, "REQUEST_INVALID")  # no terminal to ask at
    wrong = room / "wrong"
    wrong.write_text("sai mật khẩu rồi")
    wrong.chmod(0o644)
    assert error(sign(room, *known, "--passphrase-file", wrong)) == (1, "KEY_UNUSABLE")
    wrong.chmod(0o600)
    assert error(sign(room, *known, "--passphrase-file", wrong)) == (1, "KEY_UNUSABLE")
    assert signatures(room) == 0
    (room / "edocregistry.passphrase").write_text(PASSPHRASE)
    assert sign(room, *known, CREDENTIALS_DIRECTORY=str(room)).returncode == 0


def test_t38_key_under_a_passphrase_lies_nowhere_in_the_clear(room):
    assert b"ENCRYPTED" in (room / "root-1.pem").read_bytes()
    key = room / "root-2.pem"
    key.chmod(0o640)
    refused = sign(room, "--key", key, "--yes", "--root", root_of(room), "--json")
    assert error(refused) == (1, "KEY_UNUSABLE")
    assert "chmod 600" in refused.stderr


def test_new_key_never_overwrites_and_needs_a_passphrase_worth_the_name(room):
    short = room / "short"
    short.write_text("ngắn")
    short.chmod(0o600)
    words = ("key", "new", room / "new.pem", "--json", "--passphrase-file")
    assert error(command(*words, short)) == (2, "REQUEST_INVALID")
    made = command(*words, room / "passphrase")
    shown = command("key", "show", room / "new.pem.pub", "--json")
    assert json.loads(made.stdout)["key"] == json.loads(shown.stdout)["key"]
    assert error(command(*words, room / "passphrase")) == (6, "FILE_EXISTS")


def test_draft_that_too_few_signed_is_refused_with_what_to_do(room):
    sign(room, "--key", room / "root-2.pem", answer="yes\n")
    refused = command("publish", room / "a.draft", data=room / "registry")
    assert refused.returncode == 4
    assert "1 have signed the draft; 1 more must." in refused.stderr
    assert "hint: Have more officers run: edocregistry sign" in refused.stderr
    sign(room, "--key", room / "root-3.pem", answer="yes\n")
    first = done("publish", room / "a.draft", data=room / "registry")
    again = done("publish", room / "a.draft", data=room / "registry")
    assert (first["already"], again["already"]) == (False, True)


def test_backup_and_restore_say_what_they_hold_and_overwrite_nothing(room):
    plain = command("backup", room / "b", "--no-passphrase", data=room / "registry")
    assert "It holds the private keys of the registry, not encrypted." in plain.stderr
    again = command("backup", room / "b", "--no-passphrase", "--json", data=room / "registry")
    assert error(again) == (6, "FILE_EXISTS")
    over = command("restore", room / "b", "--json", data=room / "registry")
    assert error(over) == (6, "FILE_EXISTS")
    back = command("restore", room / "b", data=room / "back")
    assert back.returncode == 0, back.stderr
    assert "What happened since is missing too" in back.stderr
    assert root_of(room) == done("status", data=room / "back")["root_sha256"]
