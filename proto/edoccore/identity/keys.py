"""Signing and verifying with the keys of agencies.

A signature is over exact bytes, with no wrapping, so ``openssl dgst -sha256 -verify`` checks it
too. Suite 1 signatures are DER with the low of the two possible ``s``: otherwise anyone could turn
a valid signature into another valid one. ECDSA signs deterministically (RFC 6979): the same bytes
give the same signature and no random numbers are needed.

A signature of suite 2 is one of suite 1, which every openssl checks, and behind it the 3,309 bytes
of ML-DSA-65 over the same bytes, whose context says what kind of thing is signed. Both name suite 2
in what they sign, so neither half can be shown as a whole signature.

Where keys are stored, and whose they are, is decided elsewhere; ``Signer`` is the port behind
which a file or a token holds them.
"""

from typing import Protocol, assert_never

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.errors import KeyUnusableError, SealInvalidError
from edoccore.identity.certificate import certificate_digest, certified_key
from edoccore.identity.suites import KeyPair, PublicKey, SingleKey, Suite, known_key, suite_of

__all__ = [
    "MANIFEST_CONTEXT",
    "SEAL_CONTEXT",
    "PairSigner",
    "PrivateKey",
    "PublicKey",
    "Signer",
    "SoftwareSigner",
    "halves_of",
    "low_s",
    "verify_signature",
]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# What ML-DSA is told of the kind of what it signs: the statement's type (FIPS 204, 5.2).
SEAL_CONTEXT = b"edoc.seal/v1"
MANIFEST_CONTEXT = b"edoc.manifest/v1"

LATTICE_BYTES = 3309  # of every signature of ML-DSA-65; FIPS 204, table 2
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

    def sign(self, data: bytes, context: bytes = SEAL_CONTEXT) -> bytes:
        """Signs exact bytes.

        Args:
            data: Of a seal, unless the context says something else.
            context: What kind of thing they are; only suite 2 signs it too.

        Raises:
            SealerStoppedError: The key cannot be reached at the moment.
        """

    def close(self) -> None:
        """Lets go of what holds the key; whoever waits for a signature gets the error above."""


class SoftwareSigner:
    """A ``Signer`` whose one private key is in memory; of a pair it is the classical half."""

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

    def sign(self, data: bytes, context: bytes = SEAL_CONTEXT) -> bytes:  # noqa: ARG002 - the port
        """Signs exact bytes; the same bytes always get the same signature."""
        if isinstance(self._private_key, rsa.RSAPrivateKey):
            return self._private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return low_s(self._private_key.sign(data, _SIGN_ECDSA))

    def close(self) -> None:
        """Nothing holds a key in memory but this."""


class PairSigner:
    """A ``Signer`` of suite 2: the classical key in memory or in a token, ML-DSA-65 in memory."""

    is_quick = False  # 0.3 ms more than ECDSA alone

    def __init__(
        self, classical: Signer, lattice: MLDSA65PrivateKey, certificate: x509.Certificate
    ) -> None:
        """Takes what signs the first half, the key of the second, and the certificate of both.

        Raises:
            KeyUnusableError: The certificate does not name this second key.
            SealCertificateError: No suite uses its keys.
        """
        keys = certified_key(certificate)
        if not isinstance(keys, KeyPair) or lattice.public_key() != keys.lattice:
            raise KeyUnusableError(
                "The ML-DSA key does not belong to the certificate.",
                hint="Put the key file back that was made with this certificate.",
            )
        self._classical = classical
        self._lattice = lattice
        self.certificate_digest = classical.certificate_digest
        self.suite = int(Suite.ECDSA_P256_MLDSA65)

    def sign(self, data: bytes, context: bytes = SEAL_CONTEXT) -> bytes:
        """Signs exact bytes with both keys.

        Raises:
            SealerStoppedError: The first key cannot be reached at the moment.
        """
        return self._classical.sign(data) + self._lattice.sign(data, context)

    def close(self) -> None:
        """Lets go of what holds the first key."""
        self._classical.close()


def halves_of(signature: bytes, suite: int) -> tuple[bytes, bytes]:
    """Cuts a signature into its classical half and that of ML-DSA, which only suite 2 has.

    The whole of it is the classical half in other suites. Nothing is verified.
    """
    if suite != Suite.ECDSA_P256_MLDSA65:
        return signature, b""
    return signature[:-LATTICE_BYTES], signature[-LATTICE_BYTES:]


def low_s(signature: bytes) -> bytes:
    """Returns the P-256 signature (DER) with the lower of its two ``s``; tokens give either."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _P256_ORDER - s))


def verify_signature(
    key: PublicKey, suite: int, data: bytes, signature: bytes, context: bytes = SEAL_CONTEXT
) -> None:
    """Accepts the one signature form of the suite over exact bytes.

    Args:
        key: Public key, or the pair, of the certificate that the seal names.
        suite: Suite that the seal names.
        data: Exact bytes that were signed.
        signature: Suite 1: DER, shortest form, low ``s``. Suite 2: that, then 3,309 bytes of
            ML-DSA-65. Suite 3: RSASSA-PKCS1-v1_5.
        context: What kind of thing was signed.

    Raises:
        SealInvalidError: Key and suite do not match, the signature is not in that form, or it is
            not this key's signature over these bytes.
    """
    if suite != suite_of(key):
        raise SealInvalidError(f"The key of the seal is not one of suite {suite}.")
    try:
        if isinstance(key, KeyPair):
            classical, lattice = halves_of(signature, suite)
            _verify_single(key.classical, data, classical)
            key.lattice.verify(lattice, data, context)
        else:
            _verify_single(key, data, signature)
    except InvalidSignature:
        raise SealInvalidError(
            "The signature does not fit the seal and its key: one of them was altered."
        ) from None


def _verify_single(key: SingleKey, data: bytes, signature: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        _check_form(signature)
        key.verify(signature, data, _VERIFY_ECDSA)
    else:
        assert_never(key)


def _check_form(signature: bytes) -> None:
    try:
        _, s = decode_dss_signature(signature)  # takes the one DER form only
    except ValueError:
        raise SealInvalidError("The signature is not DER of two integers.") from None
    if s > _P256_ORDER // 2:
        raise SealInvalidError("The signature has high s: it is the twin of another one.")
