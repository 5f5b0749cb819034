"""Links that swallow what they carry and tell nobody: noticed in time, nothing lost or doubled.

The connections open at one moment go dark, later ones are sound, as when a firewall forgets them.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.integration.exchange.test_outages import MEBIBYTE, linked
from tests.support.nodes import TestNode, until
from tests.support.proxy import Proxy

# Five seconds are promised; the rest is for a machine that is busy with other tests. gRPC's own
# keepalive settings, as they come, take 13 s and more.
NOTICED_S = 5 + 7
IDLE_S = 30 + 10
WAYS = {
    "both ways": {"to_target": True, "back": True},
    "only there": {"to_target": True, "back": False},
    "only back": {"to_target": False, "back": True},
}


@pytest.mark.parametrize("way", WAYS)
async def test_documents_in_flight_are_queued_again_within_five_seconds_and_delivered(
    tmp_path: Path, way: str
) -> None:
    async with linked(tmp_path) as (first, second, link):
        await asyncio.sleep(0.5)  # at rest: no ping of gRPC is under way by chance
        link.darken(**WAYS[way])
        began = time.monotonic()
        sent = [await first.send(f"{i}".encode(), to=["G01"]) for i in range(20)]
        await until(lambda: _is_told(first), within_s=60)
        assert time.monotonic() - began < NOTICED_S
        await first.delivered(*sent, within_s=60)
        assert second.inbox() == 21
        assert second.count("SELECT count(*) FROM incoming") == 21


@pytest.mark.parametrize("way", ["both ways", "only back"])
async def test_a_part_under_way_goes_on_over_a_new_connection(tmp_path: Path, way: str) -> None:
    content = bytes(range(256)) * (24 * MEBIBYTE // 256)
    async with linked(tmp_path) as (first, second, link):
        before = link.to_target
        went_dark = _darken_after(link, 10 * MEBIBYTE, way)
        sent = await first.send(content, to=["G01"])
        await first.delivered(sent, within_s=60)
        assert time.monotonic() - went_dark[0] < NOTICED_S + 40
        assert link.to_target - before < len(content) + 10 * MEBIBYTE
        assert second.inbox() == 2


@pytest.mark.slow
async def test_a_connection_without_calls_is_closed_within_thirty_seconds(tmp_path: Path) -> None:
    """One that went dark at rest is gone before anything is put on it."""
    async with linked(tmp_path) as (first, _, link):
        assert link.open_connections
        await until(lambda: not link.open_connections, within_s=20 + IDLE_S)
        await first.delivered(await first.send(b"over a new one", to=["G01"]))


def _darken_after(link: Proxy, size: int, way: str) -> list[float]:
    """Lets the link go dark when so many more bytes have passed; when that was."""
    done: list[float] = []
    before = link.to_target

    def look(total: int) -> None:
        if not done and total - before > size:
            done.append(time.monotonic())
            link.darken(**WAYS[way])

    link.on_bytes = look
    return done


def _is_told(node: TestNode) -> bool:
    return bool(node.count("SELECT count(*) FROM peer WHERE down_since IS NOT NULL"))
