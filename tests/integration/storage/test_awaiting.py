"""What waits for its receipt is found above a mark that follows behind, never ahead."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.model import KeepKind, KeepOutcome, Unsealed
from edocnode.storage.awaiting import MARK_EVERY, before_keeping, count_waiting
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import Office, arrival, submission


def mark(database: Database) -> int:
    found: int = database.read(
        lambda connection: connection.execute(sa.text("SELECT answered_to FROM lease")).scalar_one()
    )
    return found


def waiting(database: Database) -> int:
    return database.read(count_waiting)


async def keep(
    store: NodeStore, peer: Office, count: int, urgency: Urgency = Urgency.NORMAL
) -> Sequence[KeepOutcome]:
    made = [submission("G01", ["H29"], urgency=urgency) for _ in range(count)]
    return await store.keep([arrival(peer.envelope(each), each.inline) for each in made])


async def seal(store: NodeStore, office: Office, ids: Sequence[int] | None = None) -> Any:
    """Seals these arrivals of all that wait."""
    found = await store.unsealed(10_000)
    drafts = tuple(item for item in found.receipts if ids is None or item.incoming_id in ids)
    commit = office.seal(Unsealed(envelopes=(), receipts=drafts, effects=()))
    await store.commit_seal(commit)
    return commit


async def test_the_mark_follows_when_enough_have_their_receipt(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    assert mark(database) == 0
    few = await keep(store, peer, MARK_EVERY - 1)
    await seal(store, office)
    assert (mark(database), waiting(database)) == (0, 0)
    assert (await store.unsealed(10)).receipts == ()
    last = (await keep(store, peer, 1))[0].known.incoming_id
    assert last == len(few) + 1
    await seal(store, office)
    assert mark(database) == last
    assert waiting(database) == 0


async def test_the_mark_stays_below_what_waits_while_others_are_answered(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    first = [item.known.incoming_id for item in await keep(store, peer, MARK_EVERY)]
    urgent = await keep(store, peer, MARK_EVERY, Urgency.HOA_TOC)
    later = [item.known.incoming_id for item in await keep(store, peer, MARK_EVERY)]
    await seal(store, office, [item.known.incoming_id for item in urgent])
    assert mark(database) == 0
    await seal(store, office, [*first[:5], *first[6:], *later])
    assert mark(database) == first[4]
    assert [item.incoming_id for item in (await store.unsealed(10)).receipts] == [first[5]]
    assert waiting(database) == 1
    await seal(store, office)
    assert (mark(database), waiting(database)) == (first[4], 0)  # near enough
    await keep(store, peer, 1)
    await seal(store, office)
    assert mark(database) == later[-1] + 1


async def test_a_new_epoch_finds_what_an_earlier_one_left(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    await keep(store, peer, MARK_EVERY)
    await seal(store, office)
    kept = await keep(store, peer, 3)
    await office.open()
    assert mark(database) == MARK_EVERY  # the lease was taken again, its mark stays
    found = [item.incoming_id for item in (await store.unsealed(10)).receipts]
    assert found == [item.known.incoming_id for item in kept]


async def test_an_arrival_that_the_mark_passed_is_found_again_when_it_is_offered(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    made = submission("G01", ["H29"])
    item = arrival(peer.envelope(made), made.inline)
    await store.keep([item])
    database.write(
        lambda connection: connection.execute(sa.text("UPDATE lease SET answered_to = 70"))
    ).result(60)
    assert (await store.unsealed(10)).receipts == ()
    [again] = await store.keep([item])
    assert again.kind is KeepKind.SAME
    [draft] = (await store.unsealed(10)).receipts
    assert draft.incoming_id == again.known.incoming_id


async def test_no_receipt_is_committed_for_an_arrival_that_was_never_kept(
    store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    await keep(store, peer, 3)
    found = (await store.unsealed(10)).receipts
    for wrong in (40, 4):  # far from the others, and next to them
        drafts = (*found[1:], _renumbered(found[0], wrong))
        commit, _ = office.word(Unsealed(envelopes=(), receipts=drafts, effects=()))
        with pytest.raises(RuntimeError, match="never kept"):
            await store.commit_seal(commit)
    assert len((await store.unsealed(10)).receipts) == 3


def _renumbered(draft: Any, incoming_id: int) -> Any:
    return structs.replace(draft, incoming_id=incoming_id)


@pytest.mark.postgres
async def test_the_mark_waits_for_arrivals_of_other_workers_that_are_not_visible_yet(
    postgres_store: str,
) -> None:
    database = open_store(postgres_store)
    try:
        store = NodeStore(database)
        office, peer = Office("H29", store), Office("G01")
        await office.open()
        with database.engine.connect() as other, other.begin() as transaction:
            before_keeping(other)  # as another process does, whose rows have lower numbers
            await keep(store, peer, MARK_EVERY)
            await seal(store, office)
            assert mark(database) == 0
            transaction.commit()
        await keep(store, peer, 1)
        await seal(store, office)
        assert mark(database) > MARK_EVERY
    finally:
        database.close()
