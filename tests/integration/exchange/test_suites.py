"""Suite 2 over real nodes: both halves travel, and below a minimum nothing is accepted."""

from pathlib import Path

from edoccore.signing import canonical
from edoccore.signing.statements import Seal
from tests.support.nodes import TestNode, make_pair, running, until
from tests.support.suites import give_pair, spread


def suites(node: TestNode) -> list[int]:
    """Suites of the seals over what arrived, and over its receipts, in order."""
    found = node.rows(
        "SELECT s.data FROM seal s WHERE s.id IN (SELECT seal_id FROM incoming) ORDER BY s.id"
    )
    return [canonical.decode(bytes(data), Seal).suite for (data,) in found]


async def test_documents_and_receipts_travel_under_both_halves(tmp_path: Path) -> None:
    nation, first, second = make_pair(tmp_path)
    for node in (first, second):
        give_pair(nation, node)
    for node in (first, second):
        nation.set_minimum_suite(node.agency.code, 2)
    spread(nation, first, second)
    async with running(first, second):
        await first.delivered(await first.send(b"one", to=["G01"]))
        await second.delivered(await second.send(b"two", to=["H29"]))
    assert suites(second) == [2]


async def test_t33_below_its_minimum_nothing_of_an_agency_is_accepted(tmp_path: Path) -> None:
    nation, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"before", to=["G01"]))
    nation.set_minimum_suite("H29", 2)
    spread(nation, second)  # the sender does not know yet: it is not even let in
    async with running(first, second):
        sent = await first.send(b"too weak", to=["G01"])
        await until(lambda: first.count("SELECT count(*) FROM peer WHERE attempts > 1"))
    spread(nation, first)
    async with running(first, second):
        await until(lambda: "suite 1" in first.alarms().get("SEALER_STOPPED", ""))
    assert second.inbox() == 1
    give_pair(nation, first)
    spread(nation, first, second)
    async with running(first, second):
        await first.delivered(sent)  # what waited is sealed anew, with both keys
    assert second.inbox() == 2
    assert suites(second)[-1] == 2
