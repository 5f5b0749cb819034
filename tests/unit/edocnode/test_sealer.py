"""The sealer at work on a database in memory: once superseded, it signs nothing more."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from cryptography import x509

from edoccore.errors import DiskFullError
from edoccore.identity.keys import SoftwareSigner
from edoccore.signing.statements import DirectoryMark
from edocnode.domain.model import SealCommit, Submission
from edocnode.domain.office import envelope_drafts
from edocnode.domain.sealing import SealingKey
from edocnode.storage.store import NodeStore
from edocnode.workers import sealer as workers_sealer
from edocnode.workers.sealer import Sealer, SealerState
from tests.integration.storage.offices import submission
from tests.support.nodes import until, utc_now
from tests.support.stores import open_in_memory
from tests.unit.edocnode.conftest import Post

LATER_EPOCH = b"\xfe" * 16


class GatedSigner(SoftwareSigner):
    """Signs when the test lets it, as a slow token would; or fails as a test wants."""

    def __init__(self, signer_key: object, certificate: x509.Certificate) -> None:
        super().__init__(signer_key, certificate)  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.error: Exception | None = None

    @property
    def is_quick(self) -> bool:
        """As a token, never."""
        return False

    def sign(self, data: bytes) -> bytes:
        """Waits for the gate."""
        self.asked.set()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return super().sign(data)


@contextlib.asynccontextmanager
async def sealing(post: Post) -> AsyncIterator[tuple[Sealer, GatedSigner, NodeStore]]:
    """A sealer of H29 that has opened its epoch."""
    database = open_in_memory()
    store = NodeStore(database)
    agency = post.sender
    certificate = x509.load_der_x509_certificate(agency.seal_certificate)
    signer = GatedSigner(agency.seal_key, certificate)
    key = SealingKey(
        network=post.nation.network,
        agency=agency.code,
        certificates=(signer.certificate_digest,),
        suite=1,
    )
    mark = DirectoryMark(version=1, hash="0" * 64)
    sealer = Sealer(
        store=store, alarms=store, signer=signer, key=key, directory=lambda: mark, clock=utc_now
    )
    running = asyncio.create_task(sealer.run())
    try:
        await asyncio.wait_for(sealer.opened(), 10)
        await until(lambda: sealer.state is SealerState.SEALING)
        yield sealer, signer, store
    finally:
        signer.gate.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        database.close()


async def waiting(store: NodeStore) -> int:
    """How many effects are not sealed yet."""
    return len((await store.unsealed(400)).effects)


async def begin_group(sealer: Sealer, signer: GatedSigner, store: NodeStore) -> None:
    """Has the sealer ask for a signature that does not come."""
    signer.gate.clear()
    signer.asked.clear()
    await store.add_effect(b"s" * 16, b"1")
    sealer.wake()
    await asyncio.to_thread(signer.asked.wait, 10)


@pytest.mark.parametrize("error", [None, DiskFullError()])
async def test_t39_a_sealer_told_of_a_newer_copy_while_it_signs_stays_stopped(
    post: Post, error: Exception | None
) -> None:
    async with sealing(post) as (sealer, signer, store):
        await begin_group(sealer, signer, store)
        await sealer.superseded(LATER_EPOCH, "G01")
        signer.error = error
        signer.gate.set()
        await store.add_effect(b"t" * 16, b"2")
        sealer.wake()
        await asyncio.sleep(1.5)  # longer than the sealer waits before it tries again
        assert sealer.state is SealerState.SUPERSEDED
        assert await waiting(store) == (1 if error is None else 2)
        assert [alarm.kind for alarm in await store.alarms()] == ["EPOCH_SUPERSEDED"]


async def test_a_takeover_waits_for_the_group_under_way(post: Post) -> None:
    async with sealing(post) as (sealer, signer, store):
        before = sealer.epoch
        await begin_group(sealer, signer, store)
        takeover = asyncio.create_task(sealer.takeover())
        await asyncio.sleep(0.1)
        signer.gate.set()
        await asyncio.wait_for(takeover, 10)
        await store.add_effect(b"t" * 16, b"2")
        sealer.wake()
        await until(lambda: _sealed_all(store))
        assert sealer.state is SealerState.SEALING
        assert sealer.epoch > before


async def keep_one(store: NodeStore) -> Submission:
    """Keeps a document to one recipient; the sealer is not told."""
    kept = submission()
    assert (await store.submit(kept)).unsealed
    return kept


async def test_what_is_handed_in_is_sealed_without_a_look_into_the_database(post: Post) -> None:
    async with sealing(post) as (sealer, _, store):
        first = await keep_one(store)
        sealer.handed_in(envelope_drafts(first))
        await until(lambda: _left(store, []))  # the look at the start is over
        handed, hidden = await keep_one(store), await keep_one(store)
        sealer.handed_in(envelope_drafts(handed))
        await until(lambda: _left(store, [hidden]))
        sealer.wake()
        await until(lambda: _left(store, []))


async def test_what_the_database_gave_the_sealer_first_is_not_sealed_twice(post: Post) -> None:
    async with sealing(post) as (sealer, _, store):
        commits: list[SealCommit] = []
        sealer.on_sealed(commits.append)
        early, late = await keep_one(store), await keep_one(store)
        sealer.wake()
        await until(lambda: _left(store, []))
        last = await keep_one(store)
        sealer.handed_in([*envelope_drafts(early), *envelope_drafts(late), *envelope_drafts(last)])
        await until(lambda: _left(store, []))
        sealed = [item.message_id for commit in commits for item in commit.envelopes]
        kept = [early, late, last]
        assert sealed == [item.message_id for each in kept for item in each.deliveries]


async def test_more_than_the_memory_holds_is_found_in_the_database(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_sealer, "KEPT", 2)
    async with sealing(post) as (sealer, signer, store):
        await begin_group(sealer, signer, store)
        for _ in range(3):
            sealer.handed_in(envelope_drafts(await keep_one(store)))
        signer.gate.set()
        await until(lambda: _left(store, []))


async def _left(store: NodeStore, expected: list[Submission]) -> bool:
    """Whether just the deliveries of these wait for the sealer."""
    left = [item.message_id for item in (await store.unsealed(400)).envelopes]
    return left == [item.message_id for each in expected for item in each.deliveries]


async def _sealed_all(store: NodeStore) -> bool:
    return await waiting(store) == 0
