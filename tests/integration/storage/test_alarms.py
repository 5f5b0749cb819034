"""What a person must know, kept: what ends, what lasts, what was acknowledged, on each database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from edocnode.domain.alarms import MOST_OPEN, Acknowledgement, Alarm
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import NOW

SECOND = timedelta(seconds=1)
WORD = Acknowledgement(actor="Trần Lan", reason="Đã rõ nguyên nhân", at=NOW + 9 * SECOND)
SALT, EFFECT = b"s" * 16, b'{"kind":"alarm.acknowledged"}'


async def forked(store: NodeStore, proof: str, at: timedelta = timedelta(0)) -> None:
    await store.raise_alarm("LOG_FORKED", "log", f"two logs: {proof}", NOW + at, proof)


async def acknowledge(store: NodeStore, alarm: Alarm, word: Acknowledgement = WORD) -> Alarm | None:
    done = await store.acknowledge(alarm, word, salt=SALT, effect=EFFECT)
    return None if done is None else done.alarm


async def effects(store: NodeStore) -> int:
    rows = await store._database.aread(
        lambda connection: connection.exec_driver_sql("SELECT data FROM effect").all()
    )
    return sum(bytes(row[0]) == EFFECT for row in rows)


async def test_an_alarm_is_raised_once_updated_and_cleared(store: NodeStore) -> None:
    await store.raise_alarm("CLOCK_SKEW", "G01", "first", NOW)
    await store.raise_alarm("CLOCK_SKEW", "G01", "second", NOW + SECOND)
    await store.raise_alarm("CLOCK_SKEW", "H30", "other", NOW + SECOND)
    alarms = await store.alarms()
    told = [(alarm.subject, alarm.message, alarm.since, alarm.times) for alarm in alarms]
    assert told == [("G01", "second", NOW, 2), ("H30", "other", NOW + SECOND, 1)]
    assert alarms[0].last_at == NOW + SECOND
    await store.clear_alarm("CLOCK_SKEW", "G01")
    await store.clear_alarm("CLOCK_SKEW", "G01")
    assert [alarm.subject for alarm in await store.alarms()] == ["H30"]


async def test_an_acknowledgement_covers_its_proof_and_no_other(store: NodeStore) -> None:
    await forked(store, "a b")
    (first,) = await store.alarms()
    kept = await acknowledge(store, first)
    assert kept == replace(first, acknowledged=WORD)
    assert await store.alarms() == []
    await forked(store, "a b", SECOND)
    assert await store.alarms() == []  # the same again
    await forked(store, "a c", 2 * SECOND)
    (second,) = await store.alarms()
    assert (second.proof, second.since, second.times) == ("a c", NOW + 2 * SECOND, 1)
    counted = replace(first, acknowledged=WORD, times=2, last_at=NOW + SECOND)
    assert await store.every_alarm() == [counted, second]
    assert await store.alarms_about("LOG_FORKED", "log") == [counted, second]
    assert await store.alarms_about("LOG_FORKED", "another log") == []


async def test_what_lasts_is_not_ended_and_its_acknowledgement_is_never_changed(
    store: NodeStore,
) -> None:
    await forked(store, "a b")
    (alarm,) = await store.alarms()
    await store.clear_alarm("LOG_FORKED", "log")
    assert await store.alarms() == [alarm]
    kept = await acknowledge(store, alarm)
    again = await store.acknowledge(alarm, WORD, salt=SALT, effect=EFFECT)
    assert again is not None
    assert (again.alarm, again.repeated) == (kept, True)
    later = Acknowledgement(actor="Khác", reason="Lý do khác", at=WORD.at + SECOND)
    assert await acknowledge(store, alarm, later) == kept
    await store.clear_alarm("LOG_FORKED", "log")
    assert await store.every_alarm() == [kept]
    assert await effects(store) == 1


async def test_first_acknowledgement_is_no_repetition_whatever_its_moment(store: NodeStore) -> None:
    await forked(store, "a b")
    (alarm,) = await store.alarms()
    word = replace(WORD, at=WORD.at + timedelta(microseconds=123))  # kept in milliseconds
    done = await store.acknowledge(alarm, word, salt=SALT, effect=EFFECT)
    assert done is not None
    assert not done.repeated


async def test_what_ends_by_itself_is_never_acknowledged(store: NodeStore) -> None:
    await store.raise_alarm("CLOCK_SKEW", "G01", "off", NOW)
    (alarm,) = await store.alarms()
    assert await acknowledge(store, alarm) == alarm
    assert await store.alarms() == [alarm]
    assert await effects(store) == 0


async def test_thousands_of_proofs_fill_no_list_and_none_passes_for_acknowledged(
    store: NodeStore,
) -> None:
    for number in range(5 * MOST_OPEN):
        await forked(store, f"proof {number}", number * SECOND)
    alarms = await store.alarms()
    assert len(alarms) == MOST_OPEN
    assert sum(alarm.times for alarm in alarms) == 5 * MOST_OPEN
    assert alarms[-1].proof == f"proof {5 * MOST_OPEN - 1}"
    for alarm in alarms:
        await acknowledge(store, alarm)
    assert await store.alarms() == []
    await forked(store, f"proof {MOST_OPEN}", timedelta(days=1))  # was counted, never shown
    assert [alarm.proof for alarm in await store.alarms()] == [f"proof {MOST_OPEN}"]


async def test_alarm_that_gave_way_to_another_is_not_acknowledged_in_its_place(
    store: NodeStore,
) -> None:
    for number in range(MOST_OPEN):
        await forked(store, f"proof {number}", number * SECOND)
    seen = (await store.alarms())[-1]
    await forked(store, "not seen", timedelta(days=1))
    assert await acknowledge(store, seen) is None
    assert await effects(store) == 0
    assert "not seen" in {alarm.proof for alarm in await store.alarms()}


async def test_of_two_who_acknowledge_at_once_one_counts_and_both_are_told_whom(
    store: NodeStore,
) -> None:
    await forked(store, "a b")
    (alarm,) = await store.alarms()
    words = [replace(WORD, actor=f"người {number}") for number in range(6)]
    found = await asyncio.gather(
        *(acknowledge(store, alarm, word) for word in words),
        *(forked(store, "a b", SECOND) for _ in range(6)),
    )
    kept = [item for item in found if item is not None]
    assert len(kept) == len(words)
    assert len({item.acknowledged for item in kept}) == 1
    assert await effects(store) == 1
    assert await store.alarms() == []


@pytest.mark.parametrize(
    "url", ["sqlite-file", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_acknowledgement_outlives_a_restart_and_so_does_what_is_open(url: str) -> None:
    database = open_store(url)
    before = NodeStore(database)
    for proof in ("a b", "c d"):
        await forked(before, proof)
    await acknowledge(before, (await before.alarms())[0])
    kept = await before.every_alarm()
    database.close()
    database = open_store(url)
    try:
        after = NodeStore(database)
        assert await after.every_alarm() == kept
        await forked(after, "a b", SECOND)  # a start looks again
        assert [alarm.proof for alarm in await after.alarms()] == ["c d"]
    finally:
        database.close()


async def test_raising_what_lasts_without_its_proof_is_a_fault_of_the_program(
    store: NodeStore,
) -> None:
    with pytest.raises(ValueError, match="LOG_FORKED"):
        await forked(store, "")
    assert await store.alarms() == []
