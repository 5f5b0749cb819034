"""By when a document must be sent, delivered, acknowledged, taken in and dealt with.

The law counts in days of work and says "at once" for urgent documents. What "at once" means in
minutes no law says, so these limits are settings. What is judged here is what a node knows: the
day of issue, when the office handed a document in, when it was sealed, delivered, received, and
when people told what they did with it.

How the articles are read where they leave room:

- *Sent*: sealed by this node. A recipient's node that is down makes a delivery late, not a sending.
- *Morning of the next working day*: until ``morning_ends``, 12:00 unless set otherwise.
- *Receipt told the same day*: the sealed receipt, which a node gives by itself, tells that the
  document is there, not that anybody has seen it. So what counts is the clerk's first step,
  acceptance or refusal. What arrives after work or on a day off counts as arrived on the next
  working day, because nobody can see it sooner.
- *Registered the same day, at latest the next working day*: acceptance, until work ends.
- *Due date*: until work ends on that day; when it is a day off, on the next working day (Civil
  Code 91/2015/QH13, Article 148(5)).

Source: Decision 28/2018/QD-TTg, Article 6(2); Decree 30/2020/ND-CP, Articles 4(2), 18, 21(2), 23
and 24.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from edoccore.signing.statements import Urgency
from edocnode.domain.calendar import WorkingCalendar, at, day_in_viet_nam, end_of_day

LOOK_BACK = timedelta(days=400)  # what is older than this and still open is all the same overdue
_MILLISECOND = timedelta(milliseconds=1)


class DeadlineKind(StrEnum):
    """What must have happened."""

    SEND = "send"  # sealed here
    DELIVER = "deliver"  # at the recipient's node
    ACKNOWLEDGE = "acknowledge"  # the clerk's first step, on the day of arrival
    ACCEPT = "accept"  # the clerk's first step, at the latest
    FINISH = "finish"  # dealt with by the due date


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """How long each thing may take for documents of one urgency.

    Attributes:
        send: From signing to sealing; None: the day of the law.
        deliver: From sealing to the recipient's receipt.
        acknowledge: From arrival to the first step; None: the day of the law.
        accept: The same at the latest; None: the day of the law.
        around_the_clock: Nights and days off count; otherwise working hours alone.
    """

    send: timedelta | None
    deliver: timedelta
    acknowledge: timedelta | None
    accept: timedelta | None
    around_the_clock: bool


_MINUTE = timedelta(minutes=1)
DEFAULT_LIMITS: Mapping[Urgency, TimeLimit] = {
    Urgency.NORMAL: TimeLimit(
        send=None, deliver=240 * _MINUTE, acknowledge=None, accept=None, around_the_clock=True
    ),
    Urgency.KHAN: TimeLimit(
        send=60 * _MINUTE,
        deliver=60 * _MINUTE,
        acknowledge=120 * _MINUTE,
        accept=240 * _MINUTE,
        around_the_clock=False,
    ),
    Urgency.THUONG_KHAN: TimeLimit(
        send=30 * _MINUTE,
        deliver=30 * _MINUTE,
        acknowledge=60 * _MINUTE,
        accept=120 * _MINUTE,
        around_the_clock=False,
    ),
    Urgency.HOA_TOC: TimeLimit(
        send=10 * _MINUTE,
        deliver=10 * _MINUTE,
        acknowledge=15 * _MINUTE,
        accept=30 * _MINUTE,
        around_the_clock=True,
    ),
}  # no law says these figures: they are a beginning that each agency sets for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRules:
    """The calendar and limits of an agency.

    Attributes:
        morning_ends: Until when the morning of the next working day lasts.
    """

    calendar: WorkingCalendar
    limits: Mapping[Urgency, TimeLimit] = field(default_factory=lambda: DEFAULT_LIMITS)
    morning_ends: time = time(12)

    def send_by(self, signed: date, known_at: datetime, urgency: Urgency) -> datetime:
        """By when a document must be sealed.

        Args:
            signed: Day of issue, as the document states it.
            known_at: When the office handed it in: from then on, on the day of issue, an urgent
                one has its minutes; one handed in on a later day has had them.
        """
        limit = self.limits[urgency]
        if limit.send is None:
            return at(self.calendar.next_working_day(signed), self.morning_ends)
        return self._after(min(known_at, end_of_day(signed)), limit.send, limit)

    def deliver_by(self, sealed_at: datetime, urgency: Urgency) -> datetime:
        """By when a sealed document must have its receipt."""
        limit = self.limits[urgency]
        return self._after(sealed_at, limit.deliver, limit)

    def acknowledge_by(self, arrived_at: datetime, urgency: Urgency) -> datetime:
        """By when the clerk of the recipient must have taken the first step."""
        limit = self.limits[urgency]
        if limit.acknowledge is None:
            return end_of_day(self.calendar.day_worked(arrived_at))
        return self._after(arrived_at, limit.acknowledge, limit)

    def accept_by(self, arrived_at: datetime, urgency: Urgency) -> datetime:
        """By when a document must be registered, or given back, at the latest."""
        limit = self.limits[urgency]
        if limit.accept is None:
            arrived = self.calendar.day_worked(arrived_at)
            return self.calendar.end_of(self.calendar.next_working_day(arrived))
        return self._after(arrived_at, limit.accept, limit)

    def finish_by(self, due: date) -> datetime:
        """By when a document with a due date must be dealt with."""
        return self.calendar.end_of(self.calendar.working_day_from(due))

    def overdue_on(self, now: datetime) -> date:
        """The latest due date that is over."""
        today = day_in_viet_nam(now)
        for back in range(LOOK_BACK.days):
            day = today - timedelta(days=back)
            if self.finish_by(day) < now:
                return day
        raise AssertionError("a day of last year is over")

    def _after(self, moment: datetime, amount: timedelta, limit: TimeLimit) -> datetime:
        if limit.around_the_clock:
            return moment + amount
        return self.calendar.add_working_time(moment, amount)


def earliest(due: datetime, deliver_by: datetime | None) -> datetime:
    """A deadline, or the time at which the sender wants the document there, if that is sooner."""
    return due if deliver_by is None else min(due, deliver_by)


def latest_over(deadline: Callable[[datetime], datetime], now: datetime) -> datetime:
    """The latest beginning whose deadline is over: all that began until then is late.

    So that a database finds what is late by an index on its beginning, without looking at the rest.

    Args:
        deadline: Of a beginning; never sooner for a later one.

    Returns:
        Exact to the millisecond; 400 days ago when not even that is over.
    """
    low, high = now - LOOK_BACK, now
    if deadline(high) < now:
        return high
    while high - low > _MILLISECOND:
        middle = low + (high - low) / 2
        low, high = (middle, high) if deadline(middle) < now else (low, middle)
    return low
