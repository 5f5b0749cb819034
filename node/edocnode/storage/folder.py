"""The data folder of a node: which file is where, who may read it, what a joined node has.

``node.json`` is written last when a node joins: a folder without it has not joined, and joining
again goes on with the keys that are there. Private keys are files of mode 0600 in a folder of
mode 0700; anything else is refused.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edoccore.errors import DataFolderError, KeyUnusableError, StorageDamagedError
from edoccore.signing.readers import reader_of
from edockit import files
from edockit.certificates import certificate_der, key_pem, load_private_key
from edockit.files import write_file_atomic
from edockit.secrets import SecretPlace
from edockit.token_messages import TokenPlace

IDENTITY_FILE = "node.json"
SETTINGS_FILE = "edocnode.toml"
DATABASE_FILE = "node.db"
SEAL_KEY = "seal.key"
SEAL_CHAIN = "seal.pem"
TLS_NAMES = ("current", "next")


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
        token: The token with the seal's key; None: it is a file.
        passphrase: Of encrypted key files; None: there is none.
    """

    token: TokenPlace | None = None
    passphrase: SecretPlace | None = None


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
        return self.keys / SEAL_KEY

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
        write_file_atomic(self.keys / SEAL_CHAIN, chain)

    def seal_chain(self) -> bytes:
        """Reads the seal certificate and its issuers, PEM, leaf first.

        Raises:
            KeyUnusableError: There is none.
        """
        return _read(self.keys / SEAL_CHAIN)

    def tls_pair(self, name: str) -> TlsPair:
        """Reads the TLS certificate ``current`` or ``next`` with its key.

        Raises:
            KeyUnusableError: Missing, readable by others, or key and certificate do not match.
        """
        chain = self.tls_chain(name)
        key = load_private_key(
            self.tls_key_file(name),
            certificate=certificate_der(chain),
            passphrase=self.key_places.passphrase,
        )
        return TlsPair(chain, key_pem(key))

    def tls_key_file(self, name: str) -> Path:
        """The key of the TLS certificate ``current`` or ``next``, PEM."""
        return self.keys / f"tls-{name}.key"

    def tls_chain(self, name: str) -> bytes:
        """Reads the TLS certificate ``current`` or ``next`` alone, PEM.

        Raises:
            KeyUnusableError: There is none.
        """
        return _read(self.keys / f"tls-{name}.pem")

    def passphrase(self) -> bytes:
        """What new key files are encrypted with; empty when they are not.

        Raises:
            KeyUnusableError: It cannot be read.
        """
        place = self.key_places.passphrase
        return place.read() if place is not None and place.is_there() else b""

    def has_tls_pair(self, name: str) -> bool:
        """Whether the certificate is there; its key was written before it."""
        return (self.keys / f"tls-{name}.pem").exists()

    def save_tls_pair(self, name: str, pair: TlsPair) -> None:
        """Writes a TLS certificate and its key; the key first, so none is ever without.

        The key is encrypted when there is a passphrase for key files.

        Raises:
            KeyUnusableError: The passphrase cannot be read.
        """
        key = pair.key
        if passphrase := self.passphrase():
            key = key_pem(load_pem_private_key(pair.key, None), passphrase)
        write_file_atomic(self.tls_key_file(name), key)
        write_file_atomic(self.keys / f"tls-{name}.pem", pair.chain)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KeyUnusableError(
            f"The file {path} is missing.",
            hint="Restore the keys folder from a backup, or join again with a new join string.",
            path=str(path),
        ) from error
