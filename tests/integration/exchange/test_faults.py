"""One delivery, or peer, that meets a fault of the program holds up no other, and ends no node."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edocnode.domain import forwarding as forwarding_rules
from edocnode.domain.repair import PartSourceAt
from edocnode.rpc import peers
from edocnode.rpc.peers import Links
from edocnode.storage.numbers import SqlNumbers
from edocnode.storage.part_repair import SqlRepair
from edocnode.workers import expiring, forwarding, greeting, reckoning, repairing
from edocnode.workers.greeting import Greeter
from edocnode.workers.sessions import Sessions
from tests.integration.exchange.conftest import make_nation
from tests.integration.exchange.land import Land, lively
from tests.integration.exchange.test_expiring import ENDED, Mute, reason
from tests.support.faults import Faulty, Later, all_well, told
from tests.support.nodes import Sent, TestNode, large, make_node, make_pair, running, until
from tests.support.ports import free_port


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


async def test_part_that_this_program_cannot_get_back_is_set_aside_and_the_others_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sender, node = make_pair(tmp_path)
    node.clock = clock = Later()
    contents = [f"%PDF {number}".encode() * 60_000 for number in range(3)]
    digests = [sha256(content).hexdigest() for content in contents]
    faulty = Faulty(SqlRepair.part_sources, lambda _, digest: digest == digests[0])
    monkeypatch.setattr(SqlRepair, "part_sources", faulty.method)
    async with running(sender, node):
        await sender.delivered(await sender.send(*contents, to=["G01"]))
        for content in contents:
            large(node, content).unlink()
        await node.stop()
        await node.start()  # looks for what is missing
        await until(lambda: all(large(node, content).exists() for content in contents[1:]))
        await until(lambda: f"part {digests[0]}" in told(node))
        assert not large(node, contents[0]).exists()
        faulty.mended = True
        clock.pass_by(minutes=1)
        await until(lambda: large(node, contents[0]).exists())
        await until(lambda: not node.alarms())


async def test_incomplete_document_that_cannot_be_read_keeps_no_other_incomplete(
    tmp_path: Path,
) -> None:
    _, sender, node = make_pair(tmp_path)
    sender.clock = clock = Later()
    async with running(sender, node):
        sent = [await sender.send(b"%PDF small", to=["G01"]) for _ in range(2)]
        await sender.delivered(*sent)
    whole = "SELECT complete FROM document WHERE document_id = ?"
    of = f"document_id = x'{sent[0].document_id.hex()}'"
    ((parts,),) = sender.rows(f"SELECT hex(parts) FROM document WHERE {of}")
    sender.write(
        "UPDATE document SET complete = 0, inline = x''",
        f"UPDATE document SET parts = x'7b' WHERE {of}",
    )
    async with running(node, sender):
        await until(lambda: sender.count(whole, sent[1].document_id) == 1)
        await until(lambda: str(UUID(bytes=sent[0].document_id)) in told(sender))
        assert sender.count(whole, sent[0].document_id) == 0
        sender.write(f"UPDATE document SET parts = x'{parts}' WHERE {of}")
        clock.pass_by(minutes=1)
        await until(lambda: sender.count(whole, sent[0].document_id) == 1, within_s=90)
        await all_well(sender)


async def test_source_over_which_this_program_fails_keeps_no_other_from_giving_a_part_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sender, node = make_pair(tmp_path)
    content = b"%PDF large" * 60_000
    found = SqlRepair.part_sources

    async def with_another(store: SqlRepair, digest: str) -> list[PartSourceAt]:
        (real,) = await found(store, digest)
        return [replace(real, agency="H29.5"), real]

    links = Faulty(Links.link, lambda _, agency: agency == "H29.5")
    monkeypatch.setattr(SqlRepair, "part_sources", with_another)
    monkeypatch.setattr(Links, "link", links.method)
    async with running(sender, node):
        await sender.delivered(await sender.send(content, to=["G01"]))
        large(node, content).unlink()
        await node.stop()
        await node.start()
        await until(lambda: large(node, content).exists() and not node.alarms())
    assert links.calls >= 1


async def test_scrubber_goes_on_behind_a_document_over_which_this_program_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sender, node = make_pair(tmp_path)
    sender.clock = clock = Later()
    async with running(sender, node):
        sent = [await sender.send(b"%PDF small", to=["G01"]) for _ in range(2)]
        await sender.delivered(*sent)
    first = sent[0].document_id
    judge = Faulty(repairing.damaged_parts_of, lambda found: found.document_id == first)
    monkeypatch.setattr(repairing, "damaged_parts_of", judge)
    sender.write(f"UPDATE document SET inline = x'' WHERE document_id != x'{first.hex()}'")
    async with running(sender, node):
        await until(lambda: str(UUID(bytes=first)) in told(sender))
        judge.mended = True
        clock.pass_by(minutes=1)
        await until(lambda: not sender.alarms())
    ((inline,),) = sender.rows(
        "SELECT inline FROM document WHERE document_id = ?", sent[1].document_id
    )
    assert b"%PDF small" in inline  # what was damaged behind it was found, and is back


async def test_peer_that_this_program_cannot_greet_is_greeted_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, node, other = make_pair(tmp_path)
    node.clock = clock = Later()
    faulty = Faulty(Sessions.hello_to, lambda _, agency: agency == "G01")
    monkeypatch.setattr(Sessions, "hello_to", faulty.method)
    monkeypatch.setattr(greeting, "AGAIN_EVERY", timedelta(seconds=0.3))
    async with running(node, other):
        await until(lambda: "the node of G01" in told(node))
        calls = faulty.calls
        assert calls >= 1
        faulty.mended = True
        clock.pass_by(minutes=1)
        await all_well(node)
        await node.delivered(await node.send(b"a", to=["G01"]))


async def test_peer_that_could_not_answer_a_hello_is_greeted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to send, and would not learn what a restore lost here."""
    _, node, other = make_pair(tmp_path)
    monkeypatch.setattr(greeting, "AGAIN_EVERY", timedelta(seconds=0.2))
    monkeypatch.setattr(greeting, "SOON_AGAIN", timedelta(seconds=0.2))

    tried: list[str] = []
    say_hello = Greeter._try

    async def spied(greeter: Greeter, agency: str) -> None:
        await say_hello(greeter, agency)
        tried.append(agency)

    async def silent(greeter: object) -> None:
        """Says hello to nobody at its start."""

    monkeypatch.setattr(Greeter, "_try", spied)
    async with running(node):
        await until(lambda: tried == ["G01"])  # at the start, and nobody was there
        assert not node.rows("SELECT 1 FROM peer WHERE last_seen IS NOT NULL")
        monkeypatch.setattr(Greeter, "greet_all", silent)
        async with running(other):
            await until(lambda: other.rows("SELECT 1 FROM peer WHERE last_seen IS NOT NULL"))


async def test_peer_that_cannot_be_told_what_is_settled_keeps_no_other_from_being_told(
    monkeypatch: pytest.MonkeyPatch, land: Land
) -> None:
    node = land["G01"]
    node.clock = clock = Later()
    told_to: set[str] = set()
    faulty = Faulty(SqlNumbers.settled, lambda _, agency: agency == "H29")

    async def greet(greeter: object, agency: str) -> None:
        told_to.add(agency)

    monkeypatch.setattr(reckoning, "EVERY", timedelta(seconds=0.5))
    async with lively(land, "G01", "H29", "H30"):
        await node.delivered(*[await node.send(b"a", to=[code]) for code in ("H29", "H30")])
        monkeypatch.setattr(Greeter, "greet", greet)
        monkeypatch.setattr(SqlNumbers, "settled", faulty.method)
        await node.delivered(*[await node.send(b"b", to=[code]) for code in ("H29", "H30")])
        await until(lambda: told_to == {"H30"} and "the node of H29" in told(node))
        faulty.mended = True
        clock.pass_by(minutes=1)
        await until(lambda: told_to == {"H29", "H30"})
        await all_well(node)
