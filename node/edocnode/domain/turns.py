"""Whose work comes next when several agencies wait for the same desk or disk.

Deficit round robin: in each round every agency that waits gets the same credit (times its weight),
a turn costs what it carries, and whoever has no credit left waits for the next round. Inside a
round the most urgent work goes first, so an agency that marks everything urgent gets its share
earlier, never more of it. Nobody waits for an agency that wants nothing: alone, one gets all there
is. While others want something too, each has little in work at a time, so that a newcomer never
waits behind a flood. Moments are seconds on any clock that never goes back.

Source: M. Shreedhar, G. Varghese, Efficient Fair Queuing using Deficit Round-Robin, 1996;
proto/README.md, section Quotas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from edoccore.signing.statements import Urgency
from edocnode.domain.exchange import Parcel

CROWD_S = 2.0  # an agency that wanted something so lately still counts as wanting
OLDEST_EACH = 4  # of an agency's turns, one in so many goes to what has waited longest
PARCEL_BYTES = 4096  # what checking and keeping a parcel costs besides its bytes, as bytes
_URGENCIES = [Urgency.HOA_TOC, Urgency.THUONG_KHAN, Urgency.KHAN]
_MARKS = [f'"urgency":"{urgency}"'.encode() for urgency in _URGENCIES]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much is in work or waits, in the unit of costs (bytes, by all who use this).

    Attributes:
        in_work: Of all agencies together.
        alone: Of an agency while no other wants anything; below ``in_work``, so that a newcomer
            finds room at once.
        crowded: Of an agency while others want something; also its credit in a round.
        piece: In one turn while others want something; alone, a turn takes a whole job.
    """

    in_work: int
    alone: int
    crowded: int
    piece: int


@dataclass(slots=True, eq=False)
class Job(Generic[Item]):
    """Work that one agency asked for; it may be done in several turns."""

    agency: str
    item: Item
    costs: Sequence[int]
    urgency: int
    number: int
    begun: int = 0  # how many of the costs are in work or done


@dataclass(frozen=True, slots=True)
class Turn(Generic[Item]):
    """A piece of a job that may be worked on now: costs ``start`` to ``stop``."""

    job: Job[Item]
    start: int
    stop: int

    @property
    def cost(self) -> int:
        """What it takes."""
        return sum(self.job.costs[self.start : self.stop])


@dataclass(slots=True)
class _Queue(Generic[Item]):
    """One agency's own."""

    jobs: list[Job[Item]] = field(default_factory=list)  # oldest first
    in_work: int = 0
    credit: int = 0
    round: int = -1  # in which it got credit last
    turns: int = 0
    wanted: float = 0.0  # when it last had work

    def wants(self, now: float) -> bool:
        """Whether it has work, or had some a moment ago."""
        return bool(self.jobs) or self.in_work > 0 or now - self.wanted < CROWD_S


