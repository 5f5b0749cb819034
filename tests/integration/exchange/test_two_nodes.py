import time
from datetime import timedelta
from pathlib import Path

import pytest

from edocnode.app import node
from tests.integration.exchange.conftest import Scene
from tests.support.nodes import make_pair, running

STOP_S = 40.0  # on a busy machine; streams that are waited for to end would take twice as long


async def test_documents_cross_in_both_directions_with_receipts(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        contents = [b"1" * size for size in (1, 65_536, 65_537, 200_000, 300_000)]
        there = [await first.send(content, to=["G01"]) for content in contents]
        back = [await second.send(b"2", to=["H29.5"]) for _ in range(5)]
        await first.delivered(*there)
        await first.delivered(await first.send(*contents[:4], to=["G01"]))
        await second.delivered(*back)
        for sent, content in zip(there, contents, strict=True):
            assert await second.part(sent.message_id, 1) == content
        assert (first.inbox(), second.inbox()) == (5, 6)


async def test_a_peer_with_the_right_keys_is_received(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        await scene.good(stream)


async def test_a_node_with_open_streams_stops_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "DRAIN", timedelta(seconds=2 * STOP_S))
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        await first.delivered(await first.send(b"1", to=["G01"]))
        await second.delivered(await second.send(b"2", to=["H29"]))
        began = time.monotonic()
        await second.stop()
        assert time.monotonic() - began < STOP_S
        sent = await first.send(b"3", to=["G01"])
        await second.start()
        await first.delivered(sent)
