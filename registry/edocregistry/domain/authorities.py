"""Issuing CAs one after another: the newest issues, those before only keep their revocation lists.

One whose key was lost with an earlier machine (``rebuild``) is retired as well, and its last list
stays.

A CA was retired when its successor begins; both CAs and what they issue begin a few minutes before
they are made. Nodes refuse a certificate of it that begins later, whoever listed it; what it issued
before stays good until its own end.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509

from edoccore.directory.layout import RetiredAuthority
from edoccore.identity.certificate import certificate_digest
from edoccore.signing.statements import time_text


def in_order(certificates: Iterable[bytes]) -> list[bytes]:
    """CA certificates (DER), the oldest first."""
    return sorted(certificates, key=_begins)


def retirements(chain: Sequence[bytes]) -> tuple[RetiredAuthority, ...]:
    """Since when each CA but the last one issues no more.

    Args:
        chain: Certificates (DER), the oldest first.
    """
    return tuple(
        RetiredAuthority(sha256=certificate_digest(old), since=time_text(_begins(new)))
        for old, new in pairwise(chain)
    )


def _begins(certificate: bytes) -> datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_before_utc
