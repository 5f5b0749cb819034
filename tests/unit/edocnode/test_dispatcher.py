"""The dispatcher takes nothing from the queue before what an earlier run held is back in it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from edocnode.domain.model import QueuedDelivery
from edocnode.storage.store import NodeStore, open_store
from edocnode.workers.courier import CourierParts
from edocnode.workers.delivery import Dispatcher
from tests.support.nodes import until, utc_now


class WatchedStore(NodeStore):
    """Notes who asked for what, in order."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.asked: list[str] = []

    async def due(
        self, to_node: str, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[QueuedDelivery]:
        """Finds what is due."""
        self.asked.append("due")
        return await super().due(to_node, now, limit, held)

    async def give_back_all(self) -> int:
        """Queues again what was being sent."""
        self.asked.append("give_back_all")
        return await super().give_back_all()


async def test_a_hello_before_the_start_is_over_takes_nothing_from_the_queue() -> None:
    database = open_store("sqlite://")
    store = WatchedStore(database)
    nothing = cast("Any", None)  # a courier with nothing due connects to nobody
    parts = CourierParts(
        outbox=store, links=nothing, sessions=nothing, shelf=nothing, reader=nothing, clock=utc_now
    )
    dispatcher = Dispatcher(
        outbox=store, peers=store, parts=parts, clock=utc_now, can_send=lambda: True
    )
    dispatcher.peer_met("G01")
    await asyncio.sleep(0.1)
    running = asyncio.create_task(dispatcher.run())
    await until(lambda: "give_back_all" in store.asked)

    def taken() -> bool:
        dispatcher.peer_met("G01")
        return "due" in store.asked

    await until(taken)
    assert store.asked[:2] == ["give_back_all", "due"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await dispatcher.stop()
    database.close()
