from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edoccore.directory.layout import AgencyState
from edoccore.directory.state import judge
from edocnode.domain import directory as rules
from edocnode.domain.directory import RefreshPlan, alarms_of, own_changes
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


def add_a_seal(nation: Nation) -> None:
    """The registry issues another certificate for H29."""
    nation.replace_seal("H29")


def suspend(nation: Nation) -> None:
    """The registry suspends H29."""
    nation.set_state("H29", AgencyState.SUSPENDED)


def take_a_code(nation: Nation) -> None:
    """The registry takes a code from H29."""
    nation.entries["H29"] = replace(nation.entries["H29"], owns=())


def remove(nation: Nation) -> None:
    """The registry forgets H29."""
    nation.remove("H29")


@pytest.mark.parametrize("change", [add_a_seal, suspend, take_a_code, remove])
def test_t06_a_node_notices_what_the_registry_changes_in_its_entry(
    nation: Nation, change: Callable[[Nation], None]
) -> None:
    old = nation.directory()
    assert own_changes("H29", old, nation.directory()) == []
    change(nation)
    assert len(own_changes("H29", old, nation.directory())) == 1


def test_changes_of_others_are_no_own_changes(nation: Nation) -> None:
    old = nation.directory()
    nation.add_agency("G01", "Bộ")
    assert own_changes("H29", old, nation.directory()) == []
    assert own_changes("H99", old, nation.directory()) == []


def test_t06_a_node_asks_for_its_next_seal_and_is_not_alarmed_by_it_alone(nation: Nation) -> None:
    old = nation.directory()
    nation.replace_seal("H29")
    asked_for = nation.agencies["H29"].digests[0]
    assert own_changes("H29", old, nation.directory(), {asked_for}) == []
    nation.replace_seal("H29")
    (told,) = own_changes("H29", old, nation.directory(), {asked_for})
    assert nation.agencies["H29"].digests[0] in told
    assert "did not ask" in told
