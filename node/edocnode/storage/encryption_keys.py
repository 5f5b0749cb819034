"""The encryption keys of a node in its ``keys`` folder; see ``domain.encryption.EncryptionKeys``.

Each has two key files, named by the first characters of its digest, and a row in
``encryption.json``, which is written after them and says which one is published. A command writes
them beside a running node, which looks at the list each time. No key is ever removed: documents
that were encrypted to it may be anywhere.
"""

import base64
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import UNSET, Struct, UnsetType, structs

from edoccore.errors import (
    DataFolderError,
    DecisionConflictError,
    KeyUnusableError,
    RequestInvalidError,
    StorageDamagedError,
)
from edoccore.identity.encryption import PrivateEncryptionKey, PublicEncryptionKey
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing.encryption import Encryption, PartDecryptor, PartPlace, content_key
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import time_text
from edockit.certificates import key_pem, load_any_private_key
from edockit.files import check_private, disk_errors, write_file_atomic
from edocnode.storage.folder import DataFolder

LIST_FILE = "encryption.json"
_SHOWN = 16  # characters of a digest in file names


class KeyRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key in the list, public part only.

    Attributes:
        key: Base64.
        retired: Since when nothing is encrypted to it; it still reads what was.
        given_up: Since when an administrator knows that its private key is lost for good.
    """

    sha256: str
    key: str
    created: str
    retired: str | UnsetType = UNSET
    given_up: str | UnsetType = UNSET


class SoftwareEncryptionKeys:
    """The keys as files."""

    def __init__(self, folder: DataFolder, agency: str) -> None:
        """Takes the folder; nothing is read yet."""
        self._folder = folder
        self._agency = agency
        self._opened: dict[str, PrivateEncryptionKey] = {}

    def rows(self) -> list[KeyRow]:
        """All keys, oldest first.

        Raises:
            StorageDamagedError: The list is damaged.
        """
        path = self._folder.keys / LIST_FILE
        with disk_errors(path):
            if not path.exists():
                return []
            check_private(path)
            data = path.read_bytes()
        try:
            return reader_of(list[KeyRow]).decode(data)
        except msgspec.DecodeError as error:
            raise StorageDamagedError(
                f"The list of encryption keys {path} is damaged.",
                hint="Restore it from a backup of the data folder.",
                path=str(path),
            ) from error

    def files(self, row: KeyRow) -> tuple[Path, Path]:
        """The key files: that of ML-KEM-768, then that of X25519."""
        base = self._folder.keys / f"encryption-{row.sha256[:_SHOWN]}"
        return base.with_suffix(".mlkem.key"), base.with_suffix(".x25519.key")

    def current(self) -> PublicEncryptionKey | None:
        """What others encrypt to; None: nothing.

        Raises:
            KeyUnusableError: There is one, but its private key cannot be used.
            StorageDamagedError: The list is damaged.
        """
        row = self._published(self.rows())
        return None if row is None else self.private(row.sha256).public

    def private(self, sha256: str) -> PrivateEncryptionKey:
        """A private key, by the digest of its public one.

        Raises:
            KeyUnusableError: It cannot be used.
            StorageDamagedError: The list is damaged.
        """
        if sha256 not in self._opened:
            [row] = [row for row in self.rows() if row.sha256 == sha256]
            self._opened[sha256] = self._load(row)
        return self._opened[sha256]

    def check(self, row: KeyRow) -> None:
        """Looks whether a private key can be used, and is still on the disk.

        Raises:
            KeyUnusableError, DataFolderError: It is not.
            StorageDamagedError: The list is damaged.
        """
        for file in self.files(row):
            check_private(file)
        self.private(row.sha256)

    def decryptor(self, place: PartPlace) -> PartDecryptor:
        """Decrypts a part that was found in a place."""
        return PartDecryptor(place, self.content_key)

    def content_key(self, header: Encryption) -> bytes:
        """The content key of a part, by its header.

        Raises:
            PartNotDecryptedError: It was not wrapped to a key of this node, or its files are lost.
        """

        def loader(sha256: str) -> Callable[[], PrivateEncryptionKey]:
            return lambda: self.private(sha256)

        loaders = {row.sha256: loader(row.sha256) for row in self.rows()}
        try:
            return content_key(header, self._agency, loaders)
        except KeyUnusableError as error:
            raise PartNotDecryptedError(
                f"The part was encrypted to a key of {self._agency} that cannot be used here.",
                hint="The node's administrator sees which: edocnode keys encryption list",
            ) from error

    def make(self, now: datetime) -> KeyRow:
        """Makes a key, which others encrypt to from now on; the one before is retired.

        Raises:
            KeyUnusableError: The passphrase for key files cannot be read.
            DiskFullError, StorageFailedError: The disk; nothing has changed.
        """
        made = PrivateEncryptionKey(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())
        public = made.public
        row = KeyRow(
            sha256=public.sha256,
            key=base64.b64encode(public.data).decode(),
            created=time_text(now),
        )
        passphrase = self._folder.passphrase()
        with self._changing():
            rows = [_retired(each, now) for each in self.rows()]
            keys: tuple[PrivateKeyTypes, ...] = (made.lattice, made.curve)
            for file, key in zip(self.files(row), keys, strict=True):
                write_file_atomic(file, key_pem(key, passphrase))
            self._load(row)  # what cannot be read again is never published
            self._write([*rows, row])
        return row

    def retire(self, now: datetime) -> KeyRow:
        """Lets nothing be encrypted to this node from now on; what was can still be read.

        Raises:
            DecisionConflictError: Nothing is published.
        """
        with self._changing():
            rows = self.rows()
            row = self._published(rows)
            if row is None:
                raise DecisionConflictError(
                    "This node has published no encryption key.",
                    hint="See: edocnode keys encryption list",
                )
            self._write([_retired(each, now) for each in rows])
        return _retired(row, now)

    def remember(self, public: PublicEncryptionKey, since: datetime, now: datetime) -> None:
        """Puts a key into the list that others encrypt to and this folder has not; once.

        Args:
            since: Others encrypted to it.

        Raises:
            StorageDamagedError: The list is damaged.
            DiskFullError, StorageFailedError: The disk; nothing has changed.
        """
        with self._changing():
            rows = self.rows()
            if public.sha256 in {row.sha256 for row in rows}:
                return
            lost = KeyRow(
                sha256=public.sha256,
                key=base64.b64encode(public.data).decode(),
                created=time_text(since),
                retired=time_text(now),
            )
            self._write([lost, *rows])

    def give_up(self, name: str, now: datetime) -> KeyRow:
        """Notes that a key is lost for good; it is retired with that. Repeating it does nothing.

        Args:
            name: The beginning of its digest.

        Raises:
            RequestInvalidError: No key, or several, are named so.
            DecisionConflictError: It can be used.
            StorageDamagedError: The list is damaged.
        """
        with self._changing():
            rows = self.rows()
            found = [row for row in rows if name and row.sha256.startswith(name)]
            if len(found) != 1:
                raise RequestInvalidError(
                    f"{len(found)} encryption keys begin with {name[:80]!r}.",
                    hint="See: edocnode keys encryption list",
                )
            [row] = found
            if row.given_up is not UNSET:
                return row
            self._check_lost(row)
            lost = structs.replace(_retired(row, now), given_up=time_text(now))
            self._write([lost if each is row else each for each in rows])
        return lost

    def _check_lost(self, row: KeyRow) -> None:
        try:
            self.check(row)
        except (KeyUnusableError, DataFolderError):
            return
        raise DecisionConflictError(
            f"The encryption key {row.sha256[:_SHOWN]} can be used, and was not given up.",
            hint="To publish it no more: edocnode keys encryption retire",
            key=row.sha256[:_SHOWN],
        )

    def _published(self, rows: list[KeyRow]) -> KeyRow | None:
        return next((row for row in rows if row.retired is UNSET), None)

    def _load(self, row: KeyRow) -> PrivateEncryptionKey:
        secret = self._folder.key_places.passphrase
        first, second = (load_any_private_key(file, passphrase=secret) for file in self.files(row))
        if isinstance(first, MLKEM768PrivateKey) and isinstance(second, X25519PrivateKey):
            found = PrivateEncryptionKey(first, second)
            if found.public.sha256 == row.sha256:
                return found
        raise KeyUnusableError(
            f"The files of the encryption key {row.sha256[:_SHOWN]} hold another key.",
            hint="Restore them from a backup of the data folder.",
            key=row.sha256[:_SHOWN],
        )

    def _write(self, rows: list[KeyRow]) -> None:
        data = msgspec.json.format(msgspec.json.encode(rows), indent=2)
        write_file_atomic(self._folder.keys / LIST_FILE, data + b"\n")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Lets one command at a time change the list."""
        with disk_errors(self._folder.keys):
            folder = os.open(self._folder.keys, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)


def _retired(row: KeyRow, now: datetime) -> KeyRow:
    return row if row.retired is not UNSET else structs.replace(row, retired=time_text(now))
