"""Who comes next: shares, urgency inside a share, nothing idle, nobody waits for ever."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edocnode.domain.turns import CROWD_S, Job, Turn, TurnLimits, Turns

LIMITS = TurnLimits(in_work=160, alone=80, crowded=10, piece=5)
URGENT = 3


@dataclass
class Desk:
    """Work in turns, ended when the test says so."""

    weights: dict[str, int] = field(default_factory=dict)
    limits: TurnLimits = LIMITS
    now: float = 0.0
    in_work: list[Turn[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns: Turns[str] = Turns(self.limits, lambda agency: self.weights.get(agency, 1))

    def ask(self, agency: str, costs: Sequence[int], urgency: int = 0) -> Job[str]:
        return self.turns.ask(agency, agency, costs, urgency=urgency, now=self.now)

    def begin_all(self) -> list[Turn[str]]:
        begun = []
        while (turn := self.turns.next(self.now)) is not None:
            begun.append(turn)
        self.in_work += begun
        return begun

    def end(self, turn: Turn[str]) -> None:
        self.in_work.remove(turn)
        self.turns.done(turn, self.now)

    def serve(self, turns: int) -> Counter[str]:
        """Ends the oldest work, begins what may be begun; returns costs by agency."""
        served: Counter[str] = Counter()
        self.begin_all()
        for _ in range(turns):
            if not self.in_work:
                break
            turn = self.in_work[0]
            served[turn.job.agency] += turn.cost
            self.end(turn)
            self.begin_all()
        return served


def test_alone_an_agency_gets_whole_jobs_and_all_that_one_may_have() -> None:
    desk = Desk()
    for _ in range(8):
        desk.ask("H29", [1] * 20)
    begun = desk.begin_all()
    assert [turn.cost for turn in begun] == [20, 20, 20, 20]


def test_a_newcomer_begins_at_once_beside_a_flood() -> None:
    desk = Desk()
    for _ in range(40):
        desk.ask("H29", [1] * 20)
    desk.begin_all()
    desk.ask("G01", [1])
    (turn,) = desk.begin_all()
    assert turn.job.agency == "G01"


def test_in_a_crowd_each_has_little_in_work_in_small_pieces() -> None:
    desk = Desk()
    desk.ask("G01", [1])
    for _ in range(10):
        desk.ask("H29", [1] * 20)
    begun = sorted((turn.job.agency, turn.cost) for turn in desk.begin_all())
    assert begun == [("G01", 1), ("H29", 5), ("H29", 5)]


def test_a_crowd_is_over_when_the_others_have_been_quiet() -> None:
    desk = Desk()
    desk.ask("G01", [1])
    desk.serve(1)
    desk.ask("H29", [1] * 80)
    assert sum(turn.cost for turn in desk.begin_all()) == 10
    desk.now += CROWD_S
    desk.end(desk.in_work[0])
    assert sum(turn.cost for turn in desk.begin_all()) == 70


def test_shares_are_equal_however_the_work_is_cut() -> None:
    desk = Desk(limits=TurnLimits(in_work=10, alone=10, crowded=10, piece=10))
    for _ in range(300):
        desk.ask("H29", [10])
        desk.ask("G01", [1] * 10)
        desk.ask("G02", [3, 3, 3])
    served = desk.serve(400)
    assert max(served.values()) <= min(served.values()) + 3 * 10


def test_a_weight_multiplies_a_share() -> None:
    limits = TurnLimits(in_work=10, alone=10, crowded=10, piece=10)
    desk = Desk({"H29": 3}, limits)
    for _ in range(400):
        desk.ask("H29", [5])
        desk.ask("G01", [5])
    served = desk.serve(400)
    assert served["H29"] == pytest.approx(3 * served["G01"], rel=0.05)


def test_urgent_work_comes_first_among_the_agency_s_own() -> None:
    desk = Desk(limits=TurnLimits(in_work=1, alone=1, crowded=1, piece=1))
    desk.ask("H29", [1])
    desk.ask("H29", [1])
    urgent = desk.ask("H29", [1], URGENT)
    assert desk.begin_all()[0].job is urgent


def test_urgent_work_of_one_goes_before_normal_work_of_others_in_a_round() -> None:
    desk = Desk(limits=TurnLimits(in_work=1, alone=1, crowded=1, piece=1))
    for number in range(9):
        desk.ask(f"G0{number}", [1])
    urgent = desk.ask("H29", [1], URGENT)
    assert desk.begin_all()[0].job is urgent


def test_marking_everything_urgent_gains_nothing_over_the_own_share() -> None:
    desk = Desk(limits=TurnLimits(in_work=10, alone=10, crowded=10, piece=10))
    for _ in range(300):
        desk.ask("H29", [5], URGENT)
        desk.ask("G01", [5])
    served = desk.serve(300)
    assert abs(served["H29"] - served["G01"]) <= 2 * 10


def test_normal_work_of_an_agency_that_sends_urgent_work_all_the_time_is_done_too() -> None:
    desk = Desk(limits=TurnLimits(in_work=1, alone=1, crowded=1, piece=1))
    normal = desk.ask("H29", [1])
    seen = []
    for _ in range(20):
        desk.ask("H29", [1], URGENT)
        (turn,) = desk.begin_all()
        seen.append(turn.job)
        desk.end(turn)
    assert normal in seen


def test_leaving_and_coming_back_gives_no_credit_twice_in_a_round() -> None:
    limits = TurnLimits(in_work=10, alone=10, crowded=10, piece=10)
    desk, served = Desk(limits=limits), Counter[str]()
    for _ in range(500):
        desk.ask("G01", [10])
        desk.ask("G02", [10])
    desk.ask("H29", [10])
    asked = 10
    for _ in range(200):  # its queue is empty after each turn
        served.update(desk.serve(1))
        if served["H29"] == asked:
            desk.ask("H29", [10], URGENT)
            asked += 10
    assert served["H29"] <= served["G01"] + 20


def test_one_piece_larger_than_all_that_may_be_in_work_is_done_alone() -> None:
    desk = Desk(limits=TurnLimits(in_work=5, alone=5, crowded=5, piece=5))
    desk.ask("H29", [50])
    (turn,) = desk.begin_all()
    assert turn.cost == 50


def test_what_nobody_wants_any_more_is_forgotten() -> None:
    desk = Desk()
    job = desk.ask("H29", [1] * 200)
    (turn,) = desk.begin_all()
    desk.turns.drop(job)
    desk.end(turn)
    assert desk.begin_all() == []
    desk.turns.drop(job)  # again: nothing


AGENCY = st.sampled_from(["H29", "G01", "G02", "G03"])
COSTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), AGENCY, COSTS, st.integers(0, 3)),
        st.tuples(st.just("begin")),
        st.tuples(st.just("end"), st.integers(0, 50)),
        st.tuples(st.just("drop"), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.floats(0, 2 * CROWD_S)),
    ),
    max_size=80,
)


class Chance(Desk):
    """A desk at which anything happens in any order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.jobs: list[Job[str]] = []
        self.reached: Counter[int] = Counter()
        self.dropped: set[int] = set()

    def step(self, step: tuple) -> None:
        match step:
            case ("ask", agency, costs, urgency):
                self.jobs.append(self.ask(agency, costs, urgency))
            case ("begin",):
                self.begin()
            case ("end", index) if self.in_work:
                self.end(self.in_work[index % len(self.in_work)])
            case ("drop", index) if self.jobs:
                job = self.jobs[index % len(self.jobs)]
                self.turns.drop(job)
                self.dropped.add(job.number)
            case ("wait", seconds):
                self.now += seconds

    def begin(self) -> None:
        for turn in self.begin_all():
            assert turn.start < turn.stop <= len(turn.job.costs)
            assert self.reached[turn.job.number] == turn.start
            self.reached[turn.job.number] = turn.stop
        most = self.limits.in_work + 30  # over it by one piece
        assert sum(turn.cost for turn in self.in_work) <= most
        if not self.in_work:
            for job in self.jobs:
                assert self.reached[job.number] == len(job.costs) or job.number in self.dropped


