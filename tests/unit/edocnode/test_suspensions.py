"""What people are told of an agency that floods."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from edoccore.errors import DiskFullError
from edocnode.domain import quotas
from edocnode.domain.quotas import FAULTS_AT_ONCE, HELD_AT_ONCE, CallQuotas
from edocnode.storage.store import NodeStore
from edocnode.workers import room, suspensions
from edocnode.workers.suspensions import PEER_SUSPENDED, Suspensions
from tests.support.nodes import utc_now
from tests.support.stores import open_in_memory


@pytest.fixture
async def store() -> AsyncIterator[NodeStore]:
    database = open_in_memory()
    yield NodeStore(database)
    database.close()


def flood(gate: Suspensions, agency: str) -> int:
    """Breaks off calls; returns how often its connection is cut."""
    return [gate.fault(agency) for _ in range(FAULTS_AT_ONCE + 10)].count(True)


async def test_one_flood_is_one_alarm_that_names_the_agency(store: NodeStore) -> None:
    gate = Suspensions(CallQuotas(), store, utc_now)
    assert flood(gate, "H29") == 1
    await gate.report()
    flood(gate, "H29")
    await gate.report()
    (alarm,) = await store.alarms()
    assert (alarm.kind, alarm.subject) == (PEER_SUSPENDED, "H29")
    assert "H29 floods this node" in alarm.message


async def test_the_alarm_ends_with_the_suspension(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspensions, "SUSPENSION_S", -1.0)
    gate = Suspensions(CallQuotas(), store, utc_now)
    flood(gate, "H29")
    await gate.report()
    assert await store.alarms() == []


async def test_who_goes_on_while_suspended_is_shut_out_at_once_and_let_in_when_it_was_quiet(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "SUSPENSION_S", 0.2)
    monkeypatch.setattr(suspensions, "SHUT_OUT_EVERY_S", 0.1)
    gate, told = Suspensions(CallQuotas(), store, utc_now), list[frozenset[str]]()
    gate.on_shut_out(told.append)
    flood(gate, "H29")
    assert told == []
    flood(gate, "H29")
    assert told == [{"H29"}]
    await gate.report()
    assert told == [{"H29"}]
    await asyncio.sleep(0.25)
    await gate.report()
    assert told == [{"H29"}, frozenset()]


async def test_a_full_disk_keeps_nobody_shut_out(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise DiskFullError

    monkeypatch.setattr(quotas, "SUSPENSION_S", 0.05)
    monkeypatch.setattr(suspensions, "SHUT_OUT_EVERY_S", 0.0)
    monkeypatch.setattr(store, "raise_alarm", full)
    gate, told = Suspensions(CallQuotas(), store, utc_now), list[frozenset[str]]()
    gate.on_shut_out(told.append)
    flood(gate, "H29")
    flood(gate, "H29")
    await asyncio.sleep(0.1)
    with pytest.raises(DiskFullError):
        await gate.report()
    assert told == [{"H29"}, frozenset()]


async def test_many_who_are_shut_out_one_after_another_are_told_together(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspensions, "SHUT_OUT_EVERY_S", 0.2)
    gate, told = Suspensions(CallQuotas(), store, utc_now), list[frozenset[str]]()
    gate.on_shut_out(told.append)
    for agency in ("H29", "H30", "H31"):
        flood(gate, agency)
        flood(gate, agency)
    await gate.report()
    assert told == [{"H29"}]
    await asyncio.sleep(0.25)
    await gate.report()
    assert told == [{"H29"}, {"H29", "H30", "H31"}]


async def test_a_full_disk_with_an_alarm_of_an_earlier_run_keeps_nobody_out(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "SUSPENSION_S", 0.2)
    monkeypatch.setattr(suspensions, "SHUT_OUT_EVERY_S", 0.1)
    monkeypatch.setattr(room, "LOOK_AGAIN", timedelta(seconds=0.05))
    await store.raise_alarm(PEER_SUSPENDED, "G01", "of an earlier run", utc_now())

    async def full(*_: object) -> None:
        raise DiskFullError("/data")

    monkeypatch.setattr(store, "clear_alarm", full)
    gate, told = Suspensions(CallQuotas(), store, utc_now), list[frozenset[str]]()
    gate.on_shut_out(told.append)
    running = asyncio.create_task(gate.run())
    flood(gate, "H29")
    flood(gate, "H29")
    assert told == [{"H29"}]
    await asyncio.sleep(1)
    assert told == [{"H29"}, frozenset()]
    monkeypatch.undo()
    await asyncio.sleep(0.2)
    assert "G01" not in {alarm.subject for alarm in await store.alarms()}
    running.cancel()


async def test_a_suspended_agency_waits_for_its_refusal_and_leaves_no_place_taken(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = CallQuotas()
    gate = Suspensions(counted, store, utc_now)
    await asyncio.wait_for(gate.hold("H29"), 0.5)
    flood(gate, "H29")
    left = asyncio.create_task(gate.hold("H29"))
    await asyncio.wait({left}, timeout=0.05)
    assert not left.done()
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    monkeypatch.setattr(suspensions, "HOLD_S", 0.0)
    for _ in range(HELD_AT_ONCE + 1):
        await gate.hold("H29")
    assert counted.hold("H29", asyncio.get_running_loop().time())


async def test_a_call_that_has_ended_leaves_room_for_the_next(store: NodeStore) -> None:
    gate = Suspensions(CallQuotas(), store, utc_now)
    gate.enter("H29", "Recover")
    gate.leave("H29", "Recover")
    gate.enter("H29", "Recover")
    assert not gate.fault("H29")
