"""How much a directory is worth at a moment.

One pure function, so that a node, a test and an auditor come to the same answer:

- FRESH: nothing has expired;
- STALE: only what the registry signs online is old (timestamp, snapshot, endpoints, revocations):
  the exchange goes on with the keys in hand, and an alarm is raised;
- EXPIRED: root, targets, identity or one of its bins has expired: nobody's keys are vouched for any
  longer. Outgoing documents are kept, incoming ones told to come later;
- EMERGENCY: it would be EXPIRED, but enough officers of the root extended it; the exchange goes on
  with an alarm until the extension ends.

A role expires at the moment it names, as in TUF: at that moment it no longer holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from edoccore.directory import layout
from edoccore.directory.extension import Extension
from edoccore.directory.layout import OFFICER_ALARM_BEFORE
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryExpiredError

EXTENSION = "extension"  # in the place of a role: what ends next


class Freshness(StrEnum):
    """What may be done with a directory."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryState:
    """The judgement.

    Attributes:
        freshness: What may be done.
        reasons: Why it is not FRESH, one line each.
        since: When it became what it is; None while FRESH.
        expires: When it is, or was, EXPIRED: the earliest end of root, targets, identity, bins;
            with an extension that ends later, its end.
        expiring_role: The role that ends then, or ``extension``.
        left: Until ``expires``; zero when it has passed.
        officers_alarm: Officers must sign within days, or the exchange stops.
    """

    freshness: Freshness
    reasons: tuple[str, ...]
    since: datetime | None
    expires: datetime
    expiring_role: str
    left: timedelta
    officers_alarm: bool

    @property
    def days_left(self) -> int:
        """Full days until the directory is EXPIRED."""
        return self.left.days

    def require_usable(self) -> None:
        """Lets all but EXPIRED pass.

        Raises:
            DirectoryExpiredError: The directory is EXPIRED.
        """
        if self.freshness is Freshness.EXPIRED:
            raise DirectoryExpiredError(
                f"The directory has expired: {self.reasons[0]}.",
                hint="Reach the registry or a node that has a newer directory, or import a file of "
                "the officers: edocnode directory import FILE",
                role=self.expiring_role,
                since=self.expires.isoformat(),
            )


def judge(directory: Directory, now: datetime) -> DirectoryState:
    """Judges a directory by the expiry of each of its roles.

    Args:
        directory: Verified.
        now: The moment; aware.
    """
    return _judge(_ends_of_directory(directory), directory.extension, now)


@dataclass(frozen=True, slots=True)
class _Ends:
    """When roles end: those that vouch first, each group by name; and the two moments that count.

    Attributes:
        first: The earliest of all; before it the directory is FRESH.
        vouching: The earliest end of a role that vouches, and that role.
    """

    roles: tuple[tuple[str, datetime], ...]
    first: datetime
    vouching: tuple[datetime, str]


@lru_cache(maxsize=2)  # asked for every parcel; a directory never changes
def _ends_of_directory(directory: Directory) -> _Ends:
    return _ends_of(directory.expiries)


def _ends_of(expiries: Mapping[str, datetime]) -> _Ends:
    return _Ends(
        roles=tuple(sorted(expiries.items(), key=lambda item: (not _vouches(item[0]), item))),
        first=min(expiries.values()),
        vouching=min((end, name) for name, end in expiries.items() if _vouches(name)),
    )


def _judge(ends: _Ends, extension: Extension | None, now: datetime) -> DirectoryState:
    ended, role = ends.vouching
    old = [] if now < ends.first else [item for item in ends.roles if item[1] <= now]
    reasons = tuple(f"the role {name} ended at {end.isoformat()}" for name, end in old)
    expires = ended
    if extension is not None and extension.until > ended:
        expires, role = extension.until, EXTENSION
    freshness = _freshness(expired=now >= expires, extended=now >= ended, stale=bool(old))
    since = {
        Freshness.STALE: ends.first,
        Freshness.EMERGENCY: ended if extension is None else max(ended, extension.created),
        Freshness.EXPIRED: expires,
    }
    left = max(expires - now, timedelta(0))
    return DirectoryState(
        freshness=freshness,
        reasons=reasons,
        since=since.get(freshness),
        expires=expires,
        expiring_role=role,
        left=left,
        officers_alarm=left <= OFFICER_ALARM_BEFORE,
    )


def _vouches(role: str) -> bool:
    """Whether a role says who somebody is, rather than where or how fresh."""
    return role in (layout.ROOT, layout.TARGETS, layout.IDENTITY) or role.startswith(
        f"{layout.IDENTITY}-"
    )


def _freshness(*, expired: bool, extended: bool, stale: bool) -> Freshness:
    if expired:
        return Freshness.EXPIRED
    if extended:
        return Freshness.EMERGENCY
    return Freshness.STALE if stale else Freshness.FRESH