@given(STEPS)
def test_every_piece_is_done_once_and_nothing_is_ever_stuck(steps: list[tuple]) -> None:
    desk = Chance(limits=TurnLimits(in_work=60, alone=40, crowded=20, piece=20))
    for step in steps:
        desk.step(step)
    desk.begin()
    while desk.in_work:
        desk.end(desk.in_work[0])
        desk.begin()


@given(
    st.lists(st.tuples(AGENCY, COSTS, st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(1, 30),
)
def test_of_two_that_always_want_something_none_gets_much_more(
    asked: list[tuple[str, list[int], int]], rounds: int
) -> None:
    limits = TurnLimits(in_work=30, alone=30, crowded=30, piece=30)
    desk = Desk(limits=limits)
    agencies = sorted({agency for agency, _, _ in asked})
    by_agency = {
        agency: [(costs, urgency) for who, costs, urgency in asked if who == agency]
        for agency in agencies
    }
    for agency in agencies:
        while sum(sum(costs) for costs, _ in by_agency[agency]) < 2 * 30 * rounds * len(agencies):
            by_agency[agency] *= 2
        for costs, urgency in by_agency[agency]:
            desk.ask(agency, costs, urgency)
    served = desk.serve(rounds * len(agencies))
    shares = [served[agency] for agency in agencies]
    assert max(shares) - min(shares) <= 3 * 30
