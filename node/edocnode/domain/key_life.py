"""When keys of this node follow each other: TLS certificates here, seals in ``seal_life``.

Pure: time, what is listed and what is revoked are arguments. A key is used only when every
directory that a peer may still go by has it: the oldest that has not expired was signed
``ROLE_LIFE`` ago, so that is how long a key waits after it was first seen in the directory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from edoccore.directory.layout import ROLE_LIFE

PEERS_HAVE_IT = ROLE_LIFE  # after the listing: no directory without the key holds any longer
BEFORE = timedelta(days=1)  # peers' clocks may be behind: certificates begin a day early
TLS_LIFE = timedelta(days=800)  # a year as next, a year as current, and time to notice
TLS_CHANGE_AFTER = timedelta(days=365)
TLS_RESERVE = timedelta(days=60)  # a certificate is not used in the last days of its life
TLS_AT_ANY_RATE = timedelta(days=1)  # before its end the next one takes over, known or not


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsKey:
    """A TLS certificate of this node.

    Attributes:
        sha256: Of the certificate, lower hex.
        not_before: As in the certificate: ``BEFORE`` before it was made.
        listed_since: When this node first saw it in the directory in force; None: not yet.
    """

    sha256: str
    not_before: datetime
    not_after: datetime
    listed_since: datetime | None


class TlsStep(Enum):
    """What is to be done with the TLS certificates now."""

    NOTHING = "nothing"
    MAKE_NEXT = "make_next"
    TAKE_OVER = "take_over"


def tls_step(
    current: TlsKey, following: TlsKey | None, *, is_revoked: Callable[[str], bool], now: datetime
) -> TlsStep:
    """What is to be done now.

    Args:
        following: The next one, if there is one.
        is_revoked: Whether the certificate with this SHA-256 was revoked.
    """
    if following is None or is_revoked(following.sha256):
        return TlsStep.MAKE_NEXT
    if now >= following.not_after - TLS_RESERVE:
        return TlsStep.MAKE_NEXT
    if is_revoked(current.sha256) or now >= tls_change(current, following):
        return TlsStep.TAKE_OVER
    return TlsStep.NOTHING


def tls_change(current: TlsKey, following: TlsKey) -> datetime:
    """When the next certificate takes over, unless the current one is revoked before.

    A year after it was made, which was when the current one came into use; never before all peers
    have it, and in any case before the current one ends.
    """
    due = min(following.not_before + BEFORE + TLS_CHANGE_AFTER, current.not_after - TLS_RESERVE)
    last = current.not_after - TLS_AT_ANY_RATE
    if following.listed_since is None:
        return last
    return min(max(due, following.listed_since + PEERS_HAVE_IT), last)


class TlsKeyStore(Protocol):
    """Keeps the current TLS pair and the next; each change survives a crash at any moment."""

    def current(self) -> TlsKey:
        """The certificate in use."""

    def following(self) -> TlsKey | None:
        """The certificate that comes next."""

    def note_listed(self, sha256: str, at: datetime) -> None:
        """Remembers when a certificate was first seen in the directory; later calls do nothing.

        Raises:
            DiskFullError, StorageFailedError: The disk failed.
        """

    def make_next(self, now: datetime) -> None:
        """Makes a new next pair in place of the one that is there.

        Raises:
            DiskFullError, StorageFailedError: The disk failed.
        """

    def take_over(self) -> None:
        """Puts the next pair in the place of the current one.

        Raises:
            DiskFullError, StorageFailedError: The disk failed; a restart finishes what was begun.
        """
