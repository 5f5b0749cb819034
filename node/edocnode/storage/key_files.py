"""The keys of a data folder, listed and protected: what ``edocnode keys`` works on.

Nothing here needs a passphrase, PIN or token to say where a key is and until when its certificate
holds. Protecting writes each file anew, whole or not at all; one that is protected already is left.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.directory.seals import ListedSeal
from edoccore.directory.view import Directory
from edoccore.errors import KeyUnusableError
from edoccore.identity.certificate import certificate_digest, second_key
from edoccore.identity.suites import KeyPair
from edockit.certificates import (
    certificate_der,
    certificate_pem,
    is_encrypted,
    key_pem,
    load_any_private_key,
    load_lattice_key,
)
from edockit.files import write_file_atomic
from edockit.secrets import SecretPlace
from edockit.token import TokenKey, TokenSigner
from edocnode.domain.own_keys import KeyState, key_states
from edocnode.domain.seal_life import by_hand
from edocnode.storage.folder import (
    KEY,
    LATTICE_KEY,
    SEAL,
    SEAL_NEXT,
    TLS_CURRENT,
    TLS_NEXT,
    DataFolder,
)
from edocnode.storage.seal_keys import SealKeys
from edocnode.storage.tls_keys import ListedSince, TlsCertificates

MUST_BE = (SEAL, TLS_CURRENT)  # those that come next may be about to be made
MIN_PASSPHRASE_BYTES = 16  # the form of the files slows no guessing down


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """One key of the node.

    Attributes:
        name: ``seal``, ``seal-next``, ``tls-current`` or ``tls-next``; of a pair the second key has
            a name of its own, ``seal-mldsa`` or ``seal-next-mldsa``.
        file: Where the key is; None: in the token.
        token: Label of the token; empty: it is a file.
        key: Label of the key in the token.
        encrypted: Whether the file needs a passphrase.
        certificate: The certificate that others know it by.
    """

    name: str
    file: Path | None
    token: str
    key: str
    encrypted: bool
    certificate: x509.Certificate

    @property
    def sha256(self) -> str:
        """Names the certificate, as directory and seals do."""
        return certificate_digest(self.certificate.public_bytes(Encoding.DER))

    def days_left(self, now: datetime) -> int:
        """Whole days until the certificate ends; negative when it has."""
        return (self.certificate.not_valid_after_utc - now).days


def key_list(folder: DataFolder) -> list[KeyPlace]:
    """Where each key of a node is.

    Raises:
        KeyUnusableError: One is missing, or its file is open to others.
    """
    places = []
    for name, file, chain in _files(folder):
        certificate = x509.load_der_x509_certificate(certificate_der(chain))
        token = folder.key_places.token if name == SEAL else None
        if token is not None:
            places.append(KeyPlace(name, None, token.token, token.key, False, certificate))
        else:
            places.append(KeyPlace(name, file, "", "", is_encrypted(file), certificate))
    return places


def key_life(folder: DataFolder, directory: Directory, now: datetime) -> list[KeyState]:
    """When the certificates of a node end, and what comes then; reads no key.

    Args:
        directory: The one that the node holds.

    Raises:
        KeyUnusableError: A certificate is missing.
    """
    identity, listed = folder.identity(), ListedSince(folder)
    seals = SealKeys(folder, identity, listed)
    in_token = folder.key_places.token is not None
    current = seals.current().sha256
    advice = by_hand(directory, identity.agency, current, in_token=in_token)
    return key_states(TlsCertificates(folder, listed), seals, advice, now)


def protect_keys(folder: DataFolder, passphrase: SecretPlace) -> list[Path]:
    """Encrypts the key files that are not encrypted yet; returns which those were.

    Raises:
        KeyUnusableError: A key or the passphrase cannot be used, or it is too short; nothing more
            was changed then.
        DiskFullError, StorageFailedError: The disk.
    """
    secret = passphrase.read()
    if len(secret) < MIN_PASSPHRASE_BYTES:
        raise KeyUnusableError(
            f"The passphrase in {passphrase.path()} has fewer than {MIN_PASSPHRASE_BYTES} "
            "characters; who copied the files could guess it.",
            hint=f"Make a random one: openssl rand -base64 24 > {passphrase.path()}",
        )
    return _rewrite(folder, passphrase, secret)


def unprotect_keys(folder: DataFolder, passphrase: SecretPlace) -> list[Path]:
    """Writes the encrypted key files without encryption; returns which those were.

    Raises:
        KeyUnusableError: A key cannot be opened; nothing was changed.
        DiskFullError, StorageFailedError: The disk.
    """
    return _rewrite(folder, passphrase, b"")


def import_seal(
    folder: DataFolder, listed: ListedSeal, key: Path | None, lattice: Path | None = None
) -> None:
    """Seals with a certificate that was issued elsewhere from the next start on.

    Its key is a file, or in the token that the settings name; a token must sign with it once.

    Args:
        listed: The certificate as the directory lists it, with the issuers that seals must name.
        key: PEM file of its key; encrypted with the passphrase of the key files, if it is.
        lattice: The same of the ML-DSA-65 key, when it names a pair.

    Raises:
        KeyUnusableError: The key is missing, not in the token, or of another certificate.
        SealerStoppedError: The token does not sign with it.
        DiskFullError, StorageFailedError: The disk.
    """
    chain = b"".join(certificate_pem(item) for item in listed.chain)
    # Nothing is written before all was tried: the keys in use go on after a wrong file or PIN.
    second = _second_key(folder, listed, lattice)
    first = None if folder.key_places.token is not None else _first_key(folder, listed, key)
    if first is None:
        _try_token(folder, listed)
    # A crash from here on leaves keys that no start accepts; the same command mends it.
    if second is not None:
        write_file_atomic(folder.key_file(SEAL, LATTICE_KEY), second)
    if first is not None:
        write_file_atomic(folder.seal_key_file, first)
    folder.save_seal_chain(chain)


def _first_key(folder: DataFolder, listed: ListedSeal, key: Path | None) -> bytes:
    """The key of a certificate, as its file will hold it."""
    if key is None:
        raise KeyUnusableError("No key was given.", hint="Name its file: --key FILE")
    secret = folder.key_places.passphrase
    loaded = load_any_private_key(key, certificate=listed.chain[0], passphrase=secret)
    return key_pem(loaded, folder.passphrase())


def _second_key(folder: DataFolder, listed: ListedSeal, lattice: Path | None) -> bytes | None:
    """The second key of a pair, as its file will hold it; None: the certificate is for one key."""
    is_pair = isinstance(listed.key, KeyPair)
    if is_pair is not (lattice is not None):
        raise KeyUnusableError(
            "The certificate is for two keys." if is_pair else "The certificate is for one key.",
            hint="Name the file of its ML-DSA key too: --mldsa-key FILE"
            if is_pair
            else "Leave out --mldsa-key.",
        )
    if lattice is None:
        return None
    secret = folder.key_places.passphrase
    loaded = load_lattice_key(lattice, certificate=listed.chain[0], passphrase=secret)
    return key_pem(loaded, folder.passphrase())


def _try_token(folder: DataFolder, listed: ListedSeal) -> None:
    """Has the token sign once with the key of a certificate."""
    token = folder.key_places.token
    assert token is not None
    signer = TokenSigner(TokenKey(token), x509.load_der_x509_certificate(listed.chain[0]))
    try:
        signer.sign(b"edocnode keys import")  # no statement: nobody takes it for a seal
    finally:
        signer.close()


def _rewrite(folder: DataFolder, passphrase: SecretPlace, secret: bytes) -> list[Path]:
    """Opens all before one is written, so that a wrong passphrase leaves nothing half done.

    All key files there are: a next key may have no certificate yet, or be half way in its place.
    """
    wanted = []
    key_list(folder)  # none is missing
    for file in sorted(folder.keys.glob("*.key")):
        key = load_any_private_key(file, passphrase=passphrase)
        if is_encrypted(file) is not bool(secret):
            wanted.append((file, key_pem(key, secret)))
    for file, pem in wanted:
        write_file_atomic(file, pem)
    return [file for file, _ in wanted]


def _files(folder: DataFolder) -> list[tuple[str, Path, bytes]]:
    found = (SEAL, SEAL_NEXT, TLS_CURRENT, TLS_NEXT)
    names = [name for name in found if name in MUST_BE or folder.key_file(name, "pem").exists()]
    files = []
    for name in names:
        chain = folder.chain(name)
        files.append((name, folder.key_file(name, KEY), chain))
        if second_key(x509.load_der_x509_certificate(certificate_der(chain))) is not None:
            files.append((f"{name}-mldsa", folder.key_file(name, LATTICE_KEY), chain))
    return files
