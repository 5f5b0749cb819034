"""Signing and verifying with the keys of agencies.

A signature is over exact bytes, with no wrapping, so ``openssl dgst -sha256 -verify`` checks it
too. Suite 1 signatures are DER with the low of the two possible ``s``: otherwise anyone could turn
a valid signature into another valid one. ECDSA signs deterministically (RFC 6979): the same bytes
give the same signature and no random numbers are needed.

Where keys are stored, and whose they are, is decided elsewhere; ``Signer`` is the port behind
which a file or a token holds them.
"""

from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.errors import KeyUnusableError, SealInvalidError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.suites import PublicKey, Suite, known_key, suite_of

__all__ = [
    "PrivateKey",
    "PublicKey",
    "Signer",
    "SoftwareSigner",
    "low_s",
    "verify_signature",
]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_VERIFY_ECDSA = ec.ECDSA(hashes.SHA256())
_SIGN_ECDSA = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class Signer(Protocol):
    """Holds one private key and signs with it; may block, as tokens do."""

    @property
    def certificate_digest(self) -> str:
        """SHA-256 of the DER certificate of the key, lower hex."""

    @property
    def suite(self) -> int:
        """Number of the suite of its signatures."""

    @property
    def is_quick(self) -> bool:
        """Whether it never blocks and takes less than a change of threads."""

    def sign(self, data: bytes) -> bytes:
        """Signs exact bytes.

        Raises:
            SealerStoppedError: The key cannot be reached at the moment.
        """

    def close(self) -> None:
        """Lets go of what holds the key; whoever waits for a signature gets the error above."""


class SoftwareSigner:
    """A ``Signer`` whose private key is in memory."""

    def __init__(self, private_key: PrivateKey, certificate: x509.Certificate) -> None:
        """Takes the key and the certificate that others know it by.

        Raises:
            KeyUnusableError: The certificate is for another key.
            SealCertificateError: No suite uses keys of this kind.
        """
        public_key = known_key(certificate.public_key())
        if private_key.public_key() != public_key:
            raise KeyUnusableError(
                "The private key does not belong to the certificate.",
                hint="Put the key file back that was made with this certificate.",
            )
        self._private_key = private_key
        self._digest = certificate_digest(certificate.public_bytes(Encoding.DER))
        self._suite = suite_of(public_key)

    @property
    def certificate_digest(self) -> str:
        """SHA-256 of the DER certificate of the key, lower hex."""
        return self._digest

    @property
    def suite(self) -> int:
        """Number of the suite of its signatures."""
        return int(self._suite)

    @property
    def is_quick(self) -> bool:
        """Whether it takes less than a change of threads, as P-256 in memory does."""
        return isinstance(self._private_key, ec.EllipticCurvePrivateKey)

    def sign(self, data: bytes) -> bytes:
        """Signs exact bytes; the same bytes always get the same signature."""
        if isinstance(self._private_key, rsa.RSAPrivateKey):
            return self._private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return low_s(self._private_key.sign(data, _SIGN_ECDSA))

    def close(self) -> None:
        """Nothing holds a key in memory but this."""


def low_s(signature: bytes) -> bytes:
    """Returns the P-256 signature (DER) with the lower of its two ``s``; tokens give either."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _P256_ORDER - s))


def verify_signature(key: PublicKey, suite: int, data: bytes, signature: bytes) -> None:
    """Accepts the one signature form of the suite over exact bytes.

    Args:
        key: Public key of the certificate that the seal names.
        suite: Suite that the seal names.
        data: Exact bytes that were signed.
        signature: Suite 1: DER, shortest form, low ``s``. Suite 3: RSASSA-PKCS1-v1_5.

    Raises:
        SealInvalidError: Key and suite do not match, the signature is not in that form, or it is
            not this key's signature over these bytes.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey) and suite == Suite.RSA_PKCS1_SHA256:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey) and suite == Suite.ECDSA_P256_SHA256:
            _check_form(signature)
            key.verify(signature, data, _VERIFY_ECDSA)
        else:
            raise SealInvalidError(f"The key of the seal is not one of suite {suite}.")
    except InvalidSignature:
        raise SealInvalidError(
            "The signature does not fit the seal and its key: one of them was altered."
        ) from None


def _check_form(signature: bytes) -> None:
    try:
        _, s = decode_dss_signature(signature)  # takes the one DER form only
    except ValueError:
        raise SealInvalidError("The signature is not DER of two integers.") from None
    if s > _P256_ORDER // 2:
        raise SealInvalidError("The signature has high s: it is the twin of another one.")
