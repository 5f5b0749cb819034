"""Signature suites: which algorithms a number means, and which keys fit it.

Nothing is negotiated: a seal names its suite, the directory names the lowest one that is accepted
from an agency, and the key's kind decides which one its owner can use. A pair of keys seals with
suite 2 and never alone: a certificate that names two keys is worth nothing for suite 1.
"""

from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from edoccore.errors import SealCertificateError

SingleKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The two public keys of suite 2; a signature holds when both of its halves do.

    Attributes:
        classical: ECDSA P-256.
        lattice: ML-DSA-65, FIPS 204.
    """

    classical: ec.EllipticCurvePublicKey
    lattice: MLDSA65PublicKey


PublicKey = SingleKey | KeyPair

MIN_RSA_BITS = 2048  # what outside certification authorities still issue
MAX_RSA_BITS = 4096  # verifying with longer keys costs others more than it gains


class Suite(IntEnum):
    """Numbers are for ever."""

    ECDSA_P256_SHA256 = 1
    ECDSA_P256_MLDSA65 = 2  # suite 1 together with ML-DSA-65; both must hold
    RSA_PKCS1_SHA256 = 3


# Numbers are names and no order: RSA is no stronger than ECDSA, whatever its number.
_RANKS: dict[int, int] = {
    Suite.ECDSA_P256_SHA256: 1,
    Suite.RSA_PKCS1_SHA256: 1,
    Suite.ECDSA_P256_MLDSA65: 2,
}


def is_at_least(suite: int, minimum: int) -> bool:
    """Tells whether a seal's suite is as strong as the directory wants of its agency.

    A minimum that this program does not know is met by nothing: it cannot be judged.
    """
    wanted = _RANKS.get(minimum)
    return wanted is not None and _RANKS.get(suite, 0) >= wanted


def known_key(key: PublicKeyTypes) -> SingleKey:
    """Returns the same key, narrowed to the kinds that suites use.

    Raises:
        SealCertificateError: No suite has keys of this kind, curve or length.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return key
    raise SealCertificateError(
        f"No suite uses this key ({type(key).__name__}); a seal needs ECDSA P-256, or RSA with "
        f"{MIN_RSA_BITS} to {MAX_RSA_BITS} bits.",
        hint="Have a certificate issued for a P-256 key.",
    )


def suite_of(key: PublicKey) -> Suite:
    """Returns the suite that a key, or a pair, belongs to."""
    if isinstance(key, KeyPair):
        return Suite.ECDSA_P256_MLDSA65
    if isinstance(key, rsa.RSAPublicKey):
        return Suite.RSA_PKCS1_SHA256
    return Suite.ECDSA_P256_SHA256
