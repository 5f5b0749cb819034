"""Statistics are counted when a node has nothing better to do, and in the end in any case."""

import asyncio
import time

import pytest

from edocnode.workers import counting


@pytest.mark.parametrize(("used_s", "rests"), [(0.0, 1), (0.4, 1), (0.6, 10), (2.0, 10)])
async def test_a_busy_node_rests_longer_between_two_batches(
    monkeypatch: pytest.MonkeyPatch, used_s: float, rests: int
) -> None:
    """A second passes in each rest, of which the node used so much of one processor."""
    used, slept = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        used[0] += used_s

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "process_time", lambda: used[0])
    await counting._rest(1.0)
    assert slept == [1.0] * rests
