"""Taking documents back in tables: bounded pieces, nothing twice, nothing that left without one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from edoccore.agency_errors import AgencyEndedError
from edoccore.errors import DecisionConflictError
from edoccore.signing.statements import Operation, uuid_bytes
from edockit.database import Database
from edocnode.domain.office_model import PageRequest
from edocnode.domain.revoking import REVOKED_AT_ONCE, RevokeOrder
from edocnode.rpc.revoking import RevokeDesk
from edocnode.storage.office import SqlOffice
from edocnode.storage.revoking import SqlSentRevocations
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, submission
from tests.support.nation import Nation, new_uuid7

ORDER = RevokeOrder(actor="Lan", reason="Ban hành nhầm phụ lục số 2", at=NOW)
MANY = 2 * REVOKED_AT_ONCE + 100


@pytest.fixture(scope="module")
def nation() -> Nation:
    made = Nation.create(NOW)
    made.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh")
    return made


def desk_of(database: Database, nation: Nation) -> RevokeDesk:
    return RevokeDesk(
        store=SqlSentRevocations(database),
        directory=nation.directory(),
        agency="H29",
        fresh_id=lambda: uuid_bytes(new_uuid7(NOW)),
        kept=lambda: None,
    )


async def test_document_to_thousands_is_taken_back_in_pieces_and_once(
    store: NodeStore, office: Office, database: Database, nation: Nation
) -> None:
    await office.open()
    made = submission(to=[f"G{number:04}" for number in range(MANY)])
    await store.submit(made)
    while await store.release(NOW + timedelta(days=1)):
        pass
    await office.seal_all()  # some thousand at once; the others wait
    (entry,) = (await SqlOffice(database).outbox(PageRequest())).entries
    desk = desk_of(database, nation)
    assert (await desk.revoke(entry, (), ORDER)).deliveries == MANY
    assert (
        await desk.revoke(entry, (), replace(ORDER, at=NOW + timedelta(hours=1)))
    ).deliveries == 0
    revocations = await waiting(store, Operation.REVOKE)
    assert len(revocations) == MANY
    assert len({item.about for item in revocations}) == MANY
    assert await store.queues() == []  # nothing of the document is offered any more


async def test_an_order_of_before_the_end_of_its_agency_is_repeated_after_it_and_none_is_new(
    store: NodeStore, office: Office, database: Database
) -> None:
    """Who asks again, since no answer came, is told what was done and not that nothing can be."""
    await office.open()
    await store.submit(submission(to=["G01", "G02"]))
    (entry,) = (await SqlOffice(database).outbox(PageRequest())).entries
    ending = Nation.create(NOW)
    ending.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh")
    assert (await desk_of(database, ending).revoke(entry, ["G01"], ORDER)).deliveries == 1
    ending.end("H29", NOW)
    desk = desk_of(database, ending)
    assert (await desk.revoke(entry, ["G01"], ORDER)).deliveries == 0
    for others in (["G02"], []):
        with pytest.raises(AgencyEndedError, match="Nothing is taken back from this node"):
            await desk.revoke(entry, others, ORDER)
    with pytest.raises(DecisionConflictError):
        await desk.revoke(entry, ["G01"], replace(ORDER, reason="Sai số ký hiệu"))


async def test_delivery_that_was_sealed_since_it_was_judged_is_judged_again(
    store: NodeStore, office: Office, database: Database, nation: Nation
) -> None:
    await office.open()
    await store.submit(submission())
    (entry,) = (await SqlOffice(database).outbox(PageRequest())).entries
    sent = SqlSentRevocations(database)
    desk = desk_of(database, nation)
    page = await sent.revocable(entry.document.document_id, (), 0, 10)
    await office.seal_all()
    assert await sent.revoke(desk._plans(entry, page, ORDER), [bytes(16)]) == 0
    assert (await desk.revoke(entry, (), ORDER)).deliveries == 1
    assert len(await waiting(store, Operation.REVOKE)) == 1


async def test_delivery_that_was_never_sealed_needs_no_revocation(
    store: NodeStore, office: Office, database: Database, nation: Nation
) -> None:
    await office.open()
    await store.submit(submission())
    (entry,) = (await SqlOffice(database).outbox(PageRequest())).entries
    assert (await desk_of(database, nation).revoke(entry, (), ORDER)).deliveries == 1
    assert not (await store.unsealed(10)).envelopes


async def waiting(store: NodeStore, operation: Operation) -> list:
    """What waits for the sealer."""
    found = (await store.unsealed(10_000)).envelopes
    return [item for item in found if item.operation is operation]
