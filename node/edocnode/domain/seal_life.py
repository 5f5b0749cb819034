"""When the seal certificates of this node follow each other, and whether it may seal at all.

Pure: time, what is listed and what is revoked are arguments. See ``key_life`` for TLS and for how
long a new key waits until all peers have it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import Protocol

from edoccore.directory.layout import from_base64
from edoccore.directory.view import Directory
from edoccore.errors import AgencyUnknownError, SealCertificateError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import Signer
from edoccore.identity.request import SealRequest
from edoccore.identity.suites import Suite, suite_of
from edocnode.domain.key_life import PEERS_HAVE_IT
from edocnode.domain.sealing import SealingKey

RENEW_BEFORE = timedelta(days=60)  # the end; of short-lived ones after half of their life
RESERVE = timedelta(days=7)  # before the end the next one is used, long known or not
ENDS_SOON = timedelta(days=30)  # a person is told when nothing has come until then
SPREAD = timedelta(days=30)  # over which agencies leave an authority that was retired
RETRY = timedelta(minutes=10)  # after the registry did not answer
COMEBACK = (
    "Ask the registry's officer for a new join string, stop the node, run: edocnode keys replace "
    "JOIN --yes, and start it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealKey:
    """A seal certificate of this node.

    Attributes:
        sha256: Of the certificate, lower hex.
        listed_since: When this node first saw it in the directory in force; None: not yet.
    """

    sha256: str
    not_before: datetime
    not_after: datetime
    listed_since: datetime | None

    @property
    def renewal(self) -> datetime:
        """When its successor is asked for."""
        return self.not_after - min(RENEW_BEFORE, (self.not_after - self.not_before) / 2)

    @property
    def last_use(self) -> datetime:
        """When its successor takes over at the latest."""
        return self.not_after - min(RESERVE, (self.not_after - self.not_before) / 10)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What the registry issued.

    Attributes:
        chain: DER: the certificate of the next key, then its issuers.
        waits: Officers have to sign before the directory lists it.
    """

    chain: list[bytes]
    waits: bool


class SealStep(Enum):
    """What is to be done with the seal certificates now."""

    NOTHING = "nothing"
    ASK = "ask"
    BY_HAND = "by_hand"  # due, and only a person can renew it
    WAIT = "wait"  # the next certificate is not in the directory yet
    TAKE_OVER = "take_over"
    DROP_NEXT = "drop_next"


def seal_step(
    current: SealKey,
    following: SealKey | None,
    *,
    is_revoked: Callable[[str], bool],
    leaves_authority: bool,
    is_weaker: bool = False,
    by_hand: bool,
    now: datetime,
) -> SealStep:
    """What is to be done now.

    Args:
        following: The next one, if its certificate is here.
        is_revoked: Whether the certificate with this SHA-256 was revoked.
        leaves_authority: The authority behind the current one was retired, and it is this
            node's turn to ask the new one.
        is_weaker: The current one is of a weaker suite than this node is set to use.
        by_hand: Only a person can renew it; see ``by_hand``.
    """
    if following is None:
        # Under a seal that was revoked or has ended nothing can be asked any more.
        usable = not is_revoked(current.sha256) and now <= current.not_after
        due = now >= current.renewal or leaves_authority or (is_weaker and not by_hand)
        if not (usable and due):
            return SealStep.NOTHING
        return SealStep.BY_HAND if by_hand else SealStep.ASK
    if is_revoked(following.sha256) or now > following.not_after:
        return SealStep.DROP_NEXT
    if following.listed_since is None:
        return SealStep.WAIT
    if is_revoked(current.sha256) or now >= seal_change(current, following):
        return SealStep.TAKE_OVER
    return SealStep.NOTHING


def seal_change(current: SealKey, following: SealKey) -> datetime:
    """When the next seal takes over: when all peers have it, at the latest before the old ends."""
    listed = following.listed_since or current.last_use
    return min(listed + PEERS_HAVE_IT, current.last_use)