class Turns(Generic[Item]):
    """Gives turns, fairly by cost."""

    def __init__(self, limits: TurnLimits, weight: Callable[[str], int] = lambda _: 1) -> None:
        """Takes the limits.

        Args:
            limits: In any unit; those of one agency are times its weight.
            weight: Of an agency, at least 1.
        """
        self._limits = limits
        self._weight = weight
        self._queues: dict[str, _Queue[Item]] = {}
        self._waiting: dict[str, _Queue[Item]] = {}  # those of them that have jobs
        self._in_work = 0
        self._round = 0
        self._numbers = count()

    def ask(
        self, agency: str, item: Item, costs: Sequence[int], *, urgency: int, now: float
    ) -> Job[Item]:
        """Puts work in the queue of its agency.

        Args:
            agency: For whom.
            item: Handed back with its turns.
            costs: Of its smallest pieces, in order, each at least 1; there is one at least.
            urgency: The higher, the earlier among the agency's own and inside a round.
            now: This moment.
        """
        queue = self._queues.setdefault(agency, _Queue())
        if queue.round < self._round and not queue.jobs:
            self._give_credit(agency, queue)
        job = Job(agency, item, costs, urgency, next(self._numbers))
        queue.jobs.append(job)
        queue.wanted = now
        self._waiting[agency] = queue
        return job

    def next(self, now: float) -> Turn[Item] | None:
        """Begins the next turn; None when nothing waits, or nothing more may be begun now."""
        if not self._waiting:
            return None
        crowded = self._is_crowded(now)
        able = [
            (agency, queue)
            for agency, queue in self._waiting.items()
            if self._room(agency, queue, crowded=crowded) > 0
        ]
        if not able:
            return None
        with_credit = [pair for pair in able if pair[1].credit > 0]
        while not with_credit:
            self._begin_round(now)
            with_credit = [pair for pair in able if pair[1].credit > 0]
        agency, queue = min(with_credit, key=_order)
        room = self._room(agency, queue, crowded=crowded)
        most = min(room, queue.credit, self._limits.piece) if crowded else room
        return self._begin(queue, most)

    def done(self, turn: Turn[Item], now: float) -> None:
        """Notes that the work of a turn has ended."""
        queue = self._queues[turn.job.agency]
        queue.in_work -= turn.cost
        queue.wanted = now
        self._in_work -= turn.cost

    def drop(self, job: Job[Item]) -> None:
        """Forgets what still waits of a job: nobody wants it any more."""
        queue = self._queues.get(job.agency)
        if queue is not None and job in queue.jobs:
            self._remove(queue, job)

    def _begin(self, queue: _Queue[Item], room: int) -> Turn[Item]:
        """Takes at most so much of the job that is next, but one piece at least."""
        job = _pick(queue)
        start, stop, cost = job.begun, job.begun, 0
        while stop < len(job.costs) and (stop == start or cost + job.costs[stop] <= room):
            cost += job.costs[stop]
            stop += 1
        job.begun = stop
        if stop == len(job.costs):
            self._remove(queue, job)
        queue.turns += 1
        queue.in_work += cost
        queue.credit -= cost
        self._in_work += cost
        return Turn(job, start, stop)

    def _remove(self, queue: _Queue[Item], job: Job[Item]) -> None:
        queue.jobs.remove(job)
        if not queue.jobs:
            del self._waiting[job.agency]

    def _room(self, agency: str, queue: _Queue[Item], *, crowded: bool) -> int:
        """How much more of an agency may be in work."""
        own = self._limits.crowded if crowded else self._limits.alone
        return min(own * self._weight(agency) - queue.in_work, self._limits.in_work - self._in_work)

    def _is_crowded(self, now: float) -> bool:
        """Whether two agencies or more want something, or did a moment ago."""
        if len(self._waiting) > 1:
            return True
        wanting = 0
        for agency, queue in list(self._queues.items()):
            if queue.wants(now):
                wanting += 1
            else:
                del self._queues[agency]
            if wanting > 1:
                return True
        return False

    def _begin_round(self, now: float) -> None:
        self._round += 1
        self._queues = {code: item for code, item in self._queues.items() if item.wants(now)}
        for agency, queue in self._waiting.items():
            self._give_credit(agency, queue)

    def _give_credit(self, agency: str, queue: _Queue[Item]) -> None:
        """Once a round; what was not used in an earlier one is not saved up."""
        share = self._limits.crowded * self._weight(agency)
        queue.credit = min(queue.credit + share, share)
        queue.round = self._round


def parcel_cost(parcel: Parcel) -> int:
    """What a parcel takes of its agency's share, bytes."""
    return PARCEL_BYTES + len(parcel.envelope.statement) + len(parcel.parts)


def batch_urgency(parcels: Sequence[Parcel]) -> int:
    """The highest urgency in a batch, as its sender states it unverified; 0 is normal.

    Read from the canonical bytes, in which a quotation mark inside a text is escaped.
    """
    for rank, mark in enumerate(_MARKS):
        if any(mark in parcel.envelope.statement for parcel in parcels):
            return len(_MARKS) - rank
    return 0


def _order(pair: tuple[str, _Queue[Item]]) -> tuple[int, int, int]:
    """The most urgent first, then whoever has used least of the round, then the oldest."""
    queue = pair[1]
    return (-max(job.urgency for job in queue.jobs), -queue.credit, queue.jobs[0].number)


def _pick(queue: _Queue[Item]) -> Job[Item]:
    if queue.turns % OLDEST_EACH == OLDEST_EACH - 1:
        return queue.jobs[0]
    return min(queue.jobs, key=lambda job: (-job.urgency, job.number))
