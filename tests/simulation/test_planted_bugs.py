"""The simulation finds each planted bug within a few seeds: so it would find the next one too."""

from dataclasses import replace

import pytest

from tests.simulation.node import Kinds
from tests.simulation.planted import PLANTED, SEEDS
from tests.simulation.world import Plan, reform_plan, simulate


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str) -> None:
    planted = PLANTED[bug]
    for tried, seed in enumerate(range(planted.first, planted.first + SEEDS), 1):
        plan = reform_plan(seed) if planted.reform else Plan(seed=seed)
        report = simulate(replace(plan, kinds=planted.kinds))
        seen = [text for text in report.violations if text.startswith(planted.seen)]
        if seen:
            print(f"{bug}: found by seed {seed}, the {tried}. of at most {SEEDS}: {seen[0]}")
            return
    pytest.fail(f"{bug}: not found by {SEEDS} seeds from {planted.first} on")


@pytest.mark.slow
def test_a_node_that_hears_late_of_its_end_is_stopped_by_its_peers() -> None:
    """The first half of a planted bug: its peers' check alone keeps what it seals from them."""
    bug = PLANTED["sealed after the end taken"]
    kinds = Kinds(keeper=bug.kinds.keeper)
    assert simulate(replace(reform_plan(bug.first), kinds=kinds)).violations == []
