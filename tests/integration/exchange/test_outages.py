"""Peers, links, disks and directories that fail for a while: said why, and healed by themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.exchange.conftest import make_nation
from tests.support.bad_peer import BadPeer
from tests.support.disks import fill, small_disk_of
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_node, make_pair, running, served, until
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxy

MEBIBYTE = 1024 * 1024
HOUR_MS = 3_600_000


async def test_a_peer_that_is_down_is_told_with_since_why_and_next_and_served_at_its_return(
    tmp_path: Path,
) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"met", to=["G01"]))
    async with running(first):
        began = datetime.now(UTC)
        sent = [await first.send(b"waits", to=["G01"]) for _ in range(20)]
        delivery = await until(lambda: _down(first, sent[0]))
        since = delivery.peer_down_time.ToDatetime(UTC)
        assert began - timedelta(seconds=5) < since < datetime.now(UTC)
        assert delivery.reason == "PEER_UNREACHABLE"
        assert "G01" in delivery.message
        assert delivery.next_attempt_time.ToDatetime(UTC) > since
        first.write(f"UPDATE peer SET attempts = 9, next_at = next_at + {HOUR_MS}")
        first.write(f"UPDATE delivery SET next_at = next_at + {HOUR_MS} WHERE next_at IS NOT NULL")
        async with running(second):
            await first.delivered(*sent)  # long before the next attempt
            assert not (await first.delivery(sent[0])).HasField("peer_down_time")


async def _down(node: TestNode, sent: object) -> object:
    delivery = await node.delivery(sent)  # type: ignore[arg-type]
    return delivery if delivery.HasField("peer_down_time") else None


@contextlib.asynccontextmanager
async def linked(tmp_path: Path) -> AsyncIterator[tuple[TestNode, TestNode, Proxy]]:
    """H29 reaches G01 through a link that can be spoiled."""
    nation = Nation.create(datetime.now(UTC))
    ports = free_port(), free_port()
    async with proxy(ports[1]) as link:
        at_link = f"127.0.0.1:{link.port}"
        nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", address=f"127.0.0.1:{ports[0]}")
        nation.add_agency("G01", "Bộ Nội vụ", address=at_link)
        agencies = nation.agencies
        first = make_node(nation, agencies["H29"], tmp_path / "H29", port=ports[0])
        second = make_node(
            nation, agencies["G01"], tmp_path / "G01", port=ports[1], advertise=at_link
        )
        async with running(first, second):
            await first.delivered(await first.send(b"met", to=["G01"]))
            yield first, second, link


async def test_a_large_document_cut_in_the_middle_goes_on_from_what_is_on_disk(
    tmp_path: Path,
) -> None:
    content = bytes(range(256)) * (20 * MEBIBYTE // 256)
    async with linked(tmp_path) as (first, second, link):
        before = link.to_target
        cuts = iter((7 * MEBIBYTE, 15 * MEBIBYTE))
        limit = [next(cuts)]

        def cut(total: int) -> None:
            if limit and total - before > limit[0]:
                limit[:] = [item for item in [next(cuts, 0)] if item]
                link.cut()

        link.on_bytes = cut
        sent = await first.send(content, to=["G01"])
        await first.delivered(sent, within_s=60)
        assert not limit, "the connection was not cut twice"
        assert link.to_target - before < len(content) + 10 * MEBIBYTE
        assert second.inbox() == 2
        digest = first.rows("SELECT hex(sha256) FROM blob_use")[0][0].lower()
        stored = second.data / "blobs" / digest[:2] / digest[2:]
        assert stored.read_bytes() == content


async def test_a_link_that_swallows_everything_is_noticed_and_delivered_again(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (first, second, link):
        link.blackhole = True
        sent = [await first.send(b"into the dark", to=["G01"]) for _ in range(10)]
        await until(lambda: _down(first, sent[0]), within_s=60)
        link.blackhole = False
        link.cut()
        await first.delivered(*sent, within_s=60)
        assert second.inbox() == 11


async def test_a_slow_link_carries_a_large_document(tmp_path: Path) -> None:
    async with linked(tmp_path) as (first, _, link):
        link.delay_s = 0.02
        await first.delivered(await first.send(bytes(3 * MEBIBYTE), to=["G01"]), within_s=60)


async def test_a_connection_that_breaks_again_and_again_doubles_nothing(tmp_path: Path) -> None:
    async with linked(tmp_path) as (first, second, link):
        breaking = asyncio.create_task(_break_often(link))
        sent = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(60)]
        await until(breaking.done)
        await first.delivered(*sent, within_s=60)
        assert second.inbox() == 61
        assert second.count("SELECT count(*) FROM incoming") == 61


async def _break_often(link: Proxy) -> None:
    for _ in range(8):
        await asyncio.sleep(0.15)
        link.cut()


@pytest.fixture
def disk(tmp_path: Path) -> AsyncIterator[Path]:
    """A disk of 100 MiB, of which peers leave 80 free."""
    with small_disk_of(tmp_path / "disk", 100 * MEBIBYTE) as point:
        yield point


async def test_a_full_disk_says_try_later_and_heals_when_there_is_room(
    tmp_path: Path, disk: Path
) -> None:
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], disk / "G01")
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        async with peer.stream() as stream:
            await stream.exchange(peer.parcel(peer.letter()))
            filler = fill(disk, leave_bytes=0)
            letters = [peer.letter(bytes(40_000)) for _ in range(10)]
            parcels = [peer.parcel(letter) for letter in letters]
            reasons: set[str] = set()
            for parcel in parcels:
                (answer,) = await stream.exchange(parcel)
                reasons.add(getattr(answer, "reason", ""))
            assert "DISK_FULL" in reasons
            assert reasons <= {"DISK_FULL", "SEALER_STOPPED", ""}
            (answer,) = await stream.exchange(peer.offer(peer.letter(size_stated=30 * MEBIBYTE)))
            assert answer.reason == "DISK_FULL"
            filler.unlink()

            async def received() -> bool:
                answers = [(await stream.exchange(parcel))[0] for parcel in parcels]
                return not any(hasattr(answer, "reason") for answer in answers)

            await until(received)
        assert node.inbox() == 11
        assert node.count("SELECT count(*) FROM incoming") == 11


async def test_a_sender_waits_while_its_recipient_s_disk_is_full(
    tmp_path: Path, disk: Path
) -> None:
    nation = Nation.create(datetime.now(UTC))
    ports = free_port(), free_port()
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", address=f"127.0.0.1:{ports[0]}")
    nation.add_agency("G01", "Bộ Nội vụ", address=f"127.0.0.1:{ports[1]}")
    first = make_node(nation, nation.agencies["H29"], tmp_path / "H29", port=ports[0])
    second = make_node(nation, nation.agencies["G01"], disk / "G01", port=ports[1])
    async with running(first, second):
        filler = fill(disk, leave_bytes=86 * MEBIBYTE)
        large = await first.send(bytes(10 * MEBIBYTE), to=["G01"])
        await until(lambda: _waits(first, large, "DISK_FULL"))
        await first.delivered(await first.send(b"small", to=["G01"]))
        filler.unlink()
        await first.delivered(large, within_s=60)


async def _waits(node: TestNode, sent: object, reason: str) -> bool:
    return (await node.delivery(sent)).reason == reason  # type: ignore[arg-type]


async def test_with_an_expired_directory_nothing_goes_out_or_in_until_a_new_one_comes(
    tmp_path: Path,
) -> None:
    later = timedelta(days=46)
    shift = timedelta()
    registry_port = free_port()
    nation = Nation.create(datetime.now(UTC))
    nation.set_address("REGISTRY", f"127.0.0.1:{registry_port}")
    ports = free_port(), free_port()
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", address=f"127.0.0.1:{ports[0]}")
    nation.add_agency("G01", "Bộ Nội vụ", address=f"127.0.0.1:{ports[1]}")
    nodes = [
        make_node(nation, nation.agencies[code], tmp_path / code, port=port)
        for code, port in zip(("H29", "G01"), ports, strict=True)
    ]
    first, second = nodes
    for node in nodes:
        node.clock = lambda: datetime.now(UTC) + shift
    async with running(*nodes):
        await first.delivered(await first.send(b"fresh", to=["G01"]))
        shift = later
        queued = await first.send(b"queued", to=["G01"])
        peer = BadPeer(nation, nation.agencies["H29"], second.agency, second.address)
        async with peer.connect() as connection:
            opening = first.rows("SELECT data FROM own_statement WHERE kind = 'epoch'")
            assert opening
            async with connection.stream(opening=None) as stream:
                (answer,) = await stream.exchange(peer.parcel(peer.letter()))
        assert answer.reason == "DIRECTORY_EXPIRED"
        await until(lambda: "DIRECTORY_EXPIRED" in first.alarms())
        assert first.state(queued.message_id) == "queued"
        assert second.inbox() == 1
        nation.now += later
        nation.resign()
        async with served(nation, registry_port):
            await first.delivered(queued, within_s=60)
        assert second.inbox() == 2
