import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.directory.state import judge
from edocnode.domain import directory as rules
from edocnode.domain.directory import RefreshPlan, alarms_of, whom_to_ask
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def nation() -> Nation:
    nation = Nation.create(NOW)
    nation.add_agency("H29", "Ủy ban nhân dân", owns=("H29.5",))
    return nation


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_attempts_get_rarer_with_failures_but_never_stop(failures: int, jitter: float) -> None:
    delay = RefreshPlan(failures=failures).delay(jitter)
    assert timedelta(seconds=22.5) <= delay <= rules.MAX_DELAY * 1.25


def test_nodes_do_not_all_ask_at_the_same_moment() -> None:
    plan = RefreshPlan()
    assert plan.delay(0) == timedelta(seconds=22.5)
    assert plan.delay(1) == timedelta(seconds=37.5)


def test_one_answer_ends_the_backoff() -> None:
    plan = RefreshPlan()
    for _ in range(5):
        plan.failed()
    assert plan.delay(0.5) == rules.MAX_DELAY
    plan.succeeded()
    assert plan.delay(0.5) == timedelta(seconds=30)


def test_a_peer_gives_rise_to_one_fetch_a_minute() -> None:
    plan = RefreshPlan()
    assert plan.may_ask("H29", NOW)
    assert not plan.may_ask("H29", NOW + timedelta(seconds=59))
    assert plan.may_ask("G01", NOW + timedelta(seconds=59))
    assert plan.may_ask("H29", NOW + timedelta(seconds=60))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [2, 63, 3500])
def test_what_one_node_has_reaches_all_in_a_few_rounds_of_questions(nodes: int, seed: int) -> None:
    chance = random.Random(seed)
    codes = [str(number) for number in range(nodes)]
    having, rounds = {codes[0]}, 0
    while len(having) < nodes:
        asked = {code: whom_to_ask(codes, chance.random) for code in codes}
        assert all(len(found) == min(rules.PEERS_ASKED, nodes) for found in asked.values())
        having |= {code for code, found in asked.items() if having & set(found)}
        rounds += 1
    assert rounds <= 12


@pytest.mark.parametrize(
    ("days", "kinds"),
    [
        (0, set()),
        (2, {rules.STALE}),
        (36, {rules.STALE, rules.OFFICERS}),
        (46, {rules.EXPIRED}),
    ],
)
def test_people_are_told_what_the_age_of_the_directory_means(
    nation: Nation, days: int, kinds: set[str]
) -> None:
    state = judge(nation.directory(), NOW + timedelta(days=days))
    assert set(alarms_of(state)) == kinds
