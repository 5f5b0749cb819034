"""The encryption keys of a node on its disk: made, followed, retired, protected, lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import UNSET

from edoccore.errors import DecisionConflictError, KeyUnusableError, StorageDamagedError
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing.encryption import PartEncryptor, PartPlace, Reader, header_for
from edockit.certificates import is_encrypted
from edockit.secrets import SecretPlace
from edocnode.storage.encryption_keys import LIST_FILE, SoftwareEncryptionKeys
from edocnode.storage.folder import DataFolder, KeyPlaces

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
PLACE = PartPlace(
    network="vn-test",
    document_id="019a2b3c-4d5e-7f60-8a1b-000000000002",
    sender="H26",
    index=1,
)
CONTENT_KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "node")
    made.create()
    return made


def encrypted_to(keys: SoftwareEncryptionKeys) -> bytes:
    public = keys.current()
    assert public is not None
    header = header_for(PLACE, CONTENT_KEY, [Reader("H29", public)])
    encryptor = PartEncryptor(header, CONTENT_KEY)
    return encryptor.update(b"content") + encryptor.finish()


def read(folder: DataFolder, part: bytes) -> bytes:
    """As a node that was just started reads it."""
    decryptor = SoftwareEncryptionKeys(folder, "H29").decryptor(PLACE)
    return decryptor.update(part) + decryptor.finish()


def test_every_key_that_ever_was_reads_what_was_encrypted_to_it(folder: DataFolder) -> None:
    keys = SoftwareEncryptionKeys(folder, "H29")
    assert keys.current() is None
    with pytest.raises(DecisionConflictError):
        keys.retire(NOW)
    keys.make(NOW)
    first = encrypted_to(keys)
    keys.make(NOW)
    second = encrypted_to(keys)
    keys.retire(NOW)
    assert keys.current() is None
    assert [row.retired is UNSET for row in keys.rows()] == [False, False]
    keys.make(NOW)
    assert [row.retired is UNSET for row in keys.rows()] == [False, False, True]
    assert read(folder, first) == read(folder, second) == b"content"
    for file in folder.keys.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_running_node_sees_a_key_that_a_command_makes_beside_it(folder: DataFolder) -> None:
    node, command = SoftwareEncryptionKeys(folder, "H29"), SoftwareEncryptionKeys(folder, "H29")
    assert node.current() is None
    row = command.make(NOW)
    public = node.current()
    assert public is not None
    assert public.sha256 == row.sha256
    command.retire(NOW)
    assert node.current() is None


def test_keys_made_at_once_are_all_listed(folder: DataFolder) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda _: SoftwareEncryptionKeys(folder, "H29").make(NOW), range(8))
        )
    rows = SoftwareEncryptionKeys(folder, "H29").rows()
    assert {row.sha256 for row in rows} == {row.sha256 for row in made}
    assert sum(row.retired is UNSET for row in rows) == 1


def test_key_files_are_encrypted_where_the_others_are(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple")
    secret.chmod(0o600)
    place = SecretPlace("passphrase of the key files", secret, "unused", "key_passphrase_file")
    places = KeyPlaces(passphrase=place)
    folder = DataFolder(tmp_path / "node", places)
    folder.create()
    keys = SoftwareEncryptionKeys(folder, "H29")
    row = keys.make(NOW)
    assert all(map(is_encrypted, keys.files(row)))
    part = encrypted_to(keys)
    assert read(folder, part) == b"content"
    with pytest.raises(PartNotDecryptedError):
        read(DataFolder(folder.path), part)  # without the passphrase


def test_lost_or_mixed_up_key_files_are_never_published(folder: DataFolder) -> None:
    keys = SoftwareEncryptionKeys(folder, "H29")
    one, two = keys.make(NOW), keys.make(NOW)
    part = encrypted_to(keys)
    for old, new in zip(keys.files(one), keys.files(two), strict=True):
        new.write_bytes(old.read_bytes())
    with pytest.raises(KeyUnusableError):
        SoftwareEncryptionKeys(folder, "H29").current()
    with pytest.raises(PartNotDecryptedError):
        read(folder, part)
    keys.files(two)[0].unlink()
    with pytest.raises(KeyUnusableError):
        SoftwareEncryptionKeys(folder, "H29").current()


def test_damaged_list_is_told(folder: DataFolder) -> None:
    keys = SoftwareEncryptionKeys(folder, "H29")
    keys.make(NOW)
    (folder.keys / LIST_FILE).write_bytes(b"[{}]")
    with pytest.raises(StorageDamagedError):
        keys.current()
    with pytest.raises(StorageDamagedError):
        keys.make(NOW)
