from pathlib import Path

from tests.integration.exchange.conftest import Scene
from tests.support.nodes import make_pair, running


async def test_documents_cross_in_both_directions_with_receipts(tmp_path: Path) -> None:
    _, first, second = make_pair(tmp_path)
    async with running(first, second):
        there = [await first.send(b"1" * size, to=["G01"]) for size in (1, 70_000, 300_000)]
        back = [await second.send(b"2", to=["H29.5"]) for _ in range(5)]
        await first.delivered(*there)
        await second.delivered(*back)
        assert (first.inbox(), second.inbox()) == (5, 3)


async def test_a_peer_with_the_right_keys_is_received(scene: Scene) -> None:
    async with scene.peer.stream() as stream:
        await scene.good(stream)
