"""What many peers sent at one moment is kept in one write, and each gets the answer to its own."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from edoccore.errors import StorageFailedError
from edocnode.domain.model import Arrival, KeepKind, KeepOutcome
from edocnode.storage.store import NodeStore
from edocnode.workers import keeping as keeping_module
from edocnode.workers.keeping import CROWD, SMALL, TOGETHER, KeepingTogether
from tests.integration.storage.offices import Office, arrival, submission


class Watched:
    """The real inbox, which notes how many arrivals each write had."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store
        self.writes: list[int] = []

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        self.writes.append(len(arrivals))
        return await self.store.keep(arrivals)


@pytest.fixture
def inbox(store: NodeStore) -> Watched:
    return Watched(store)


def incoming(count: int) -> list[Arrival]:
    """Documents of as many agencies, each under a seal of its own."""
    found = []
    for number in range(count):
        code = f"H{number:03}"
        made = submission(code, ["H29"])
        found.append(arrival(Office(code).envelope(made), made.inline))
    return found


async def test_batches_that_come_during_a_write_share_the_next(inbox: Watched) -> None:
    keeping = KeepingTogether(inbox)
    arrivals = incoming(20)
    kept = await asyncio.gather(*(keeping.keep([item]) for item in arrivals))
    assert inbox.writes == [20]
    kinds = {outcome.kind for (outcome,) in kept}
    digests = [outcome.known.envelope_digest for (outcome,) in kept]
    assert kinds == {KeepKind.NEW}
    assert digests == [item.envelope_digest for item in arrivals]
    again = await asyncio.gather(*(keeping.keep([item]) for item in arrivals))
    assert {outcome.kind for (outcome,) in again} == {KeepKind.SAME}
    assert [o.known.incoming_id for (o,) in again] == [o.known.incoming_id for (o,) in kept]


async def test_a_long_batch_waits_for_nobody_and_a_write_has_a_bound(inbox: Watched) -> None:
    keeping = KeepingTogether(inbox)
    arrivals = incoming(TOGETHER + 10)
    await asyncio.gather(
        *(keeping.keep([item]) for item in arrivals), keeping.keep(incoming(SMALL + 1))
    )
    assert sorted(inbox.writes) == [10, SMALL + 1, TOGETHER]


@pytest.mark.parametrize(
    ("agencies", "batches", "writes"),
    [(CROWD, CROWD, [CROWD + 1]), (CROWD - 1, CROWD - 1, [CROWD - 1, 1]), (1, CROWD, [CROWD, 1])],
    ids=["a crowd", "a few", "many batches of one"],
)
async def test_in_a_crowd_alone_a_write_waits_for_more(
    inbox: Watched,
    monkeypatch: pytest.MonkeyPatch,
    agencies: int,
    batches: int,
    writes: Sequence[int],
) -> None:
    monkeypatch.setattr(keeping_module, "CROWD_PAUSE_S", 0.5)
    keeping = KeepingTogether(inbox)
    *first, late = [
        msgspec.structs.replace(item, signer=f"H{number % agencies:03}")
        for number, item in enumerate(incoming(batches + 1))
    ]
    begun = [asyncio.ensure_future(keeping.keep([item])) for item in first]
    await asyncio.sleep(0.1)
    await asyncio.gather(*begun, keeping.keep([late]))
    assert inbox.writes == writes


async def test_one_that_cannot_be_kept_fails_alone(inbox: Watched) -> None:
    keeping = KeepingTogether(inbox)
    first, bad, last = incoming(3)
    bad = msgspec.structs.replace(bad, sender=None)  # type: ignore[arg-type]  # no row can hold it
    kept = await asyncio.gather(
        *(keeping.keep([item]) for item in (first, bad, last)), return_exceptions=True
    )
    assert [type(item) is list for item in kept] == [True, False, True]
    assert isinstance(kept[1], Exception)


async def test_a_failed_disk_is_told_to_all_and_asked_no_more(
    inbox: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        inbox.writes.append(len(arrivals))
        raise StorageFailedError("the disk failed")

    monkeypatch.setattr(inbox, "keep", fail)
    keeping = KeepingTogether(inbox)
    told = await asyncio.gather(
        *(keeping.keep([item]) for item in incoming(3)), return_exceptions=True
    )
    assert [type(item) for item in told] == [StorageFailedError] * 3
    assert inbox.writes == [3]


async def test_who_leaves_takes_nothing_from_the_others(inbox: Watched) -> None:
    keeping = KeepingTogether(inbox)
    tasks = [asyncio.create_task(keeping.keep([item])) for item in incoming(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert [outcome.kind for (outcome,) in told[1:]] == [KeepKind.NEW] * 2