def seal_problem(directory: Directory, agency: str, digest: str, now: datetime) -> str:
    """Why this node may not seal with a certificate; empty when it may.

    Args:
        digest: SHA-256 of its seal certificate, lower hex.
    """
    try:
        listed = directory.seals.listed(agency, digest)
    except (AgencyUnknownError, SealCertificateError):
        return f"The directory does not list the seal certificate of {agency}. {COMEBACK}."
    revocation = listed.revocation(directory.revocations)
    if revocation is not None:
        return (
            f"The seal certificate of {agency} was revoked at "
            f"{revocation.revoked_at.isoformat()} ({revocation.reason}). Documents are kept and "
            f"neither sealed nor sent. {COMEBACK}."
        )
    suite = suite_of(listed.key)
    if directory.seals.weak_since(agency, suite) is not None:
        return (
            f"The directory accepts no seal of {agency} in suite {suite} any more. Documents are "
            f"kept and neither sealed nor sent. Write seal_suite = {Suite.ECDSA_P256_MLDSA65} "
            f"into the settings. {COMEBACK}."
        )
    if now > listed.not_after:
        return (
            f"The seal certificate of {agency} ended at {listed.not_after.isoformat()}. Documents "
            f"are kept and neither sealed nor sent. {COMEBACK}."
        )
    return ""


def by_hand(directory: Directory, agency: str, digest: str, *, in_token: bool) -> str:
    """What a person must do to renew a seal that its node cannot; empty when the node does it.

    Args:
        digest: SHA-256 of its certificate, lower hex.
        in_token: Its key is in a token, where no program makes the next one unasked.
    """
    try:
        issuer = directory.seals.listed(agency, digest).digests[-1]
    except (AgencyUnknownError, SealCertificateError):
        issuer = ""
    outside = map(from_base64, directory.info.outside_authorities)
    if issuer in map(certificate_digest, outside):
        return (
            "A CA outside the network issued it: have it issue the next one, give that to the "
            "registry's officer, stop the node, and run: edocnode keys import CERTIFICATE"
        )
    if in_token:
        return (
            "Its key is in a token: name another key in the setting seal_token.key, ask the "
            "registry's officer for a join string, stop the node, and run: edocnode keys replace "
            "JOIN --yes"
        )
    return ""


def leaves_authority(directory: Directory, agency: str, digest: str, now: datetime) -> bool:
    """Whether the seal's authority was retired, and it is this agency's turn to ask the new one.

    Agencies take turns over ``SPREAD``, each at its own moment, so that the registry does not issue
    to thousands at once.
    """
    try:
        listed = directory.seals.listed(agency, digest)
    except (AgencyUnknownError, SealCertificateError):
        return False
    since = directory.seals.retired.get(listed.digests[-1])
    if since is None:
        return False
    share = int.from_bytes(sha256(agency.encode()).digest()[:4]) / 2**32
    return now >= since + share * SPREAD


class SealKeyStore(Protocol):
    """Keeps the current seal pair and the next; each change survives a crash at any moment."""

    def current(self) -> SealKey:
        """The certificate in use."""

    def following(self) -> SealKey | None:
        """The certificate that comes next."""

    def note_listed(self, sha256: str, at: datetime) -> None:
        """Remembers when a certificate was first seen in the directory; later calls do nothing.

        Raises:
            DiskFullError, StorageFailedError: The disk failed.
        """

    def is_weaker(self) -> bool:
        """Whether the current one is of a weaker suite than this node is set to use."""

    def next_request(self) -> SealRequest:
        """What asks for the certificate of the next key, which is made when there is none.

        Raises:
            DiskFullError, StorageFailedError: The disk failed.
        """

    def keep_next(self, chain: list[bytes]) -> None:
        """Keeps the certificate of the next key with its issuers, DER.

        Raises:
            KeyUnusableError: It is for another key.
            DiskFullError, StorageFailedError: The disk failed.
        """

    def drop_next(self) -> None:
        """Forgets the next key and its certificate."""

    def take_over(self) -> None:
        """Puts the next pair in the place of the current one.

        Raises:
            DiskFullError, StorageFailedError: The disk failed; a restart finishes what was begun.
        """

    def signer(self) -> tuple[Signer, SealingKey]:
        """What seals are made with now."""
