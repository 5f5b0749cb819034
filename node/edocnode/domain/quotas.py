"""What one agency may ask for in calls: how often, how many at once, how many broken off.

The agency is the one that TLS has proved, never an address: a province behind one line is not one
caller, and an attacker with a thousand addresses is. Moments are seconds on any clock that never
goes back. Nothing here is kept over a restart.

Source: proto/README.md, section Quotas.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from edoccore.errors import EdocError, PeerUnreachableError, QuotaError
from edoccore.signing.statements import time_text

RETRY_AFTER_KEY = "retry_after_s"  # of the error's fields: whole seconds, at least 1
MOST_RETRY = timedelta(hours=1)  # whatever a peer says
SUSPENSION_S = 60.0
QUIET = timedelta(seconds=SUSPENSION_S)  # after which a peer lets in again whom it shut out
BELIEVED = timedelta(minutes=5)  # so long a silent peer may be one that shuts out, not a dead one
_DOWN = "Connection refused"  # gRPC's own words: nobody listens there, so nobody shuts out
FAULTS_PER_S = 20.0  # calls broken off by the caller, wrong, or over a quota
FAULTS_AT_ONCE = 200
HOLD_S = 1.0  # that a refusal of a suspended agency waits, or the next call would come at once
HELD_AT_ONCE = 64  # of an agency; more are refused at once
FAULTS_AFTER_CUT = 20  # a connection that was cut and made again has so many


@dataclass(frozen=True, slots=True)
class CallLimit:
    """How often a call may be begun, and how many of it may be open."""

    per_s: float
    burst: float
    open_at_once: int


# A node at full speed meets none of them. It holds one Deliver and opens it again when it was
# idle; it has at most four Transfers, each of which costs the recipient two fsyncs; a directory
# fetched from nothing has some hundred files.
CALL_LIMITS: Mapping[str, CallLimit] = {
    "Deliver": CallLimit(per_s=10, burst=60, open_at_once=8),
    "Transfer": CallLimit(per_s=1_000, burst=2_000, open_at_once=16),
    "Hello": CallLimit(per_s=10, burst=60, open_at_once=4),
    "Recover": CallLimit(per_s=1, burst=10, open_at_once=1),
    "GetFiles": CallLimit(per_s=50, burst=1_000, open_at_once=8),
    "Lend": CallLimit(per_s=1, burst=10, open_at_once=1),
    "GetConsistency": CallLimit(per_s=0.1, burst=10, open_at_once=1),
}
OTHER_LIMIT = CallLimit(per_s=50, burst=200, open_at_once=8)


@dataclass(slots=True)
class Bucket:
    """Tokens that come back with time; full at first."""

    per_s: float
    burst: float
    tokens: float = 0.0
    at: float = -math.inf

    def take(self, now: float) -> bool:
        """Takes a token. Returns False, and takes none, when there is none."""
        self._fill(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def wait_s(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        return max(0.0, (1 - self.tokens) / self.per_s)

    def _fill(self, now: float) -> None:
        gained = max(0.0, now - self.at) * self.per_s
        self.tokens = min(self.burst, self.tokens + gained)
        self.at = max(self.at, now)


@dataclass(slots=True)
class _Account:
    """What one agency has used."""

    faults: Bucket
    rates: dict[str, Bucket] = field(default_factory=dict)
    open: Counter[str] = field(default_factory=Counter)
    suspended_until: float = -math.inf
    held: int = 0  # refusals that wait


class CallQuotas:
    """Admits calls; an agency that floods is suspended for a minute."""

    def __init__(
        self,
        weight: Callable[[str], int] = lambda _: 1,
        limits: Mapping[str, CallLimit] = CALL_LIMITS,
    ) -> None:
        """Takes the limits of calls by name.

        Args:
            weight: Of an agency; it may ask for so many times as much.
            limits: Of calls by name; others have ``OTHER_LIMIT``.
        """
        self._weight = weight
        self._limits = limits
        self._accounts: dict[str, _Account] = {}
        self._shut_out: dict[str, float] = {}  # until when, by agency

    def begin(self, agency: str, call: str, now: float) -> None:
        """Admits a call; ``end`` must follow.

        Raises:
            QuotaError: The agency is suspended, calls too often, or has too many of this call open.
        """
        account = self._account(agency)
        if now < account.suspended_until:
            wait = account.suspended_until - now
            raise over_quota(agency, "broke off too many calls and is suspended", after_s=wait)
        limit = self._limits.get(call, OTHER_LIMIT)
        if account.open[call] >= limit.open_at_once * self._weight(agency):
            raise over_quota(agency, f"has {account.open[call]} calls of {call} open", after_s=1)
        rate = account.rates.setdefault(call, self._bucket(agency, limit.per_s, limit.burst))
        if not rate.take(now):
            raise over_quota(agency, f"calls {call} too often", after_s=rate.wait_s(now))
        account.open[call] += 1

    def end(self, agency: str, call: str) -> None:
        """Notes that an admitted call has ended."""
        self._account(agency).open[call] -= 1

    def fault(self, agency: str, now: float) -> bool:
        """Notes a call that its caller broke off, that was wrong, or that was not admitted.

        Returns:
            True when there were too many: the agency is suspended from now on, and the connection
            on which the call came is to be cut.
        """
        account = self._account(agency)
        if account.faults.take(now):
            return False
        if now < account.suspended_until:
            self._shut_out[agency] = now + SUSPENSION_S
        account.suspended_until = now + SUSPENSION_S
        account.faults.tokens = min(FAULTS_AFTER_CUT, account.faults.burst)
        return True

    def shut_out(self, now: float) -> frozenset[str]:
        """Agencies that went on while they were suspended: no connection of theirs is to be taken.

        Telling them over and over costs a handshake and a score of calls each time; not to take
        the connection costs less, and none of the time of other agencies' calls.
        """
        self._shut_out = {agency: end for agency, end in self._shut_out.items() if now < end}
        return frozenset(self._shut_out)

    def hold(self, agency: str, now: float) -> bool:
        """Whether a refusal shall wait ``HOLD_S``; ``release`` must follow when it shall.

        Refusing costs little, but not nothing, and who is refused calls again. A suspended agency
        with so many calls open makes no more than ``HELD_AT_ONCE`` a second of them.
        """
        account = self._account(agency)
        if now >= account.suspended_until or account.held >= HELD_AT_ONCE:
            return False
        account.held += 1
        return True

    def release(self, agency: str) -> None:
        """Notes that a refusal has waited."""
        self._account(agency).held -= 1

    def _account(self, agency: str) -> _Account:
        """The agency's own; there are never more than the directory has agencies."""
        account = self._accounts.get(agency)
        if account is None:
            faults = self._bucket(agency, FAULTS_PER_S, FAULTS_AT_ONCE)
            account = self._accounts[agency] = _Account(faults)
        return account

    def _bucket(self, agency: str, per_s: float, burst: float) -> Bucket:
        weight = self._weight(agency)
        return Bucket(per_s * weight, burst * weight)


