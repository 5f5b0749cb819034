"""Key files of officers: one private key each, best under a passphrase; beside it the public key.

A key file may also say which token has the key (``officer_tokens``).

They lie on the officers' own machines or sticks; nothing here needs a registry or a network.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey
from tuf.api.metadata import Key

from edoccore.errors import DataFolderError, FileExistsHereError, KeyUnusableError
from edockit import certificates, files

PUBLIC_SUFFIX = ".pub"
MIN_PASSPHRASE_CHARACTERS = 12
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def make_key(path: Path, passphrase: bytes | None) -> Signer:
    """Makes a key file and its public key file.

    Args:
        path: Of the private key; the public one gets ``.pub`` behind its name.
        passphrase: Encrypts it; None: whoever has the file can sign.

    Raises:
        FileExistsHereError: One of the files is there already.
        DiskFullError, StorageFailedError: It was not kept.
    """
    check_new(path)
    key = certificates.new_private_key()
    write_key(path, key, passphrase)
    return CryptoSigner(key)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> None:
    """Writes a private key, mode 0600, and its public key beside it."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    files.write_file_atomic(path, pem)
    write_public(path, key.public_key())


def check_new(path: Path) -> None:
    """Accepts a place for a key file and its public key.

    Raises:
        FileExistsHereError: One of the files is there already.
    """
    for taken in (path, public_file(path)):
        if taken.exists():
            raise FileExistsHereError(
                f"{taken} is there already; keys are never overwritten.",
                hint="Choose another name.",
                path=str(taken),
            )


def write_public(path: Path, key: ec.EllipticCurvePublicKey) -> None:
    """Writes the public key beside a key file."""
    public = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    files.write_file_atomic(public_file(path), public, mode=0o644)


def is_encrypted(path: Path) -> bool:
    """Whether a key file asks for a passphrase.

    Raises:
        KeyUnusableError: It is missing or open to others.
    """
    return _read_private(path).lstrip().startswith(_ENCRYPTED)


def load_key(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """Reads a private key.

    Raises:
        KeyUnusableError: It is missing, open to others, damaged, or the passphrase is another one.
    """
    try:
        key = serialization.load_pem_private_key(_read_private(path), password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError(
            f"The key in {path} cannot be opened: it is damaged, or its passphrase is another one.",
            hint="Try the passphrase again, or take the copy of the key file.",
            path=str(path),
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnusableError(f"The key in {path} is not an ECDSA key.", path=str(path))
    return key


def load_public(path: Path) -> Key:
    """Reads a public key file, PEM.

    Raises:
        KeyUnusableError: It is missing or no public key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(certificates.MAX_KEY_FILE_BYTES)
        key = serialization.load_pem_public_key(content)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError(
            f"{path} is no public key file.",
            hint="Each officer has one beside the key: KEYFILE.pub",
            path=str(path),
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyUnusableError(f"The key in {path} is not an ECDSA key.", path=str(path))
    return SSlibKey.from_crypto(key)


def public_file(path: Path) -> Path:
    """Where the public key of a key file lies."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def _read_private(path: Path) -> bytes:
    try:
        files.check_private(path)
    except DataFolderError as error:
        raise KeyUnusableError(f"{path} is a folder, not a key file.", path=str(path)) from error
    with files.disk_errors(path), path.open("rb") as file:
        return file.read(certificates.MAX_KEY_FILE_BYTES)
