"""Deliveries to a node that takes nothing any more go to another one, or are held."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace as replace_part

from edoccore.signing import canonical
from edoccore.signing.encryption import ENCRYPTED_MEDIA_TYPE
from edoccore.signing.statements import Envelope, Operation
from edockit.database import Database
from edocnode.domain.forwarding import TURNED_AWAY, ForwardPlan, Stranded, Stranding
from edocnode.domain.model import DeliveryOutcome, DeliveryState
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, submission

SOON = NOW + timedelta(hours=1)


def rows(database: Database, query: str) -> Sequence[Any]:
    return database.read(lambda connection: connection.execute(sa.text(query)).all())


def plan_for(item: Stranded) -> ForwardPlan:
    return ForwardPlan(
        message_id=item.message_id,
        recipient=item.recipient,
        to_node="G09",
        message="It goes to the node of G09.",
        effect=b"delivery.forwarded",
    )


async def stranded(store: NodeStore) -> Sequence[Stranded]:
    """All that waits for G01."""
    found = await store.stranded("G01", Stranding.ALL, 0, 10)
    return await store.stranded_at([item.place for item in found])


async def turned_away(store: NodeStore, to: str) -> None:
    """One queued delivery is turned away by its node, and waits."""
    [item] = await store.due(to, NOW, 1)
    await store.parts_leave([item.message_id])
    refused = DeliveryOutcome(
        message_id=item.message_id,
        document_id=item.document_id,
        recipient=item.recipient,
        state=DeliveryState.QUEUED,
        reason=TURNED_AWAY,
        next_at=SOON,
    )
    await store.record([refused], NOW)


async def test_what_is_stranded_is_found_by_how_its_node_ended(
    store: NodeStore, office: Office
) -> None:
    await office.open()
    await store.submit(submission(to=["G01"]))
    await office.seal_all()
    await turned_away(store, "G01")
    for made in (
        submission(to=["G01"]),
        submission(to=["G02"]),
        submission(to=["G01"], operation=Operation.STATUS),
    ):
        await store.submit(made)
    await office.seal_all()

    async def found(which: Stranding) -> int:
        return len(await store.stranded("G01", which, 0, 10))

    assert await found(Stranding.TURNED_AWAY) == 1
    assert await found(Stranding.DOCUMENTS) == 2
    assert await found(Stranding.ALL) == 3
    first, second, third = await store.stranded("G01", Stranding.ALL, 0, 10)
    assert await store.stranded("G01", Stranding.ALL, first.place, 1) == [second]
    assert await store.stranded("G01", Stranding.ALL, third.place, 1) == []


async def test_readers_of_encrypted_files_are_the_nodes_of_all_recipients(
    store: NodeStore, office: Office
) -> None:
    await office.open()
    plain, made = (submission(to=["G01", "G02", "G02"]) for _ in range(2))
    parts = [replace_part(made.parts[1], media_type=ENCRYPTED_MEDIA_TYPE)]
    made = replace(made, parts=(made.parts[0], *parts))
    for each in (plain, made):
        await store.submit(each)
    await office.seal_all()
    found = await stranded(store)
    assert [item.readers for item in found] == [None, {"G01", "G02"}]
    [held] = await SqlOffice(store._database).deliveries_of([found[1].message_id])
    assert held.readers == {"G01", "G02"}


async def test_a_forwarded_delivery_gets_a_new_envelope_to_the_other_node_once(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    made = submission(to=["G01"])
    await store.submit(made)
    await office.seal_all()
    [item] = await stranded(store)
    assert await store.forward([plan_for(item)], [bytes(16)], NOW) == 1
    assert await store.forward([plan_for(item)], [bytes(16)], NOW) == 0  # it waits for its seal
    assert len(rows(database, "SELECT 1 FROM effect WHERE message_id IS NOT NULL")) == 1
    await office.seal_all()
    assert await store.due("G01", NOW, 10) == []
    [queued] = await store.due("G09", NOW, 10)
    envelope = canonical.decode(queued.envelope.statement, Envelope)
    assert (queued.message_id, envelope.to, envelope.to_node) == (item.message_id, "G01", "G09")
    ranks = "SELECT rank, to_node FROM delivery_envelope ORDER BY rank"
    assert [tuple(row) for row in rows(database, ranks)] == [(0, "G09"), (1, "G01")]


async def test_what_was_never_sealed_is_held_once_and_what_was_cut_off_is_left_alone(
    store: NodeStore, office: Office, database: Database
) -> None:
    await office.open()
    await store.submit(submission(to=["G01"]))
    await store.submit(replace(submission(to=["G01"]), send_at=SOON))
    await store.submit(submission(to=["G01"], operation=Operation.STATUS))
    found = await store.unsealed_documents(10)
    assert len(found) == 2
    why = {"reason": "AGENCY_ENDED", "message": "Cơ quan đã kết thúc.", "at": NOW}
    places = [item.place for item in found]
    assert await store.unsealed_documents(10, without=found[:1]) == found[1:]
    assert await store.hold_unsealed(places, **why) == 2
    assert await store.hold_unsealed(places, **why) == 0
    assert await store.unsealed_documents(10) == []
    states = "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state"
    assert [tuple(row) for row in rows(database, states)] == [("held", 2), ("unsealed", 1)]
