"""The seal's key of a data folder: a file there, or a token. Who signs asks here for a ``Signer``.

Settings say where it is; see ``key_places``. A token is asked nothing before the first signature,
so that a node whose token is away starts, keeps what arrives, and seals when it is back.
"""

import contextlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.errors import KeyUnusableError
from edoccore.identity.keys import Signer, SoftwareSigner
from edockit.certificates import (
    certificate_der,
    load_private_key,
    new_private_key,
    save_private_key,
    seal_request,
)
from edockit.secrets import SecretPlace
from edockit.token import TokenKey, TokenRequestKey, TokenSigner
from edockit.token_messages import TokenPlace
from edocnode.domain.own_entry import key_digest, public_key_digest
from edocnode.settings import NodeSettings
from edocnode.storage.folder import SEAL, SEAL_NEXT, DataFolder, KeyPlaces

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
        return KeyPlaces(None, passphrase)
    pin = SecretPlace(
        "PIN of the seal's token",
        data / token.pin_file if token.pin_file else None,
        PIN_CREDENTIAL,
        "seal_token.pin_file",
    )
    refused = DataFolder(data).keys / REFUSED_PIN
    return KeyPlaces(
        TokenPlace(Path(token.module), token.token, token.key, pin, refused), passphrase
    )


def seal_signer(folder: DataFolder) -> Signer:
    """What signs with the seal's key; to be closed by who opens it.

    Raises:
        KeyUnusableError: The certificate is missing; or the key is a file that is missing, open
            to others, or of another certificate.
        SealCertificateError: No suite uses keys of the certificate's kind.
    """
    certificate = x509.load_pem_x509_certificates(folder.seal_chain())[0]
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


def new_seal_request(folder: DataFolder, base: str = SEAL) -> bytes:
    """The request (DER) for a seal's certificate; makes the key unless it was made before.

    Args:
        base: First part of the names of its files; a key in the token has the name that the
            settings give it, whatever this is.

    Raises:
        KeyUnusableError: The key cannot be made or used.
        SealerStoppedError: The token made the key, and then did not sign.
    """
    token = folder.key_places.token
    if token is None:
        return seal_request(_key_in_file(folder, folder.key_file(base, "key")), REQUEST_NAME)
    key = TokenKey(token)
    try:
        return seal_request(TokenRequestKey(key), REQUEST_NAME)
    finally:
        key.close()


def seal_public_keys(folder: DataFolder) -> set[str]:
    """SHA-256 of the public keys that this node seals with, or has had certified next."""
    found = {key_digest(certificate_der(folder.seal_chain()))}
    following, key = folder.key_file(SEAL_NEXT, "pem"), folder.key_file(SEAL_NEXT, "key")
    with contextlib.suppress(FileNotFoundError):  # it takes over at this moment
        found.add(key_digest(certificate_der(following.read_bytes())))
    if key.exists() and not following.exists():  # asked for; the directory may be faster
        private = load_private_key(key, passphrase=folder.key_places.passphrase)
        found.add(public_key_digest(private.public_key()))
    return found


def _key_in_file(folder: DataFolder, path: Path) -> EllipticCurvePrivateKey:
    if not path.exists():
        save_private_key(path, new_private_key(), folder.passphrase())
    return load_private_key(path, passphrase=folder.key_places.passphrase)
