"""The two halves of a signature of suite 2, as files: openssl before 3.5 checks the first alone.

``seal.sig`` and ``manifest.sig`` are ECDSA, DER, for every openssl; ``seal.mldsa`` and
``manifest.mldsa`` are ML-DSA-65 beside them. Its key stands in the certificate, where openssl does
not look; so it is written out once more, as ``certificates/HASH.mldsa.pem``, for whoever checks by
hand and compares it with the certificate's bytes.
"""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edoccore.identity.certificate import second_key


def lattice_key_pem(certificate: bytes) -> bytes:
    """The ML-DSA key of a certificate (DER), PEM; empty when it names none.

    Raises:
        SealCertificateError: It names a second key of another kind.
    """
    key = second_key(x509.load_der_x509_certificate(certificate))
    if key is None:
        return b""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
