"""Keys that parts of documents are encrypted to, and how a content key is wrapped to one.

One suite, number 1: HPKE (RFC 9180) in base mode with the KEM MLKEM768-X25519, HKDF-SHA256 and
AES-256-GCM. It stays secret as long as one of ML-KEM-768 and X25519 holds, so that what is recorded
today is not read by the quantum computers of a later decade.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edoccore.office_errors import EncryptionKeyError, PartNotDecryptedError

SUITE = 1
LATTICE_BYTES = 1184  # the encapsulation key of ML-KEM-768, FIPS 203
PUBLIC_BYTES = LATTICE_BYTES + 32
WRAPPED_BYTES = 1088 + 32 + 32 + 16  # encapsulated keys, then the content key with its tag

_HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class PublicEncryptionKey:
    """What parts are encrypted to: ML-KEM-768 encapsulation key, then X25519 public key."""

    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Names the key, lower hex."""
        return sha256(self.data).hexdigest()

    @property
    def is_usable(self) -> bool:
        """Whether anything can be wrapped to it."""
        try:
            self.wrap(b"", b"")
        except EncryptionKeyError:
            return False
        return True

    def wrap(self, content_key: bytes, info: bytes) -> bytes:
        """Encrypts a content key so that only who holds the private key has it.

        Args:
            info: What it is for; the same is needed to unwrap it.

        Raises:
            EncryptionKeyError: The key is none.
        """
        try:
            lattice = MLKEM768PublicKey.from_public_bytes(self.data[:LATTICE_BYTES])
            curve = X25519PublicKey.from_public_bytes(self.data[LATTICE_BYTES:])
            public = hpke.MLKEM768X25519PublicKey(lattice, curve)
            return _HPKE.encrypt(content_key, public, info)
        except ValueError as error:  # wrong length, or a point with which there is no secret
            raise EncryptionKeyError(
                f"The encryption key {self.sha256[:16]} cannot be used."
            ) from error


@dataclass(frozen=True, slots=True)
class PrivateEncryptionKey:
    """The two private keys of an encryption key."""

    lattice: MLKEM768PrivateKey = field(repr=False)
    curve: X25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicEncryptionKey:
        """The key that others encrypt to."""
        lattice = self.lattice.public_key().public_bytes_raw()
        return PublicEncryptionKey(lattice + self.curve.public_key().public_bytes_raw())

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """The content key.

        Raises:
            PartNotDecryptedError: It was not wrapped to this key, or not for this.
        """
        try:
            private = hpke.MLKEM768X25519PrivateKey(self.lattice, self.curve)
            return _HPKE.decrypt(wrapped, private, info)
        except (InvalidTag, ValueError) as error:
            raise PartNotDecryptedError(
                "What opens the part was made for another agency or document."
            ) from error
