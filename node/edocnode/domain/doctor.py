"""What ``edocnode doctor`` makes of what it measured: rules only, the probes are in ``app.doctor``.

What is normal is never a problem: a peer that is not reached is one, a stopped node is not, and
what could not be looked at is told as that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from statistics import median

from edoccore.directory.state import DirectoryState, Freshness
from edocnode.domain.seal_life import SealKey

CLOCK_LIMIT = timedelta(seconds=60)  # documents are refused from five minutes on
SIGNATURE_AGE = timedelta(days=7)  # of the scanner's signatures, which are made anew each day
MIN_FREE_BYTES = 1 << 30
SLOW_FSYNC_S = 2.0
_CLAMD_TIME = "%b-%d-%H:%M:%S-%Y"  # after the day of the week, with hyphens
GIB = 1 << 30


class Health(StrEnum):
    """The result of one check."""

    OK = "ok"
    OFF = "off"  # the settings do not use it
    UNKNOWN = "not checked"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        code: Stable, for programs: ``clock``, ``seal_certificate``, ...
        message: What was found, for a person; names what it is about.
        hint: Of a problem, and of what was not checked: what to do, a command where there is one.
    """

    code: str
    health: Health
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A peer's clock minus ours, and how long the question took."""

    difference: timedelta
    round_trip: timedelta

    @property
    def is_off(self) -> bool:
        """Whether it is surely over the limit."""
        return abs(self.difference) - self.round_trip / 2 > CLOCK_LIMIT


def judge_clock(readings: Mapping[str, ClockReading]) -> Check:
    """Whether our clock is right, by the clocks of all peers that answered.

    When most of them are off in one direction it is ours that is wrong, not theirs.
    """
    if not readings:
        return Check(
            "clock", Health.UNKNOWN, "No peer told its time.", "Run: timedatectl timesync-status"
        )
    off = {agency: reading for agency, reading in readings.items() if reading.is_off}
    middle = timedelta(
        seconds=median(reading.difference.total_seconds() for reading in readings.values())
    )
    if len(off) * 2 > len(readings):
        return Check(
            "clock",
            Health.PROBLEM,
            f"The clock of this machine is off by {abs(middle.total_seconds()):.0f} s against "
            f"{len(off)} of {len(readings)} peers.",
            "Run: timedatectl set-ntp true",
        )
    if off:
        return Check(
            "clock",
            Health.OK,
            f"The clock of this machine is right; those of {', '.join(sorted(off))} are off.",
        )
    return Check("clock", Health.OK, f"{len(readings)} peers have the same time as this machine.")


def judge_seal(
    current: SealKey, following: SealKey | None, now: datetime, *, late_hint: str, end_hint: str
) -> Check:
    """Whether the seal's certificate holds, and its successor has come in time.

    A node asks for the next one by itself, and officers may take days: half of the time that is
    left from then on. An end that is near is no problem in itself.

    Args:
        late_hint: What to do when no successor has come.
        end_hint: When it has ended.
    """
    code, ends = "seal_certificate", current.not_after
    left = (ends - now).days
    if now >= ends:
        message = f"The certificate ended on {ends:%Y-%m-%d}."
        return Check(code, Health.PROBLEM, message, end_hint)
    if following is not None and now < following.not_after:
        message = f"The certificate lasts {left} days more; the next one is here."
        return Check(code, Health.OK, message)
    if now >= current.renewal + (current.last_use - current.renewal) / 2:
        message = f"The certificate ends in {left} days, and no other has come to follow it."
        return Check(code, Health.PROBLEM, message, late_hint)
    message = f"The certificate lasts {left} days more; the node renews it."
    return Check(code, Health.OK, message)


def judge_tls(
    ends: datetime, following_ends: datetime | None, now: datetime, *, running: bool, hint: str
) -> Check:
    """Whether a TLS certificate holds; the next one takes over by itself.

    Args:
        following_ends: Of the next one; None: there is none.
        hint: What to do when none holds.
    """
    code = "tls_certificate"
    if now < ends:
        message = f"The certificate lasts {(ends - now).days} days more; the node replaces it."
        return Check(code, Health.OK, message)
    message = f"The certificate ended on {ends:%Y-%m-%d}."
    if following_ends is None or now >= following_ends:
        return Check(code, Health.PROBLEM, message, hint)
    if running:
        return Check(code, Health.PROBLEM, message, "See what keeps the node: edocnode status")
    return Check(code, Health.OK, f"{message} The next one takes over at the start.")


