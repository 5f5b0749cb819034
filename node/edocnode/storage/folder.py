"""The data folder of a node: which file is where, who may read it, what a joined node has.

``node.json`` is written last when a node joins: a folder without it has not joined, and joining
again goes on with the keys that are there. Private keys are files of mode 0600 in a folder of
mode 0700; anything else is refused.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edoccore.errors import DataFolderError, KeyUnusableError, StorageDamagedError
from edoccore.identity.suites import Suite
from edoccore.signing.readers import reader_of
from edockit import files
from edockit.certificates import (
    certificate_der,
    key_matches,
    key_pem,
    load_any_private_key,
    load_lattice_key,
)
from edockit.files import write_file_atomic
from edockit.secrets import SecretPlace
from edockit.token_messages import TokenPlace

IDENTITY_FILE = "node.json"
SETTINGS_FILE = "edocnode.toml"
DATABASE_FILE = "node.db"
MOVED_FILE = "moved.json"  # the node was packed for another host, and starts no more here
RETIRED_FILE = "retired.json"  # the node ends or has ended for good, and starts no more
CURRENT, NEXT = "current", "next"
TLS_CURRENT, TLS_NEXT = "tls-current", "tls-next"
SEAL, SEAL_NEXT = "seal", "seal-next"
SEAL_NEW = "seal-new"  # of a node that enrols anew
KEY, LATTICE_KEY = "key", "mldsa.key"  # the second one only of a seal of suite 2
PAIR_KINDS = ("pem", KEY, LATTICE_KEY)
TLS_NAMES = (CURRENT, NEXT)


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who this node is.

    Attributes:
        agency: Owning agency.
        root_sha256: SHA-256 of the root file that trust starts at.
        server_name: DNS name in the node's TLS certificates.
    """

    network: str
    agency: str
    root_sha256: str
    server_name: str


