"""A register has the numbers that arrivals were given here."""

from datetime import date

from edockit.database import Database
from edocnode.domain.registers import RegisterRequest
from edocnode.storage.official_numbers import give_arrival_number
from edocnode.storage.registers import SqlRegisters
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, arrival, submission


async def test_arrival_is_listed_with_the_number_that_it_was_given(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    for _ in range(2):
        made = submission("G01", ["H29"])
        await store.keep([arrival(peer.envelope(made), made.inline)])
    await office.seal_all()
    await database.awrite(lambda connection: give_arrival_number(connection, 2, "H29", NOW))
    day = date(2026, 11, 23)
    wanted = RegisterRequest(incoming=True, first=day, last=day)
    page = await SqlRegisters(database).register_page(wanted, 0)
    assert [entry.arrival_number for entry in page.entries] == [0, 1]
    assert page.next == 0
