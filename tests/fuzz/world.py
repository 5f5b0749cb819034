"""A network whose keys and certificates are the same in every process, so that inputs stay valid.

For fuzzing only: the private keys follow from small numbers.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from itertools import count
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from edoccore.directory import layout
from edoccore.directory.view import Directory
from edockit import certificates
from tests.support.evidence import Exchange, exchange

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
FEW_BINS = dict.fromkeys(layout.BINNED_ROLES, 1)  # a directory is loaded 20 times as fast
_BUILDERS = (
    x509.CertificateBuilder,
    x509.CertificateSigningRequestBuilder,
    x509.CertificateRevocationListBuilder,
)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One message between H26 and H29, and the directory it travelled in."""

    exchange: Exchange
    directory: Directory


@cache
def world() -> World:
    """Builds it, once in a process."""
    with patch.dict(layout.BIN_BITS, FEW_BINS), _without_chance():
        made = exchange(NOW)
        return World(made, made.nation.directory())


@contextmanager
def _without_chance() -> Iterator[None]:
    """Replaces the sources of chance of keys, certificates and ids by counters."""
    numbers = count(1)

    def ed25519() -> CryptoSigner:
        secret = sha256(b"%d" % next(numbers)).digest()
        return CryptoSigner(Ed25519PrivateKey.from_private_bytes(secret))

    def p256() -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(next(numbers), ec.SECP256R1())

    def token(length: int) -> bytes:
        return sha256(b"token %d" % next(numbers)).digest()[:length]

    with (
        patch.object(CryptoSigner, "generate_ed25519", ed25519),
        patch.object(certificates, "new_private_key", p256),
        patch.object(x509, "random_serial_number", partial(next, numbers)),
        patch.object(secrets, "token_bytes", token),
    ):
        patches = [patch.object(builder, "sign", _repeatable(builder)) for builder in _BUILDERS]
        try:
            for item in patches:
                item.start()
            yield
        finally:
            for item in patches:
                item.stop()


def _repeatable(builder: type) -> object:
    plain = builder.sign  # type: ignore[attr-defined]

    def sign(self, key, algorithm, *args, **options):
        return plain(self, key, algorithm, *args, ecdsa_deterministic=True, **options)

    return sign
