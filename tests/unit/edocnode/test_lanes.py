"""Urgent work goes first, and never all of it."""

from hypothesis import given
from hypothesis import strategies as st

from edocnode.domain.lanes import SHARE, TRANSFERS, ByLane, shared
from edocnode.domain.model import Lane


def batch(waiting: list[Lane], limit: int) -> list[Lane]:
    """A batch out of what waits, as the tables give it."""
    ordered = sorted(waiting)

    def below(lane: Lane, count: int) -> list[Lane]:
        return [item for item in ordered if item > lane][:count]

    first = ordered[:limit]
    return shared(first, limit, below, last=first[-1]) if first else []


def test_the_most_urgent_fill_the_batch_but_for_a_share() -> None:
    taken = batch([Lane.HOA_TOC] * 1_000 + [Lane.NORMAL] * 1_000, 400)
    assert taken.count(Lane.NORMAL) == 400 // SHARE
    assert taken == sorted(taken)
    assert len(taken) == 400


def test_the_share_of_lanes_that_want_none_is_used_by_the_urgent() -> None:
    assert batch([Lane.HOA_TOC] * 1_000, 400) == [Lane.HOA_TOC] * 400
    taken = batch([Lane.HOA_TOC] * 1_000 + [Lane.KHAN], 400)
    assert taken == [Lane.HOA_TOC] * 399 + [Lane.KHAN]


@given(st.lists(st.sampled_from(Lane), max_size=60), st.integers(1, 20))
def test_nothing_waits_for_ever_and_places_stay_empty_only_when_nothing_waits(
    waiting: list[Lane], limit: int
) -> None:
    rounds = 0
    while waiting:
        taken = batch(waiting, limit)
        assert 0 < len(taken) == min(limit, len(waiting))
        if limit > 1 and max(waiting) is not min(waiting) and len(waiting) > limit:
            assert len({*taken}) > 1 or taken[0] is max(waiting)
        for item in taken:
            waiting.remove(item)
        rounds += 1
    assert rounds <= 60


@given(st.lists(st.sampled_from(Lane), max_size=60), st.integers(1, 20))
def test_what_waits_in_memory_is_taken_as_the_tables_give_it(
    waiting: list[Lane], limit: int
) -> None:
    in_memory: ByLane[int, Lane] = ByLane()
    left = dict(enumerate(waiting))
    for key, lane in left.items():
        in_memory.add(lane, "G01", key, lane)
    while left:
        taken = in_memory.first(limit)
        assert taken == batch(list(left.values()), limit)
        for lane in taken:
            key = next(key for key, its in left.items() if its is lane)
            in_memory.drop(key)
            del left[key]
        assert len(in_memory) == len(left)
    assert in_memory.first(limit) == []


agencies = st.lists(st.sampled_from(["G01", "G02", "G03", "H29", "H30"]), min_size=1, max_size=60)


@given(agencies, st.integers(1, 20))
def test_what_waits_for_one_agency_holds_up_no_other(waiting: list[str], limit: int) -> None:
    in_memory: ByLane[int, tuple[str, int]] = ByLane()
    left = dict(enumerate(waiting))
    for key, agency in left.items():
        in_memory.add(Lane.NORMAL, agency, key, (agency, key))
    while left:
        taken = in_memory.first(limit)
        assert len(taken) == len(set(taken)) == min(limit, len(left))
        share = limit // len(set(left.values()))
        for agency in set(left.values()):
            oldest = [key for key, its in left.items() if its == agency]
            got = [key for its, key in taken if its == agency]
            assert got == oldest[: len(got)]
            assert len(got) >= min(share, len(oldest))
        for _, key in taken:
            in_memory.drop(key)
            del left[key]


def test_a_late_document_to_another_agency_goes_with_the_next_group() -> None:
    in_memory: ByLane[int, str] = ByLane()
    for key in range(10_000):
        in_memory.add(Lane.NORMAL, "G01", key, "G01")
    in_memory.add(Lane.NORMAL, "H30", 10_000, "H30")
    assert in_memory.first(400).count("H30") == 1
    many: ByLane[int, int] = ByLane()
    for key in range(1_000):
        many.add(Lane.NORMAL, f"A{key % 500}", key, key % 500)
    served = set()
    for _ in range(2):  # more agencies than places: the others come next
        taken = many.first(400)
        served |= set(taken)
        for key in taken:
            many.drop(key)
    assert len(served) == 500


def test_no_lane_waits_for_the_large_documents_of_another() -> None:
    assert set(TRANSFERS) == set(Lane)
    assert min(TRANSFERS.values()) > 0
