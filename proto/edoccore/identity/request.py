"""What asks for the certificate of a seal: a request for one key, or one for each of a pair.

Whoever signed a request holds its key; who may ask, and for whom, is decided elsewhere.
"""

from dataclasses import dataclass

from cryptography import x509

from edoccore.identity.suites import KeyPair, PublicKey


@dataclass(frozen=True, slots=True)
class SealRequest:
    """Requests for one certificate, PKCS#10, DER.

    Attributes:
        first: Made with the P-256 key.
        second: Made with the ML-DSA-65 key of a pair; empty: the certificate is for one key.
    """

    first: bytes
    second: bytes = b""

    def is_for(self, key: PublicKey) -> bool:
        """Whether a key, or a pair, is the one that was asked for; the requests are sound."""
        asked = x509.load_der_x509_csr(self.first).public_key()
        if not self.second:
            return asked == key
        pair = (asked, x509.load_der_x509_csr(self.second).public_key())
        return isinstance(key, KeyPair) and pair == (key.classical, key.lattice)
