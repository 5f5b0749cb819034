"""Files that only their recipients can read, by the commands of clerks and administrators."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

SUBJECT = "Hồ sơ cán bộ"
WAIT = ("--wait", "60")
PATIENT_S = 60
SECRET = "đây là nội dung không ai khác được đọc ".encode()


@pytest.fixture(scope="module")
def exchange(joined_network: Network, tmp_path_factory) -> Iterator[Network]:
    """A running network for all these tests; both nodes have an encryption key."""
    network = joined_network.copied(tmp_path_factory.mktemp("encryption"))
    try:
        network.start()
        yield network
    finally:
        network.close()


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """A file that lies in the database, and one over several chunks that lies in a folder."""
    small, large = tmp_path / "nhỏ.txt", tmp_path / "lớn.txt"
    small.write_bytes(SECRET)
    large.write_bytes(SECRET * 20_000)
    return [small, large]


def with_key(exchange: Network, agency: str) -> str:
    """Makes an encryption key beside the running node; the others know it when this returns."""
    [made] = exchange[agency].done("keys", "encryption", "new")["keys"]
    return made["sha256"]


def sent_encrypted(node: Node, files: list[Path], *to: str) -> str:
    """Sends files encrypted as soon as the recipients' keys are known here."""
    recipients = [word for code in to for word in ("--to", code)]
    words = ("send", *files, *recipients, "--subject", SUBJECT, "--encrypt", *WAIT)

    def attempt() -> str:
        outcome = node.run(*words)
        if outcome.code == 0:
            return outcome.data["document_id"]
        assert outcome.error == (4, "ENCRYPTION_KEY_MISSING"), outcome.talk
        return ""

    return waited_for(attempt, within_s=PATIENT_S, what="the key is in the directory")


def stored_bytes(node: Node) -> bytes:
    """All that a thief of the disk has of the documents: database, its log, and parts."""
    found = []
    for path in [*node.data.glob("node.db*"), *(node.data / "blobs").rglob("*")]:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # the node works on
            found.append(path.read_bytes())
    return b"".join(found)


def test_both_ends_read_it_and_no_disk_has_it(exchange, files, tmp_path):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    with_key(exchange, HA_TINH)
    with_key(exchange, NOI_VU)
    document_id = sent_encrypted(sender, files, NOI_VU)
    for node, where in ((sender, "gửi"), (recipient, "nhận")):
        saved = node.done("save", document_id, "--to", tmp_path / where)["files"]
        assert [Path(each["path"]).read_bytes() for each in saved] == [
            file.read_bytes() for file in files
        ]
        assert [each["size_bytes"] for each in saved] == [file.stat().st_size for file in files]
        assert SECRET not in stored_bytes(node)
    shown = recipient.done("show", document_id)["received"][0]
    assert [part["encrypted"] for part in shown["parts"]] == [True, True]
    assert [part["name"] for part in shown["parts"]] == [file.name for file in files]


def test_key_changes_and_old_documents_stay_readable(exchange, files, tmp_path):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    with_key(exchange, HA_TINH)
    first = with_key(exchange, NOI_VU)
    document_id = sent_encrypted(sender, files[:1], NOI_VU)
    second = with_key(exchange, NOI_VU)
    listed = {each["sha256"]: each for each in recipient.done("keys", "encryption", "list")["keys"]}
    assert listed[first]["retired_at"]
    assert listed[second]["retired_at"] is None
    recipient.done("save", document_id, "--to", tmp_path / "sau khi đổi")
    recipient.done("keys", "encryption", "retire")

    def refused() -> bool:
        outcome = sender.run("send", files[0], "--to", NOI_VU, "--subject", SUBJECT, "--encrypt")
        return outcome.code == 4

    waited_for(refused, within_s=PATIENT_S, what="the retirement is in the directory")
    recipient.done("save", document_id, "--to", tmp_path / "sau khi thôi dùng")