def judge_scanner(version: str, now: datetime) -> Check:
    """Whether the signatures of the scanner, which passed its proof, are of these days.

    Args:
        version: As clamd tells it: ``ClamAV 1.4.3/27822/Fri Nov 20 08:25:11 2026``, the time in
            UTC or in local time; without the last two when it has signatures of its own alone.
    """
    name, _, rest = version.partition("/")
    _, _, told = rest.partition("/")
    try:
        made = datetime.strptime("-".join(told.split()[1:]), _CLAMD_TIME).replace(tzinfo=UTC)
    except ValueError:
        message = f"{name} finds what it must; it does not tell how old its signatures are."
        return Check("scanner", Health.OK, message)
    days = (now - made).days
    if now - made > SIGNATURE_AGE:
        message = f"{name} works, but its signatures are {days} days old."
        return Check("scanner", Health.PROBLEM, message, "Run: systemctl status clamav-freshclam")
    return Check("scanner", Health.OK, f"{name} finds what it must, with signatures of {told}.")


def judge_directory(state: DirectoryState, version: int) -> Check:
    """Whether the directory is fresh, and officers have signed in time."""
    if state.freshness is Freshness.FRESH and not state.officers_alarm:
        message = (
            f"Version {version} is fresh; it lasts {state.days_left} days without the registry."
        )
        return Check("directory", Health.OK, message)
    reasons = " ".join(state.reasons)
    if state.freshness is Freshness.EMERGENCY:
        message = (
            f"Version {version} has ended; officers extended it, and exchange goes on for "
            f"{state.days_left} days. {reasons}"
        )
        hint = "Officers must sign a new one until then. At the registry, run: edocregistry status"
        return Check("directory", Health.PROBLEM, message.strip(), hint)
    message = f"Version {version} is old; exchange stops in {state.days_left} days. {reasons}"
    if state.freshness is Freshness.EXPIRED:
        message = f"Version {version} has ended, and exchange stands still. {reasons}"
    hint = "At the registry, run: edocregistry status"
    return Check("directory", Health.PROBLEM, message.strip(), hint)


def judge_alarms(open_alarms: Sequence[str], *, acknowledged: int) -> Check:
    """Whether a person must still see to something.

    Args:
        open_alarms: Kind and subject of each that is open.
        acknowledged: How many a person has seen to.
    """
    if open_alarms:
        message = f"{len(open_alarms)} alarms: {', '.join(open_alarms[:5])}."
        return Check("alarms", Health.PROBLEM, message, "Run: edocnode alarms list --open")
    if acknowledged:
        message = f"No alarm is open; {acknowledged} were acknowledged."
        return Check("alarms", Health.OK, message)
    return Check("alarms", Health.OK, "There is no alarm.")


def judge_disk(free_bytes: int, path: str) -> Check:
    """Whether there is room for documents."""
    if free_bytes < MIN_FREE_BYTES:
        message = f"{path} has {free_bytes / GIB:.2f} GiB free."
        return Check("disk", Health.PROBLEM, message, f"Make room, and see: df -h {path}")
    return Check("disk", Health.OK, f"{path} has {free_bytes / GIB:.1f} GiB free.")


def judge_fsync(seconds: float, path: str) -> Check:
    """Whether the disk keeps a write in bearable time."""
    took = f"{seconds * 1000:.0f}"
    if seconds > SLOW_FSYNC_S:
        message = f"The disk under {path} took {took} ms to keep a write."
        return Check("fsync", Health.PROBLEM, message, "See what else writes: iostat -x 1 5")
    return Check("fsync", Health.OK, f"The disk keeps a write in {took} ms.")


def has_problem(checks: Sequence[Check]) -> bool:
    """Whether somebody must do something."""
    return any(check.health is Health.PROBLEM for check in checks)
