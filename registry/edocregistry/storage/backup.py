"""A whole registry in one file: settings, records, published files, the private keys at work.

First line: what it is; second: JSON that says when, of which network and how it is protected; then
the files, MessagePack, encrypted with AES-256-GCM under a key that scrypt makes of a passphrase, or
plain with their SHA-256 in the second line. The officers' root keys are never in it.

Source: RFC 7914 (scrypt), parameters of its section 2 for stored secrets, N raised to 2^17.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edoccore.officer_errors import BackupInvalidError
from edoccore.signing.readers import packed_reader_of, reader_of
from edockit import files
from edocregistry.storage.folder import DATABASE_FILE, SETTINGS_FILE, DataFolder

KIND = b"edoc.registry-backup/v1"
MAX_BACKUP_BYTES = 1 << 30
_FOLDERS = ("keys", "directory", "log")
_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES = 32, 16, 12
_SCRYPT = {"n": 2**17, "r": 8, "p": 1}  # 128 MiB, some tenths of a second


class BackupHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself without its passphrase.

    Attributes:
        network: Whose registry.
        made_at: RFC 3339.
        version: Of the directory that was published then.
        sha256: Of the files, as they stand in the backup, hex.
        salt: Hex; empty: not encrypted.
        nonce: Hex; empty: not encrypted.
    """

    network: str
    made_at: str
    version: int
    sha256: str = ""
    salt: str = ""
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was read: what it says of itself, and its files by path."""

    header: BackupHeader
    files: dict[str, bytes]

    def roots(self) -> set[str]:
        """SHA-256 of all roots in it."""
        return {
            sha256(data).hexdigest()
            for name, data in self.files.items()
            if name.endswith(".root.json")
        }


def collect(folder: DataFolder) -> dict[str, bytes]:
    """Reads everything that a registry is made of; the caller has the turn.

    Raises:
        StorageFailedError: The disk failed.
    """
    names = [folder.settings, *folder.path.glob(f"{DATABASE_FILE}*"), folder.accepted_draft]
    paths = [path for path in names if path.is_file()]
    for name in _FOLDERS:
        paths += [path for path in (folder.path / name).iterdir() if not path.name.startswith(".")]
    found = {}
    for path in sorted(paths):
        with files.disk_errors(path):
            found[path.relative_to(folder.path).as_posix()] = path.read_bytes()
    return found


def encode_backup(
    header: BackupHeader, content: dict[str, bytes], passphrase: bytes | None
) -> bytes:
    """Puts files into one, encrypted when there is a passphrase."""
    data = msgspec.msgpack.encode(content)
    if passphrase is None:
        header = msgspec.structs.replace(header, sha256=sha256(data).hexdigest())
        return b"\n".join((KIND, msgspec.json.encode(header), data))
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    header = msgspec.structs.replace(header, salt=salt.hex(), nonce=nonce.hex())
    line = msgspec.json.encode(header)
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, data, line)
    return b"\n".join((KIND, line, sealed))


def read_header(data: bytes) -> BackupHeader:
    """Reads what a backup says of itself.

    Raises:
        BackupInvalidError: It is none.
    """
    kind, _, rest = data.partition(b"\n")
    if kind != KIND or len(data) > MAX_BACKUP_BYTES:
        raise BackupInvalidError("The file is no backup of a registry.")
    try:
        return reader_of(BackupHeader).decode(rest.partition(b"\n")[0])
    except msgspec.DecodeError as error:
        raise BackupInvalidError("The backup is damaged at its beginning.") from error


def decode_backup(data: bytes, passphrase: bytes | None) -> Backup:
    """Opens a backup.

    Raises:
        BackupInvalidError: It is damaged, or the passphrase is another one.
    """
    header = read_header(data)
    line, _, content = data.partition(b"\n")[2].partition(b"\n")
    try:
        if header.salt:
            key = _key(passphrase or b"", bytes.fromhex(header.salt))
            content = AESGCM(key).decrypt(bytes.fromhex(header.nonce), content, line)
        elif sha256(content).hexdigest() != header.sha256:
            raise ValueError("other bytes")
        found = packed_reader_of(dict[str, bytes]).decode(content)
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        raise BackupInvalidError(
            "The backup cannot be opened: it is damaged, or its passphrase is another one.",
            hint="Try the passphrase again, or take another backup.",
        ) from error
    if SETTINGS_FILE not in found or not all(map(_is_ours, found)):
        raise BackupInvalidError("The backup is not whole.", hint="Take another backup.")
    return Backup(header, found)


def write_files(folder: DataFolder, content: dict[str, bytes]) -> None:
    """Writes the files of a backup into an empty data folder; the settings last.

    Raises:
        DiskFullError, StorageFailedError: Not all were written; the folder is to be emptied.
    """
    for name in sorted(content, key=lambda name: name == SETTINGS_FILE):
        files.write_file_atomic(folder.path / name, content[name])


def _is_ours(name: str) -> bool:
    """Whether a name is one that ``collect`` gives; so none leads out of the data folder."""
    path = Path(name)
    parts = path.parts
    return len(parts) == 1 + (parts[0] in _FOLDERS) and not path.is_absolute() and ".." not in parts


def _key(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, **_SCRYPT).derive(passphrase)