@dataclass(frozen=True, slots=True)
class TlsPair:
    """A TLS certificate and its key, PEM."""

    chain: bytes
    key: bytes

    @property
    def certificate(self) -> bytes:
        """The certificate, DER."""
        return certificate_der(self.chain)


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where keys are that are in no plain file.

    Attributes:
        token: The token with the seal's key, of a pair the P-256 half; None: it is a file.
        passphrase: Of encrypted key files; None: there is none.
        suite: Of the keys that are made next.
    """

    token: TokenPlace | None = None
    passphrase: SecretPlace | None = None
    suite: int = Suite.ECDSA_P256_SHA256


class DataFolder:
    """Paths and small files of one data folder."""

    def __init__(self, path: Path, keys: KeyPlaces | None = None) -> None:
        """Names the folder; nothing is read or made.

        Args:
            keys: Where keys are that are not in plain files, and their passphrase; see
                ``key_places``. None: of a folder whose keys are not asked for.
        """
        self.path = path
        self.key_places = keys or KeyPlaces()

    @property
    def settings_file(self) -> Path:
        """The settings, TOML."""
        return self.path / SETTINGS_FILE

    @property
    def database_file(self) -> Path:
        """The SQLite database, unless settings name another."""
        return self.path / DATABASE_FILE

    @property
    def blobs(self) -> Path:
        """Parts over 64 KiB."""
        return self.path / "blobs"

    @property
    def directory(self) -> Path:
        """The mirrored directory."""
        return self.path / "directory"

    @property
    def keys(self) -> Path:
        """Private keys and their certificates."""
        return self.path / "keys"

    @property
    def seal_key_file(self) -> Path:
        """The seal key, PEM."""
        return self.key_file(SEAL, "key")

    def create(self) -> None:
        """Makes the folder and its keys folder, mode 0700.

        Raises:
            DataFolderError: It cannot be made, or others may read it.
        """
        files.make_private_folder(self.path)
        files.make_private_folder(self.keys)

    def is_joined(self) -> bool:
        """Whether a node lives here."""
        return (self.path / IDENTITY_FILE).exists()

    def identity(self) -> NodeIdentity:
        """Reads who this node is.

        Raises:
            DataFolderError: No node lives here, or others may read the folder.
            StorageDamagedError: The file is damaged.
        """
        path = self.path / IDENTITY_FILE
        if not path.exists():
            raise DataFolderError(
                f"There is no node in {self.path}.",
                hint=f"Join a network first: edocnode init JOIN --listen HOST:PORT "
                f"--data '{self.path}'",
                path=str(self.path),
            )
        files.check_private(self.path)
        try:
            return reader_of(NodeIdentity).decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise StorageDamagedError(
                f"The file {path} is damaged.", hint="Restore it from a backup.", path=str(path)
            ) from error

    def save_identity(self, identity: NodeIdentity) -> None:
        """Writes who this node is; from then on it has joined."""
        data = msgspec.json.format(msgspec.json.encode(identity), indent=2)
        write_file_atomic(self.path / IDENTITY_FILE, data + b"\n")

    def save_seal_chain(self, chain: bytes) -> None:
        """Writes the seal certificate and its issuers, PEM, leaf first."""
        write_file_atomic(self.key_file(SEAL, "pem"), chain)

    def seal_chain(self) -> bytes:
        """Reads the seal certificate and its issuers, PEM, leaf first.

        Raises:
            KeyUnusableError: There is none.
        """
        return _read(self.key_file(SEAL, "pem"))

    def tls_pair(self, name: str) -> TlsPair:
        """Reads the TLS certificate ``current`` or ``next`` with its key.

        Raises:
            KeyUnusableError: Missing, readable by others, or key and certificate do not match.
        """
        chain = self.tls_chain(name)
        return TlsPair(
            chain, key_pem(self._key_of(certificate_der(chain), f"tls-{name}", TLS_NEXT))
        )

    def seal_private_key(self, certificate: bytes) -> PrivateKeyTypes:
        """The key of the seal certificate (DER) in use, from its file.

        Raises:
            KeyUnusableError: Missing, readable by others, or of another certificate.
        """
        return self._key_of(certificate, SEAL, SEAL_NEXT, SEAL_NEW)

    def seal_lattice_key(self, certificate: bytes) -> MLDSA65PrivateKey:
        """The ML-DSA key of the seal certificate (DER) in use, which is of suite 2.

        Raises:
            KeyUnusableError: Missing, readable by others, or of another certificate.
        """
        secret = self.key_places.passphrase
        for base in (SEAL, SEAL_NEXT, SEAL_NEW):
            path = self.key_file(base, LATTICE_KEY)
            if path.exists():
                with contextlib.suppress(KeyUnusableError):
                    return load_lattice_key(path, certificate=certificate, passphrase=secret)
        path = self.key_file(SEAL, LATTICE_KEY)
        return load_lattice_key(path, certificate=certificate, passphrase=secret)

    def _key_of(self, certificate: bytes, own: str, *others: str) -> PrivateKeyTypes:
        """The key of a certificate; in the middle of a change it has the name of the next one's."""
        secret = self.key_places.passphrase
        for base in (own, *others):
            path = self.key_file(base, "key")
            if path.exists():
                with contextlib.suppress(KeyUnusableError):
                    return load_any_private_key(path, certificate=certificate, passphrase=secret)
        path = self.key_file(own, "key")
        return load_any_private_key(path, certificate=certificate, passphrase=secret)

    def tls_key_file(self, name: str) -> Path:
        """The key of the TLS certificate ``current`` or ``next``, PEM."""
        return self.key_file(f"tls-{name}", "key")

    def tls_chain(self, name: str) -> bytes:
        """Reads the TLS certificate ``current`` or ``next`` alone, PEM.

        Raises:
            KeyUnusableError: There is none.
        """
        return self.chain(f"tls-{name}")

    def chain(self, base: str) -> bytes:
        """Reads a certificate with its issuers, PEM, by the first part of its file's name.

        Raises:
            KeyUnusableError: There is none.
        """
        return _read(self.key_file(base, "pem"))

    def passphrase(self) -> bytes:
        """What new key files are encrypted with; empty when they are not.

        Raises:
            KeyUnusableError: It cannot be read.
        """
        place = self.key_places.passphrase
        return place.read() if place is not None and place.is_there() else b""

    def has_tls_pair(self, name: str) -> bool:
        """Whether the certificate is there; its key was written before it."""
        return self.key_file(f"tls-{name}", "pem").exists()

    def save_tls_pair(self, name: str, pair: TlsPair) -> None:
        """Writes a TLS certificate and its key; the key first, so none is ever without.

        The key is encrypted when there is a passphrase for key files.

        Raises:
            KeyUnusableError: The passphrase cannot be read.
        """
        key = pair.key
        if passphrase := self.passphrase():
            key = key_pem(load_pem_private_key(pair.key, None), passphrase)
        write_file_atomic(self.key_file(f"tls-{name}", "key"), key)
        write_file_atomic(self.key_file(f"tls-{name}", "pem"), pair.chain)

    def drop_pair(self, base: str) -> None:
        """Removes a certificate and its keys; the certificate first, so none is without."""
        for kind in PAIR_KINDS:
            self.key_file(base, kind).unlink(missing_ok=True)
        files.fsync_folder(self.keys)

    def change_pair(self, following: str, current: str) -> None:
        """Puts a certificate and its keys in the place of others, certificate first.

        Args:
            following: First part of its file names, such as ``tls-next``.
            current: First part of the names it gets.

        Raises:
            DiskFullError, StorageFailedError: Not done, or half; ``finish_change`` does the rest.
        """
        for kind in PAIR_KINDS:
            if self.key_file(following, kind).exists():
                files.rename_file(self.key_file(following, kind), self.key_file(current, kind))
            elif kind == LATTICE_KEY:  # one key follows on two
                self.key_file(current, kind).unlink(missing_ok=True)

    def finish_change(self, following: str, current: str) -> None:
        """Does the other renames of a change that was cut off after the first.

        Raises:
            KeyUnusableError: A key cannot be read.
        """
        chain = self.key_file(current, "pem")
        if not chain.exists() or self.key_file(following, "pem").exists():
            return
        certificate = certificate_der(_read(chain))
        for kind in (KEY, LATTICE_KEY):
            path = self.key_file(following, kind)
            if path.exists() and key_matches(
                load_any_private_key(path, passphrase=self.key_places.passphrase), certificate
            ):
                files.rename_file(path, self.key_file(current, kind))

    def key_file(self, base: str, kind: str) -> Path:
        """A file of a pair: ``pem`` is the certificate with its issuers, ``key`` its key.

        ``mldsa.key`` is the second key of a seal of suite 2.
        """
        return self.keys / f"{base}.{kind}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KeyUnusableError(
            f"The file {path} is missing.",
            hint="Restore the keys folder from a backup, or join again with a new join string.",
            path=str(path),
        ) from error
