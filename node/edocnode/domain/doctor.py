"""What ``edocnode doctor`` makes of what it measured: rules only, the probes are in ``app.doctor``.

What is normal is never a problem: a peer that is not reached is one, a stopped node is not, and
what could not be looked at is told as that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from edoccore.directory.state import DirectoryState, Freshness

CLOCK_LIMIT = timedelta(seconds=60)  # documents are refused from five minutes on
CERTIFICATE_DAYS = 21  # before its end: time for officers to act
MIN_FREE_BYTES = 1 << 30
SLOW_FSYNC_S = 2.0
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


def judge_certificate(code: str, *, ends: datetime, now: datetime, hint: str) -> Check:
    """Whether a certificate lasts long enough to be replaced in time."""
    left = (ends - now).days
    if now >= ends:
        message = f"The certificate ended on {ends:%Y-%m-%d}."
        return Check(code, Health.PROBLEM, message, hint)
    if left < CERTIFICATE_DAYS:
        message = f"The certificate ends in {left} days, on {ends:%Y-%m-%d}."
        return Check(code, Health.PROBLEM, message, hint)
    return Check(code, Health.OK, f"The certificate lasts {left} days more.")


def judge_directory(state: DirectoryState, version: int) -> Check:
    """Whether the directory is fresh, and officers have signed in time."""
    if state.freshness is Freshness.FRESH and not state.officers_alarm:
        message = (
            f"Version {version} is fresh; it lasts {state.days_left} days without the registry."
        )
        return Check("directory", Health.OK, message)
    reasons = " ".join(state.reasons)
    message = f"Version {version} is old; exchange stops in {state.days_left} days. {reasons}"
    if state.freshness is Freshness.EXPIRED:
        message = f"Version {version} has ended, and exchange stands still. {reasons}"
    hint = "At the registry, run: edocregistry status"
    return Check("directory", Health.PROBLEM, message.strip(), hint)


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
