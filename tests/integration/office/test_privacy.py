"""What a node writes down besides documents: no word of them in its log, no secret but in keys/."""

import base64
import re
from pathlib import Path

import pytest

from edoccore.errors import KeyUnusableError
from edocnode.storage.folder import DataFolder
from tests.support.nodes import TestNode, make_pair, running

SUBJECT = "Mật danh Hoa Phượng 4711"
CONTENT = "Nội dung không ai khác được đọc 0815".encode() * 3
LARGE = b"%PDF-1.7 " + CONTENT * 2000  # lies in the folder of parts


def secrets_of(node: TestNode) -> dict[str, bytes]:
    """Each private key as it could turn up: a line of its PEM, its DER, its number."""
    found = {}
    for file in DataFolder(node.data).keys.iterdir():
        text = file.read_text(encoding="ascii")
        for kind, body in re.findall(
            r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END", text, re.DOTALL
        ):
            der = base64.b64decode(body)
            found[f"{file.name} {kind} PEM"] = body.strip().splitlines()[0].encode()
            found[f"{file.name} {kind} number"] = der[36:68]  # the scalar of PKCS#8, P-256
    assert len(found) >= 6, "seal, TLS current and next"
    return found


def files_beside_keys(node: TestNode) -> dict[Path, bytes]:
    keys = DataFolder(node.data).keys
    return {
        path: path.read_bytes()
        for path in node.data.rglob("*")
        if path.is_file() and not path.is_relative_to(keys)
    }


async def test_t37_the_log_of_a_delivery_has_ids_and_no_word_of_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(CONTENT, LARGE, to=[recipient.agency.code], subject=SUBJECT)
        await sender.delivered(sent)
    printed = "".join(capsys.readouterr())
    assert "sealer.epoch_opened" in printed, "the log was not seen"
    assert SUBJECT not in printed
    assert "Hoa Phượng" not in printed
    assert "không ai khác" not in printed


async def test_t38_private_keys_are_in_no_file_and_no_log_but_in_the_folder_of_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await sender.send(CONTENT, LARGE, to=[recipient.agency.code], subject=SUBJECT)
        await sender.delivered(sent)
    printed = "".join(capsys.readouterr()).encode()
    for node in (sender, recipient):
        files = files_beside_keys(node)
        assert any(path.name == "node.db" for path in files)
        for name, secret in secrets_of(node).items():
            assert len(secret) >= 32
            assert secret not in printed, name
            assert [path for path, data in files.items() if secret in data] == [], name


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_t38_a_node_whose_key_others_may_read_does_not_start(
    mode: int, tmp_path: Path
) -> None:
    _, node, _ = make_pair(tmp_path)
    DataFolder(node.data).seal_key_file.chmod(mode)
    with pytest.raises(KeyUnusableError):
        await node.start()


async def test_t38_folder_and_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    async with running(node):
        pass
    folder = DataFolder(node.data)
    for path in (folder.path, folder.keys):
        assert path.stat().st_mode & 0o077 == 0, path
    private = [file for file in folder.keys.iterdir() if b"PRIVATE KEY" in file.read_bytes()]
    assert len(private) >= 3
    assert [file for file in private if file.stat().st_mode & 0o077] == []
    assert folder.database_file.stat().st_mode & 0o077 == 0
