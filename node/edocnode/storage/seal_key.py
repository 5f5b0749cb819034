"""The seal's key of a data folder: a file there, or a token. Who signs asks here for a ``Signer``.

Settings say where it is; see ``key_places``. A token is asked nothing before the first signature,
so that a node whose token is away starts, keeps what arrives, and seals when it is back. Of a seal
of suite 2 the P-256 key is there, and the ML-DSA key always a file: no token here holds one.
"""

import contextlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.errors import KeyUnusableError
from edoccore.identity.certificate import second_key
from edoccore.identity.keys import PairSigner, Signer, SoftwareSigner
from edoccore.identity.request import SealRequest
from edoccore.identity.suites import Suite
from edockit.certificates import (
    certificate_der,
    load_any_private_key,
    load_private_key,
    new_lattice_key,
    new_private_key,
    save_private_key,
    seal_request,
    second_request,
)
from edockit.secrets import SecretPlace
from edockit.token import TokenKey, TokenRequestKey, TokenSigner
from edockit.token_messages import TokenPlace
from edocnode.domain.own_entry import key_digests, public_key_digest
from edocnode.settings import NodeSettings
from edocnode.storage.folder import KEY, LATTICE_KEY, SEAL, SEAL_NEXT, DataFolder, KeyPlaces

REQUEST_NAME = "edocnode"  # the registry decides on the names in the certificate
REFUSED_PIN = "seal-pin.refused"
PIN_CREDENTIAL = "edocnode-seal-pin"
PASSPHRASE_CREDENTIAL = "edocnode-key-passphrase"  # noqa: S105 - the name of a credential


def key_places(settings: NodeSettings, data: Path) -> KeyPlaces:
    """Where the keys of a data folder are, by its settings; reads nothing."""
    passphrase = SecretPlace(
        "passphrase of the key files",
        data / settings.key_passphrase_file if settings.key_passphrase_file else None,
        PASSPHRASE_CREDENTIAL,
        "key_passphrase_file",
    )
    if (token := settings.seal_token) is None:
        return KeyPlaces(None, passphrase, settings.seal_suite)
    pin = SecretPlace(
        "PIN of the seal's token",
        data / token.pin_file if token.pin_file else None,
        PIN_CREDENTIAL,
        "seal_token.pin_file",
    )
    refused = DataFolder(data).keys / REFUSED_PIN
    place = TokenPlace(Path(token.module), token.token, token.key, pin, refused)
    return KeyPlaces(place, passphrase, settings.seal_suite)


def seal_signer(folder: DataFolder) -> Signer:
    """What signs with the seal's key, or with both of a pair; to be closed by who opens it.

    Raises:
        KeyUnusableError: The certificate is missing; or a key is a file that is missing, open
            to others, or of another certificate.
        SealCertificateError: No suite uses keys of the certificate's kind.
    """
    certificate = x509.load_pem_x509_certificates(folder.seal_chain())[0]
    first = _first_signer(folder, certificate)
    if second_key(certificate) is None:
        return first
    lattice = folder.seal_lattice_key(certificate.public_bytes(Encoding.DER))
    return PairSigner(first, lattice, certificate)


def _first_signer(folder: DataFolder, certificate: x509.Certificate) -> Signer:
    token = folder.key_places.token
    if token is not None:
        return TokenSigner(TokenKey(token), certificate)
    key = folder.seal_private_key(certificate.public_bytes(Encoding.DER))
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise KeyUnusableError(
            f"The key in {folder.seal_key_file} is neither ECDSA nor RSA.",
            hint="Restore key and certificate from the same backup.",
        )
    return SoftwareSigner(key, certificate)


def new_seal_request(folder: DataFolder, base: str = SEAL, suite: int = 0) -> SealRequest:
    """What asks for a seal's certificate; makes the keys unless they were made before.

    Args:
        base: First part of the names of its files; a key in the token has the name that the
            settings give it, whatever this is.
        suite: For which; 0: what the settings say.

    Raises:
        KeyUnusableError: The key cannot be made or used.
        SealerStoppedError: The token made the key, and then did not sign.
    """
    first = _first_request(folder, base)
    if (suite or folder.key_places.suite) != Suite.ECDSA_P256_MLDSA65:
        return SealRequest(first)
    path, secret = folder.key_file(base, LATTICE_KEY), folder.key_places.passphrase
    if not path.exists():
        save_private_key(path, new_lattice_key(), folder.passphrase())
    key = load_any_private_key(path, passphrase=secret)
    if not isinstance(key, MLDSA65PrivateKey):
        raise KeyUnusableError(f"The key in {path} is not an ML-DSA-65 key.", path=str(path))
    return SealRequest(first, second_request(key, REQUEST_NAME))


def _first_request(folder: DataFolder, base: str) -> bytes:
    token = folder.key_places.token
    if token is None:
        return seal_request(_key_in_file(folder, folder.key_file(base, KEY)), REQUEST_NAME)
    key = TokenKey(token)
    try:
        return seal_request(TokenRequestKey(key), REQUEST_NAME)
    finally:
        key.close()


def seal_public_keys(folder: DataFolder) -> set[str]:
    """SHA-256 of the public keys that this node seals with, or has had certified next."""
    found = key_digests(certificate_der(folder.seal_chain()))
    following = folder.key_file(SEAL_NEXT, "pem")
    with contextlib.suppress(FileNotFoundError):  # it takes over at this moment
        found |= key_digests(certificate_der(following.read_bytes()))
    for kind in (KEY, LATTICE_KEY):
        key = folder.key_file(SEAL_NEXT, kind)
        if key.exists() and not following.exists():  # asked for; the directory may be faster
            private = load_any_private_key(key, passphrase=folder.key_places.passphrase)
            found.add(public_key_digest(private.public_key()))
    return found


def _key_in_file(folder: DataFolder, path: Path) -> EllipticCurvePrivateKey:
    if not path.exists():
        save_private_key(path, new_private_key(), folder.passphrase())
    return load_private_key(path, passphrase=folder.key_places.passphrase)
