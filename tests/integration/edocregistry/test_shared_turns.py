"""Threads share a turn: one publication for many changes, and no change disturbs another."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from edoccore.errors import DiskFullError, RequestInvalidError
from edocregistry.app.turns import SharedTurns
from edocregistry.domain.publication import Publication

CALLERS = 8


def gathered(turns, acts):
    """Runs acts at once while the first holds the turn, so that the others wait together."""
    inside, go_on = threading.Event(), threading.Event()

    def first(_turn):
        inside.set()
        assert go_on.wait(60)
        return "first"

    def outcome(act):
        try:
            return turns.run(act)[0]
        except (RequestInvalidError, DiskFullError) as error:
            return type(error)

    with ThreadPoolExecutor(len(acts) + 1) as pool:
        leading = pool.submit(outcome, first)
        assert inside.wait(60)
        waiting = [pool.submit(outcome, act) for act in acts]
        while len(turns._waiting) < len(acts):
            pass
        go_on.set()
        return [leading.result(), *(item.result() for item in waiting)]


def test_waiting_changes_share_one_publication(registry):
    published = []
    turns = SharedTurns(registry.folder, lambda _turn: published.append(1) or Publication())
    results = gathered(turns, [lambda _turn, n=n: n for n in range(CALLERS)])
    assert results == ["first", *range(CALLERS)]
    assert len(published) == 2


def test_change_that_fails_disturbs_no_other(registry):
    def refuse(_turn):
        raise RequestInvalidError

    turns = SharedTurns(registry.folder, lambda _turn: Publication())
    results = gathered(turns, [lambda _turn: 1, refuse, lambda _turn: 3])
    assert results == ["first", 1, RequestInvalidError, 3]


def test_when_all_are_refused_nothing_is_published(registry):
    published = []

    def refuse(_turn):
        raise RequestInvalidError

    turns = SharedTurns(registry.folder, lambda _turn: published.append(1) or Publication())
    with pytest.raises(RequestInvalidError):
        turns.run(refuse)
    assert published == []


def test_failed_publication_is_told_to_all_and_the_next_turn_works(registry):
    fail = True

    def publish(_turn):
        if fail:
            raise DiskFullError
        return Publication(version=7)

    turns = SharedTurns(registry.folder, publish)
    results = gathered(turns, [lambda _turn: 1, lambda _turn: 2])
    assert results == [DiskFullError] * 3
    fail = False
    assert turns.run(lambda _turn: "again")[1].version == 7