def retry_after(error: EdocError) -> timedelta | None:
    """When whoever was told of a quota may come again; None when it was not told, or nonsense."""
    text = error.fields.get(RETRY_AFTER_KEY, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return None
    return min(timedelta(seconds=int(text)), MOST_RETRY)


def shut_out_by(
    agency: str, error: EdocError, *, told: datetime | None, now: datetime
) -> QuotaError | None:
    """What it means that a peer cannot be reached, soon after it said that this node asks too much.

    A node that went on all the same is shut out: its handshakes fail, until it has been quiet for a
    minute, and nobody tells it why.

    Args:
        error: Of the attempt.
        told: When the peer last told of a quota; None when it never did.

    Returns:
        The error to tell people instead, with the time to stay quiet; None when the peer is
        rather down, or long should have let this node in again.
    """
    if told is None or not isinstance(error, PeerUnreachableError) or _DOWN in error.message:
        return None
    if not told <= now < told + BELIEVED:
        return None
    until = told + QUIET if now < told + QUIET else now + QUIET
    wait = max(1, math.ceil((until - now).total_seconds()))
    return QuotaError(
        f"{agency} has shut this node out for asking too much: it said so at {time_text(told)} and "
        f"takes no connection since. This node stays quiet until {time_text(until)}.",
        hint="Nothing is lost: this node keeps all it has and tries again by itself.",
        agency=agency,
        **{RETRY_AFTER_KEY: str(wait)},
    )


def over_quota(agency: str, what: str, *, after_s: float) -> QuotaError:
    """The error for whoever asks for too much, with when to come again."""
    wait = str(max(1, math.ceil(after_s)))
    return QuotaError(
        f"{agency} {what}; this node takes more from it in {wait} s.",
        hint="Nothing is lost: the sender keeps all it has and tries again by itself.",
        agency=agency,
        **{RETRY_AFTER_KEY: wait},
    )
