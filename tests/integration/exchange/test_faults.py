"""One delivery, or peer, that meets a fault of the program holds up no other, and ends no node."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edocnode.domain import forwarding as forwarding_rules
from edocnode.rpc import peers
from edocnode.workers import expiring, forwarding
from tests.integration.exchange.conftest import make_nation
from tests.integration.exchange.land import Land, lively
from tests.integration.exchange.test_expiring import ENDED, Mute, reason
from tests.support.faults import Faulty, Later, all_well, told
from tests.support.nodes import Sent, TestNode, free_port, make_node, running, until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens each half minute happens often."""
    monkeypatch.setattr(expiring, "EVERY", timedelta(seconds=0.3))


def is_about(sent: Sent) -> Callable[..., bool]:
    """Whether a rule is asked about a message."""

    def meets(item: Any, *_: object, **__: object) -> bool:
        return bool(item.message_id == sent.message_id)

    return meets


async def queued(node: TestNode, to: str) -> list[Sent]:
    """Three documents for a node that is down."""
    sent = [await node.send(b"a", to=[to]) for _ in range(3)]
    await until(lambda: all(node.state(one.message_id) not in ("unsealed", "") for one in sent))
    return sent


async def test_ended_delivery_that_cannot_be_read_is_given_up_once_it_can_be(
    tmp_path: Path,
) -> None:
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    node.clock = clock = Later()
    async with running(node):
        first, *others = await queued(node, "H29")
    of = f"message_id = x'{first.message_id.hex()}'"
    ((envelope,),) = node.rows(f"SELECT hex(data) FROM delivery_envelope WHERE {of}")
    node.write(f"UPDATE delivery_envelope SET data = x'7b' WHERE {of}", ENDED)
    async with running(node):
        await until(lambda: all(node.state(one.message_id) == "expired" for one in others))
        await until(lambda: str(UUID(bytes=first.document_id)) in told(node))
        assert node.state(first.message_id) in ("queued", "waiting")
        node.write(f"UPDATE delivery_envelope SET data = x'{envelope}' WHERE {of}")
        clock.pass_by(minutes=1)
        await until(lambda: node.state(first.message_id) == "expired")
        await all_well(node)


async def test_peer_that_this_program_cannot_ask_is_asked_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{port}")
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    node.clock = clock = Later()
    faulty = Faulty(peers.inquiries_to_message, lambda *_: True)
    monkeypatch.setattr(peers, "inquiries_to_message", faulty)
    async with Mute(nation, nation.agencies["H29"], port).serve(), running(node):
        sent = await node.send(b"never answered", to=["H29"])
        await until(lambda: node.state(sent.message_id) == "queued")
        node.write(ENDED)
        await until(lambda: node.state(sent.message_id) == "expired")
        assert reason(node, sent) == "PEER_UNREACHABLE"
        await until(lambda: "the node of H29" in told(node))
        faulty.mended = True
        clock.pass_by(minutes=1)
        await all_well(node)


async def test_delivery_that_this_program_cannot_send_on_waits_and_the_others_go(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding_rules, "ASK_FOR", timedelta(seconds=1))
    node = land["G01"]
    node.clock = clock = Later()
    async with lively(land, "G01", "H29"):
        first, *others = await queued(node, "H26")
        faulty = Faulty(forwarding.plan_forward, is_about(first))
        monkeypatch.setattr(forwarding, "plan_forward", faulty)
        await until(lambda: node.count("SELECT count(*) FROM peer WHERE down_since > 0"))
        await land.ends("H29", known_to=("G01", "H29"))
        await node.delivered(*others)
        await until(lambda: str(UUID(bytes=first.document_id)) in told(node))
        assert node.state(first.message_id) in ("queued", "waiting")
        faulty.mended = True
        clock.pass_by(minutes=1)
        await node.delivered(first)
        await all_well(node)
    assert land["H29"].inbox() == 3
