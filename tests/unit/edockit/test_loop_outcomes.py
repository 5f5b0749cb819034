"""Outcomes of another thread: all of a group with one wake-up of the loop, whoever is cancelled."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from edockit.loop_outcomes import LoopOutcomes


async def test_a_group_is_told_with_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, futures = LoopOutcomes(), [Future[int]() for _ in range(50)]
    waiting = [asyncio.ensure_future(outcomes.of(future)) for future in futures]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    woken = []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(
        loop, "call_soon_threadsafe", lambda *words: (woken.append(words), wake(*words))[1]
    )

    def settle() -> None:
        with outcomes.together():
            for number, future in enumerate(futures):
                future.set_result(number)

    thread = threading.Thread(target=settle)
    thread.start()
    assert await asyncio.gather(*waiting) == list(range(50))
    thread.join()
    assert len(woken) == 1


async def test_an_outcome_that_a_future_refuses_keeps_no_other_from_its_own() -> None:
    outcomes, futures = LoopOutcomes(), [Future[int]() for _ in range(2)]
    waiting = [asyncio.ensure_future(outcomes.of(future)) for future in futures]
    await asyncio.sleep(0)
    futures[0].set_exception(StopIteration())
    futures[1].set_result(7)
    assert await asyncio.wait_for(waiting[1], 60) == 7
    with pytest.raises(RuntimeError, match="iterator ended") as told:
        await waiting[0]
    assert isinstance(told.value.__cause__, StopIteration)


async def test_each_is_told_what_became_of_its_own() -> None:
    outcomes, futures = LoopOutcomes(), [Future[int]() for _ in range(3)]
    waiting = [asyncio.ensure_future(outcomes.of(future)) for future in futures]
    await asyncio.sleep(0)
    futures[0].set_result(7)
    futures[1].set_exception(KeyError("gone"))
    assert futures[2].cancel()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert told[0] == 7
    assert isinstance(told[1], KeyError)
    assert isinstance(told[2], asyncio.CancelledError)


async def test_who_leaves_cancels_what_has_not_begun_and_disturbs_nobody() -> None:
    outcomes, left, stayed = LoopOutcomes(), Future[int](), Future[int]()
    leaving = asyncio.ensure_future(outcomes.of(left))
    staying = asyncio.ensure_future(outcomes.of(stayed))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert left.cancelled()
    stayed.set_result(1)
    assert await staying == 1


async def test_a_failure_while_a_group_is_settled_leaves_nobody_waiting() -> None:
    outcomes, future = LoopOutcomes(), Future[int]()
    waiting = asyncio.ensure_future(outcomes.of(future))
    await asyncio.sleep(0)

    def settle() -> None:
        with outcomes.together():
            future.set_result(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(settle)
    assert await asyncio.wait_for(waiting, 60) == 1


def test_a_loop_that_has_ended_stops_nobody() -> None:
    outcomes, future = LoopOutcomes(), Future[int]()

    async def leave() -> None:
        leaving = asyncio.ensure_future(outcomes.of(future))
        await asyncio.wait([leaving], timeout=0)

    future.set_running_or_notify_cancel()
    asyncio.run(leave())
    with outcomes.together():
        future.set_result(1)