def test_without_the_private_key_nobody_reads_it(exchange, files, tmp_path):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    with_key(exchange, HA_TINH)
    key = with_key(exchange, NOI_VU)
    document_id = sent_encrypted(sender, files, NOI_VU)
    recipient.stop()
    lost = list((recipient.data / "keys").glob(f"encryption-{key[:16]}.*"))
    assert len(lost) == 2
    assert {file.stat().st_mode & 0o777 for file in lost} == {0o600}
    for file in lost:
        os.rename(file, tmp_path / file.name)
    recipient.start()
    outcome = recipient.run("save", document_id, "--to", tmp_path / "mất khóa")
    assert outcome.code != 0
    assert not any((tmp_path / "mất khóa").iterdir())
    for file in lost:
        os.rename(tmp_path / file.name, file)
    recipient.done("save", document_id, "--to", tmp_path / "có lại khóa")


def test_update_of_an_encrypted_document_is_encrypted_too(exchange, files):
    sender = exchange[HA_TINH]
    with_key(exchange, HA_TINH)
    with_key(exchange, NOI_VU)
    document_id = sent_encrypted(sender, files[:1], NOI_VU)
    words = ("update", document_id, files[0], "--reason", "Bổ sung phụ lục còn thiếu")
    assert sender.run(*words).error == (2, "REQUEST_INVALID")

    def updated() -> bool:
        """The document may have gone under a key that was given up since, its successor to come."""
        outcome = sender.run(*words, "--encrypt")
        assert outcome.code == 0 or outcome.error == (4, "ENCRYPTION_KEY_MISSING"), outcome.talk
        return outcome.code == 0

    waited_for(updated, within_s=PATIENT_S, what="the newest key is in the directory")


def test_the_same_request_again_is_the_same_document(exchange, files):
    sender = exchange[HA_TINH]
    with_key(exchange, HA_TINH)
    with_key(exchange, NOI_VU)
    sent_encrypted(sender, files[:1], NOI_VU)
    words = ("send", *files, "--to", NOI_VU, "--subject", SUBJECT, "--request-id", "once-1")
    first = sender.done(*words, "--encrypt")
    assert sender.done(*words, "--encrypt")["document_id"] == first["document_id"]
    assert sender.run(*words).error == (6, "REQUEST_CONFLICT")


def test_evidence_proves_it_without_a_key_and_opens_with_those_of_its_files(
    exchange, files, tmp_path
):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    with_key(exchange, HA_TINH)
    with_key(exchange, NOI_VU)
    document_id = sent_encrypted(sender, files, NOI_VU)
    file = tmp_path / "chứng cứ.zip"
    recipient.done("evidence", "export", document_id, "--out", file)
    assert sender.done("evidence", "verify", file, "--data", sender.data)["verdict"] == "valid"
    assert SECRET not in file.read_bytes()
    keys = tmp_path / "khóa nội dung.json"
    recipient.done("evidence", "open", file, "--to", tmp_path / "mở", "--keys-out", keys)
    assert keys.stat().st_mode & 0o777 == 0o600
    anybody = Node("anybody", sender.module, tmp_path / "không có nút")
    opened = anybody.done("evidence", "open", file, "--to", tmp_path / "tòa án", "--keys", keys)
    assert [Path(each).read_bytes() for each in opened["files"]] == [
        each.read_bytes() for each in files
    ]
    wrong = tmp_path / "khóa khác.json"
    text = keys.read_text()
    spoilt = re.sub(r'("key": ")([0-9a-f])', lambda at: f"{at[1]}{int(at[2], 16) ^ 1:x}", text)
    assert spoilt != text
    wrong.write_text(spoilt)
    refused = anybody.run("evidence", "open", file, "--to", tmp_path / "không", "--keys", wrong)
    assert refused.error == (4, "PART_NOT_DECRYPTED")
    assert not any((tmp_path / "không").iterdir())
