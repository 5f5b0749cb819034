"""Officers' keys in PKCS#11 tokens: the key file then holds where the key is, and no secret.

Signing goes through ``edockit.token``: a process of its own that logs in once, and a PIN that was
refused is never shown to the token again. The public key lies beside the key file, as ever.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from edoccore.errors import KeyUnusableError, SealerStoppedError
from edoccore.identity.keys import low_s
from edoccore.signing.readers import reader_of
from edockit import certificates, files
from edockit.secrets import Secret
from edockit.token import TokenKey
from edockit.token_messages import TokenPlace

SCHEMA = "edoc.registry-token-key/v1"
_BEGINNING = b'{"schema":"edoc.registry-token-key/'


class TokenKeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an officer's key is.

    Attributes:
        schema: ``SCHEMA``.
        module: PKCS#11 library of the token's maker.
        token: Label of the token.
        key: Label of the private key in it.
    """

    schema: str
    module: str
    token: str
    key: str


def is_token_file(path: Path) -> bool:
    """Whether a key file names a key in a token.

    Raises:
        DiskFullError, StorageFailedError: It cannot be read.
    """
    with files.disk_errors(path), path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def encode_token_file(found: TokenKeyFile) -> bytes:
    """The bytes of a key file."""
    return msgspec.json.encode(found) + b"\n"


def read_token_file(path: Path) -> TokenKeyFile:
    """Reads a key file that names a key in a token.

    Raises:
        KeyUnusableError: It is damaged.
    """
    with files.disk_errors(path), path.open("rb") as file:
        data = file.read(certificates.MAX_KEY_FILE_BYTES)
    try:
        found = reader_of(TokenKeyFile).decode(data)
    except msgspec.DecodeError as error:
        raise KeyUnusableError(
            f"The key file {path} is damaged.",
            hint="Take the copy of the file, or write it again: edocregistry key new --token LABEL",
            path=str(path),
        ) from error
    if found.schema != SCHEMA:
        raise KeyUnusableError(
            f"The key file {path} was written by a newer program.",
            hint="Update this one.",
            path=str(path),
        )
    return found


def make_in_token(path: Path, found: TokenKeyFile, pin: Secret) -> ec.EllipticCurvePublicKey:
    """Makes a key in a token, unless there is one of its label that was made there.

    Args:
        path: Of the key file.
        found: Where the key is to be.
        pin: Of the token's user.

    Raises:
        KeyUnusableError: The token is away, refuses the PIN, or has an unfit key of that label.
    """
    key = TokenKey(_place(path, found, pin))
    try:
        return key.make()
    finally:
        key.close()


class TokenOfficer(Signer):
    """An officer's key in a token, as TUF signs with it. To be closed."""

    def __init__(self, path: Path, public_key: Key, pin: Callable[[TokenKeyFile], Secret]) -> None:
        """Reads where the key is; the token is asked nothing before the first signature.

        Args:
            path: Of the key file.
            public_key: From the file beside it.
            pin: Gives the PIN of the token.

        Raises:
            KeyUnusableError: The key file is damaged.
        """
        found = read_token_file(path)
        self._path = path
        self._public_key = public_key
        self._key = TokenKey(_place(path, found, pin(found)))

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> Signer:
        """Officers name files, no addresses."""
        raise NotImplementedError

    def sign(self, payload: bytes) -> Signature:
        """Signs exact bytes; what the token gives is verified before anybody sees it.

        Raises:
            KeyUnusableError: The token does not sign, or not with the key of the file beside.
        """
        try:
            made = Signature(self._public_key.keyid, low_s(self._key.sign(payload)).hex())
            self._public_key.verify_signature(made, payload)
        except SealerStoppedError as error:
            raise KeyUnusableError(error.message, hint=error.hint, path=str(self._path)) from error
        except (UnverifiedSignatureError, ValueError) as error:
            raise KeyUnusableError(
                f"The key in the token is not the one whose public key lies beside {self._path}.",
                hint="Put in the token that has it, or take the other key file.",
                path=str(self._path),
            ) from error
        return made

    def close(self) -> None:
        """Lets go of the token."""
        self._key.close()


def public_half(key: ec.EllipticCurvePublicKey) -> Key:
    """A public key as TUF names it."""
    return SSlibKey.from_crypto(key)


def _place(path: Path, found: TokenKeyFile, pin: Secret) -> TokenPlace:
    refused = path.with_name(f"{path.name}.pin-refused")
    return TokenPlace(Path(found.module), found.token, found.key, pin, refused)
