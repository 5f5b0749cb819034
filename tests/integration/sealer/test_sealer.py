"""The sealer over a real database: its lease, its epochs, what a failed start leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from edoccore.errors import SealerStoppedError
from edoccore.signing import canonical
from edoccore.signing.statements import DirectoryMark, Operation, Seal
from edocnode.domain.handing_on import envelope_drafts
from edocnode.domain.sealing import SealingKey, next_epoch
from edocnode.storage.store import NodeStore, open_store
from edocnode.workers.sealer import Sealer, SealerState
from tests.integration.storage.offices import submission
from tests.support.nation import Agency, Nation
from tests.support.nodes import utc_now

MARK = DirectoryMark(version=1, hash="0" * 64)


@dataclass
class Token:
    """A signer that can be unplugged."""

    agency: Agency
    plugged: bool = True

    @property
    def certificate_digest(self) -> str:
        return self.agency.signer.certificate_digest

    @property
    def suite(self) -> int:
        return self.agency.signer.suite

    @property
    def is_quick(self) -> bool:
        return False

    def sign(self, data: bytes) -> bytes:
        if not self.plugged:
            raise SealerStoppedError("The token is not there.")
        return self.agency.signer.sign(data)


@dataclass
class Bench:
    """A store and what sealers over it need."""

    store: NodeStore
    token: Token
    offset: timedelta = timedelta()

    def sealer(self) -> Sealer:
        agency = self.token.agency
        return Sealer(
            store=self.store,
            alarms=self.store,
            signer=self.token,
            key=SealingKey(
                network=agency.network, agency=agency.code, certificates=agency.digests, suite=1
            ),
            directory=lambda: MARK,
            clock=lambda: utc_now() + self.offset,
        )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    database = await asyncio.to_thread(open_store, "sqlite://")
    nation = Nation.create(utc_now())
    yield Bench(NodeStore(database), Token(nation.add_agency("H29", "Hà Tĩnh")))
    await asyncio.to_thread(database.close)


async def opened(sealer: Sealer) -> asyncio.Task[None]:
    running = asyncio.create_task(sealer.run())
    async with asyncio.timeout(60):
        await sealer.opened()
    return running


async def reached(sealer: Sealer, state: SealerState) -> None:
    async with asyncio.timeout(60):
        while sealer.state is not state:  # noqa: ASYNC110 - a state has no event
            await asyncio.sleep(0.01)


async def end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_start_that_ended_before_its_first_seal_is_no_other_copy(bench: Bench) -> None:
    lost = next_epoch(utc_now() + timedelta(hours=2), b"", random=bytes(10))
    await bench.store.open_epoch("H29", lost, utc_now())  # then the clock was put right
    sealer = bench.sealer()
    running = await opened(sealer)
    assert sealer.state is SealerState.SEALING
    assert sealer.epoch > lost
    await end(running)


async def test_each_start_opens_a_greater_epoch_that_names_the_one_before(bench: Bench) -> None:
    epochs = []
    for hours in (0, -5, 3):
        bench.offset = timedelta(hours=hours)
        sealer = bench.sealer()
        running = await opened(sealer)
        epochs.append(sealer.epoch)
        await end(running)
    assert epochs == sorted(set(epochs))


async def test_t46_of_an_agency_that_has_ended_only_answers_are_sealed(bench: Bench) -> None:
    """Whatever was handed over before its end was known, and whatever waits in the database."""
    sealer = bench.sealer()
    ended = False
    sealer.ends_when(lambda: ended)
    running = await opened(sealer)
    ended = True
    times = {"at": utc_now(), "expires": utc_now() + timedelta(days=1)}
    kept = [submission(**times), submission(operation=Operation.STATUS, **times)]
    for item in kept:
        result = await bench.store.submit(item)
        sealer.handed_in(envelope_drafts(item, result.places))
    await bench.store.submit(submission(**times))  # found by a look
    sealer.wake()
    async with asyncio.timeout(60):
        while not (due := await bench.store.due("G01", utc_now(), 10)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [item.message_id for item in due] == [kept[1].deliveries[0].message_id]
    await end(running)


async def test_what_was_kept_and_told_to_nobody_is_sealed_soon(bench: Bench) -> None:
    """A caller may leave between the commit and the word to the sealer, and repeats nothing."""
    sealer = bench.sealer()
    running = await opened(sealer)
    for _ in range(2):
        kept = submission(at=utc_now(), expires=utc_now() + timedelta(days=1))
        await bench.store.submit(kept)
        message_id = kept.deliveries[0].message_id
        async with asyncio.timeout(60):
            while message_id not in [  # noqa: ASYNC110 - nobody tells
                item.message_id for item in await bench.store.due("G01", utc_now(), 10)
            ]:
                await asyncio.sleep(0.01)
    await end(running)


async def test_an_opening_is_not_timed_before_the_seals_it_goes_on_from(bench: Bench) -> None:
    """Or peers would take what was sealed while the clock was ahead for another copy's."""
    times = []
    for minutes in (3, 0):  # the clock is wrong, then put right
        bench.offset = timedelta(minutes=minutes)
        sealer = bench.sealer()
        running = await opened(sealer)
        assert sealer.opening is not None
        times.append(canonical.decode(sealer.opening.seal.data, Seal).time)
        await end(running)
    assert times[1] >= times[0]


async def test_a_sealer_whose_lease_was_taken_seals_nothing_more(bench: Bench) -> None:
    first = bench.sealer()
    running = await opened(first)
    second = bench.sealer()
    other = await opened(second)
    waiting = asyncio.create_task(first.seal_own("endpoint", b"{}"))
    await reached(first, SealerState.SUPERSEDED)
    assert first.opening is None
    assert second.state is SealerState.SEALING
    waiting.cancel()
    await end(running)
    await end(other)


async def test_a_token_that_is_pulled_stops_seals_and_nothing_else(bench: Bench) -> None:
    sealer = bench.sealer()
    running = await opened(sealer)
    epoch = sealer.epoch
    bench.token.plugged = False
    waiting = asyncio.create_task(sealer.seal_own("endpoint", b"{}"))
    await reached(sealer, SealerState.FAILING)
    bench.token.plugged = True
    async with asyncio.timeout(60):
        sealed = await waiting
    assert sealed.statement == b"{}"
    assert (sealer.state, sealer.epoch) == (SealerState.SEALING, epoch)
    await end(running)
