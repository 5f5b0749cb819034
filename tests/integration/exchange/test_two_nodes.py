from pathlib import Path

from tests.integration.exchange.conftest import Scene
from tests.support.nodes import make_pair, running


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
