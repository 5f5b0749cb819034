"""Mergers of several provinces at one moment, with documents on their way between all of them.

Nine nodes in this process: three groups of the reform of 2025 and the Government Office. Half of
them are down when their end comes, so that something waits everywhere.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tests.integration.exchange.test_own_entry import bring_newer
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_node, until, utc_now
from tests.support.ports import free_port
from tests.support.provinces import BEFORE, FOLLOWED, MERGERS

CENTRE = "G22"
GROUPS = ("H42", "H31", "H29")  # those that follow
CODES = (CENTRE, *GROUPS, *(old for into in GROUPS for old in MERGERS[into]))
ENDED = tuple(code for code in CODES if code in FOLLOWED)
DOWN = ("H25", "H54", "H29", "H06")  # when the end comes


def make_all(nation: Nation, folder: Path) -> dict[str, TestNode]:
    """A node for each, and entries for all provinces."""
    ports = {code: free_port() for code in CODES}
    for code in CODES:
        nation.add_agency(code, BEFORE.get(code, code), address=f"127.0.0.1:{ports[code]}")
    nation.directory()
    return {
        code: make_node(nation, nation.agencies[code], folder / code, port=ports[code])
        for code in CODES
    }


async def stop(nodes: Sequence[TestNode]) -> None:
    for node in nodes:
        await node.stop()


def deliveries(node: TestNode) -> Counter[str]:
    return Counter(state for (state,) in node.rows("SELECT state FROM delivery"))


async def test_documents_between_provinces_that_merge_arrive_once_or_are_told(
    tmp_path: Path,
) -> None:
    nation = Nation.create(utc_now())
    nodes = make_all(nation, tmp_path)
    try:
        for node in nodes.values():
            await node.start()
        for code, node in nodes.items():  # everybody has met everybody
            await node.delivered(await node.send(b"chao", to=[c for c in CODES if c != code]))
        await stop([nodes[code] for code in DOWN])
        sent = {
            code: await node.send(b"dang di", to=[c for c in CODES if c != code])
            for code, node in nodes.items()
            if code not in DOWN
        }
        for code, item in sent.items():  # sealed before the end
            await until(
                lambda at=nodes[code], s=item: all(
                    at.state(m) not in ("unsealed", "scheduled") for m in s.message_ids
                )
            )
        nation.now += timedelta(seconds=5)
        for into in GROUPS:
            for old in MERGERS[into]:
                nation.end(old, utc_now(), successors=(into,))
        await bring_newer(nation, *(nodes[code] for code in CODES if code not in DOWN))
        for code in DOWN:
            await nodes[code].start()
        await bring_newer(nation, *nodes.values())
        await until(lambda: all(is_settled(node) for node in nodes.values()), within_s=60)
        everything_arrived_once_or_is_told(nodes)
        after = await nodes[CENTRE].send(b"sau", to=list(ENDED))
        await nodes[CENTRE].delivered(after)
        for code in ENDED:
            query = "SELECT count(*) FROM inbox WHERE message_id IN ({})"
            marks = ",".join("?" * len(after.message_ids))
            assert nodes[code].count(query.format(marks), *after.message_ids) == 0
    finally:
        await stop(list(nodes.values()))


def is_settled(node: TestNode) -> bool:
    """Whether nothing of a node is under way any more."""
    return set(deliveries(node)) <= {"delivered", "held"}


def everything_arrived_once_or_is_told(nodes: dict[str, TestNode]) -> None:
    """Every delivery lies in one inbox, once, and has its receipt.

    But what an agency that ended had sealed for another one that ended: neither could its envelope
    be made anew, nor is there a node that it names. Its office is told where to hand it in.
    """
    here: Counter[bytes] = Counter()
    for node in nodes.values():
        here.update(message for (message,) in node.rows("SELECT message_id FROM inbox"))
    expected: set[bytes] = set()
    for code, node in nodes.items():
        query = "SELECT message_id, state, recipient, reason, message FROM delivery"
        for message_id, state, recipient, reason, message in node.rows(query):
            if state == "delivered":
                expected.add(message_id)
                continue
            assert {code, recipient} <= set(ENDED)
            assert reason == "AGENCY_ENDED"
            assert f"at the node of {FOLLOWED[code]}" in message
    assert set(here) == expected
    assert set(here.values()) == {1}
    assert deliveries(nodes[CENTRE])["delivered"] == 2 * (len(CODES) - 1)
