"""A document that came before, by its id or its number, is told and kept all the same.

However many come of one number or one document, what is known of each stays small.
"""

from collections.abc import Mapping

import pytest
import sqlalchemy as sa
from msgspec import structs

from edoccore.signing.statements import Operation, uuid_text
from edockit.database import Database
from edocnode.domain.model import Arrival, DocumentId
from edocnode.domain.office_model import InboxEntry, PageRequest, VersionState
from edocnode.storage.duplicates import NAMED
from edocnode.storage.links import SHOWN as LINKS_SHOWN
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from edocnode.storage.version_views import SHOWN as VERSIONS_SHOWN
from tests.integration.storage.offices import Office, arrival, submission

NUMBER = {
    "subject": "a",
    "number": "28",
    "notation": "QĐ-UBND",
    "issued_date": "2026-11-23",
    "issuer": "G01",
}


def came(
    peer: Office,
    listing: Mapping[str, str] = NUMBER,
    *,
    to: str = "H29",
    again: Arrival | None = None,
    operation: Operation = Operation.NEW,
) -> Arrival:
    """A document on its way in; ``again``: the id of an earlier one, under another message."""
    made = submission("G01", [to])
    [envelope] = peer.envelopes([made])
    found = structs.replace(arrival(envelope, made.inline), listing=listing, operation=operation)
    return found if again is None else structs.replace(found, document_id=again.document_id)


async def shown(
    store: NodeStore, office: Office, database: Database, *arrivals: Arrival
) -> list[InboxEntry]:
    """Entries of arrivals that become visible one after another, in their order."""
    for each in arrivals:
        await store.keep([each])
        await office.seal_all()
    return await entries(database)


async def entries(database: Database) -> list[InboxEntry]:
    page = await SqlOffice(database).inbox(PageRequest())
    return list(reversed(page.entries))


def alerts(database: Database) -> list[bytes]:
    wanted = sa.text("SELECT document_id FROM event WHERE kind = 'document.duplicate'")
    return [bytes(row[0]) for row in database.read(lambda c: c.execute(wanted).all())]


@pytest.fixture
async def sealing(office: Office) -> Office:
    await office.open()
    return office


async def test_document_with_the_number_of_another_is_told_with_its_id(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first, second, third = came(peer), came(peer), came(peer, {**NUMBER, "number": "028"})
    one, two, three = await shown(store, sealing, database, first, second, third)
    assert one.duplicate_of == ()
    assert two.duplicate_of == (first.document_id,)
    assert set(three.duplicate_of) == {first.document_id, second.document_id}
    assert alerts(database) == [second.document_id, third.document_id]


async def test_flood_of_documents_with_one_number_names_few_and_keeps_few(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first, last = [came(peer) for _ in range(NAMED)], came(peer)
    for flood in (first, [came(peer) for _ in range(3 * NAMED)], [last]):
        await store.keep(flood)
        await sealing.seal_all()
    found = {entry.message_id: set(entry.duplicate_of) for entry in await entries(database)}
    for number, item in enumerate(first):
        assert found[item.message_id] == {each.document_id for each in first[:number]}
    assert found[last.message_id] == {each.document_id for each in first}
    assert len(alerts(database)) == 4 * NAMED
    kept = sa.text("SELECT count(*) FROM received_number")
    assert database.read(lambda connection: connection.scalar(kept)) == NAMED


async def test_document_that_comes_twice_under_other_messages_is_told(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer, {"subject": "a"})
    one, two = await shown(
        store, sealing, database, first, came(peer, {"subject": "a"}, again=first)
    )
    assert (one.duplicate_of, two.duplicate_of) == ((), (first.document_id,))
    assert alerts(database) == [first.document_id]


async def test_doubles_that_become_visible_together_are_told(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer)
    await store.keep([first, came(peer, again=first), came(peer)])
    await sealing.seal_all()
    one, two, three = await entries(database)
    assert one.duplicate_of == ()
    assert two.duplicate_of == (first.document_id,)
    assert three.duplicate_of == (first.document_id,)


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.REPLACE])
async def test_update_and_replacement_are_no_duplicates(
    store: NodeStore,
    sealing: Office,
    peer: Office,
    database: Database,
    operation: Operation,
) -> None:
    first = came(peer)
    later = came(peer, again=first, operation=operation)
    another = came(peer, operation=operation)
    found = await shown(store, sealing, database, first, later, another)
    shown_now = 1 if operation is Operation.UPDATE else 3  # updates wait for their answers
    assert [entry.duplicate_of for entry in found] == [()] * shown_now
    assert alerts(database) == []


async def test_document_to_two_agencies_of_a_node_is_no_duplicate(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer)
    found = await shown(store, sealing, database, first, came(peer, to="H29.5", again=first))
    assert [entry.duplicate_of for entry in found] == [(), ()]


@pytest.mark.parametrize(
    "change",
    [{"issuer": "H30"}, {"issued_date": "2025-01-02"}, {"notation": "CV"}, {"number": ""}],
)
async def test_number_of_another_issuer_year_or_notation_is_no_duplicate(
    store: NodeStore,
    sealing: Office,
    peer: Office,
    database: Database,
    change: dict[str, str],
) -> None:
    found = await shown(store, sealing, database, came(peer), came(peer, {**NUMBER, **change}))
    assert [entry.duplicate_of for entry in found] == [(), ()]
    assert DocumentId(found[0].document.document_id) not in alerts(database)


async def test_flood_of_updates_leaves_a_document_readable_and_each_version_within_reach(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer)
    updates = [came(peer, again=first, operation=Operation.UPDATE) for _ in range(150)]
    await shown(store, sealing, database, first)
    await store.keep(updates)
    await sealing.seal_all()
    [entry] = await entries(database)
    newest = [item.message_id for item in updates[-VERSIONS_SHOWN:]]
    assert [version.message_id for version in entry.versions] == [first.message_id, *newest]
    found = await SqlOffice(database).find(updates[0].message_id.hex())
    [entry] = found.received
    named = [first.message_id, updates[0].message_id, *newest]
    assert [version.message_id for version in entry.versions] == named


async def test_flood_of_updates_leaves_in_force_what_an_office_agreed_to(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer)
    agreed = came(peer, again=first, operation=Operation.UPDATE)
    await shown(store, sealing, database, first, agreed)
    agree = sa.text("UPDATE version SET state = 'agreed'")
    await database.awrite(lambda connection: connection.execute(agree))
    flood = [came(peer, again=first, operation=Operation.UPDATE) for _ in range(150)]
    await store.keep(flood)
    await sealing.seal_all()
    [entry] = await entries(database)
    [standing] = [each for each in entry.versions if each.state is VersionState.IN_FORCE]
    assert standing.message_id == agreed.message_id
    assert entry.content_id == standing.incoming_id


async def test_flood_of_corrections_leaves_a_document_readable(
    store: NodeStore, sealing: Office, peer: Office, database: Database
) -> None:
    first = came(peer)
    named = {"subject": "a", "corrects": uuid_text(first.document_id)}
    await shown(store, sealing, database, first)
    corrections = [came(peer, named) for _ in range(150)]
    await store.keep(corrections)
    await sealing.seal_all()
    [entry, *_] = (await SqlOffice(database).find(first.message_id.hex())).received
    newest = [item.document_id for item in corrections[-LINKS_SHOWN:]]
    assert [link.document_id for link in entry.links] == newest
