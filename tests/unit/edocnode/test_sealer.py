"""The sealer at work on a database in memory: once superseded, it signs nothing more."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
from cryptography import x509

from edoccore.errors import DiskFullError
from edoccore.identity.keys import SoftwareSigner
from edoccore.signing.statements import DirectoryMark, Urgency
from edocnode.domain import handing_on
from edocnode.domain.handing_on import envelope_drafts
from edocnode.domain.model import EnvelopeDraft, SealCommit
from edocnode.domain.sealing import SealingKey
from edocnode.storage.store import NodeStore
from edocnode.workers import handed_over
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
        assert self.gate.wait(60)
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
        await asyncio.wait_for(sealer.opened(), 60)
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
        await asyncio.wait_for(takeover, 60)
        await store.add_effect(b"t" * 16, b"2")
        sealer.wake()
        await until(lambda: _sealed_all(store))
        assert sealer.state is SealerState.SEALING
        assert sealer.epoch > before


async def keep_one(store: NodeStore, **chosen: Any) -> EnvelopeDraft:
    """Keeps a document to one recipient; the sealer is not told."""
    kept = submission(**chosen)
    result = await store.submit(kept)
    assert result.unsealed
    return envelope_drafts(kept, result.places)[0]


async def test_what_is_handed_in_is_sealed_without_a_look_into_the_database(post: Post) -> None:
    async with sealing(post) as (sealer, _, store):
        first = await keep_one(store)
        sealer.handed_in([first])
        await until(lambda: _left(store, []))  # the look at the start is over
        handed, hidden = await keep_one(store), await keep_one(store)
        sealer.handed_in([handed])
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
        sealer.handed_in([early, late, last])
        await until(lambda: _left(store, []))
        sealed = [item.draft.message_id for commit in commits for item in commit.envelopes]
        assert sealed == [item.message_id for item in (early, late, last)]


async def test_more_than_the_memory_holds_is_found_in_the_database(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_over, "KEPT", 2)
    async with sealing(post) as (sealer, signer, store):
        await begin_group(sealer, signer, store)
        for _ in range(3):
            sealer.handed_in([await keep_one(store)])
        signer.gate.set()
        await until(lambda: _left(store, []))


class Couriers:
    """Have enough to carry, as long as a test says so; notes whom the sealer asked about."""

    have_enough = True

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    def __call__(self, agencies: Collection[str]) -> bool:
        self.asked.append(set(agencies))
        return self.have_enough


@contextlib.asynccontextmanager
async def ahead(
    post: Post, monkeypatch: pytest.MonkeyPatch, within_s: float = 60
) -> AsyncIterator[tuple[Sealer, Couriers, NodeStore]]:
    """A sealer that sealed a document for G01, whose courier has enough to carry."""
    monkeypatch.setattr(handing_on, "AHEAD_S", within_s)
    async with sealing(post) as (sealer, _, store):
        couriers = Couriers()
        sealer.paced_by(couriers)
        sealer.handed_in([await keep_one(store)])
        await until(lambda: _left(store, []))
        yield sealer, couriers, store


async def test_the_sealer_stays_a_little_ahead_of_couriers_and_no_more(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ahead(post, monkeypatch) as (sealer, couriers, store):
        second = await keep_one(store)
        sealer.handed_in([second])
        await until(lambda: couriers.asked)
        await sealer.seal_own("epoch", b"{}")  # what is no envelope waits for no courier
        assert await _left(store, [second])
        assert couriers.asked[-1] == {"G01"}
        couriers.have_enough = False
        sealer.has_room()
        await until(lambda: _left(store, []))


@pytest.mark.parametrize("other", [{"urgency": Urgency.HOA_TOC}, {"to": ["G02"]}])
async def test_what_is_urgent_or_for_others_waits_for_no_courier(
    post: Post, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    async with ahead(post, monkeypatch) as (sealer, _, store):
        sealer.handed_in([await keep_one(store, **other)])
        await until(lambda: _left(store, []))


async def test_couriers_that_stand_still_do_not_keep_the_sealer_for_long(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ahead(post, monkeypatch, within_s=0.2) as (sealer, couriers, store):
        sealer.handed_in([await keep_one(store)])
        await until(lambda: _left(store, []))
        await keep_one(store)  # found by a look
        sealer.wake()
        await until(lambda: _left(store, []))
        assert couriers.have_enough


async def _left(store: NodeStore, expected: list[EnvelopeDraft]) -> bool:
    """Whether just the deliveries of these wait for the sealer."""
    left = [item.message_id for item in (await store.unsealed(400)).envelopes]
    return left == [item.message_id for item in expected]


async def _sealed_all(store: NodeStore) -> bool:
    return await waiting(store) == 0
