"""The dispatcher takes nothing from the queue before what an earlier run held is back in it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from edoccore.errors import EdocError, PeerUnreachableError
from edocnode.domain.model import PeerStatus, QueuedDelivery
from edocnode.domain.quotas import BELIEVED, QUIET, over_quota
from edocnode.storage.store import NodeStore
from edocnode.workers.courier import CourierParts
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.setting_aside import SettingAside
from tests.integration.storage.offices import NOW, Office, submission
from tests.support.nodes import until, utc_now
from tests.support.stores import open_in_memory

GONE = PeerUnreachableError("The node of G01 at g01:7443 does not answer: Socket closed")


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


class Steady:
    """A sealer whose certificate never changes: every envelope is under it."""

    certificate = ""

    def has_room(self) -> None:
        """Has nothing to seal."""

    def check_seal(self) -> None:
        """Holds."""


async def test_a_hello_before_the_start_is_over_takes_nothing_from_the_queue() -> None:
    database = open_in_memory()
    store = WatchedStore(database)
    nothing = cast("Any", None)  # a courier with nothing due connects to nobody
    parts = CourierParts(
        outbox=store,
        links=nothing,
        sessions=nothing,
        sealer=cast("Any", Steady()),
        shelf=nothing,
        reader=nothing,
        clock=utc_now,
    )
    dispatcher = Dispatcher(
        outbox=store,
        peers=store,
        parts=parts,
        aside=SettingAside("sending", "Sending", alarms=store, clock=utc_now),
        clock=utc_now,
        can_send=lambda: True,
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


class FailingLinks:
    """Every attempt to connect ends with the next of these errors."""

    def __init__(self, *errors: EdocError) -> None:
        self.errors = list(errors)

    def link(self, agency: str) -> Any:
        """Fails."""
        raise self.errors.pop(0)


async def test_a_peer_that_cannot_be_reached_after_it_told_of_a_quota_has_shut_this_node_out() -> (
    None
):
    database = open_in_memory()
    store, nothing, moment = NodeStore(database), cast("Any", None), NOW
    links = FailingLinks(over_quota("G01", "calls too often", after_s=2), GONE, GONE, GONE)
    parts = CourierParts(
        outbox=store,
        links=cast("Any", links),
        sessions=nothing,
        sealer=cast("Any", Steady()),
        shelf=nothing,
        reader=nothing,
        clock=lambda: moment,
    )
    dispatcher = Dispatcher(
        outbox=store,
        peers=store,
        parts=parts,
        aside=SettingAside("sending", "Sending", alarms=store, clock=utc_now),
        clock=lambda: moment,
        can_send=lambda: True,
    )
    office = Office("H29", store)
    await office.open()
    await store.submit(submission())
    await office.seal_all()

    async def failed(attempts: int) -> PeerStatus:
        dispatcher.wake("G01")
        await until(lambda: len(links.errors) == 4 - attempts)
        await until(lambda: "G01" not in dispatcher._couriers)
        return (await store.peer_statuses())["G01"]

    running = asyncio.create_task(dispatcher.run())
    assert (await failed(1)).reason == "QUOTA_EXCEEDED"
    moment = NOW + timedelta(seconds=5)
    told = await failed(2)
    assert told.reason == "QUOTA_EXCEEDED"
    assert "has shut this node out" in told.message
    assert told.next_at == NOW + QUIET
    moment = NOW + BELIEVED
    told = await failed(3)
    assert told.reason == "PEER_UNREACHABLE"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await dispatcher.stop()
    database.close()
