"""All keys change while both nodes send 110 documents a second each: none fails, none is lost.

``EDOC_KEY_CHANGE_ROUNDS`` (default 1) repeats the changes, each round with new keys.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from edocnode.domain import seal_life
from edocnode.workers import seal_renewal
from tests.integration.keys.conftest import Country
from tests.integration.keys.test_seal_renewal import in_use, knows, sealed_with
from tests.integration.keys.test_tls_renewal import current
from tests.integration.office.test_batches import submit_many, whole
from tests.support.nodes import TestNode, running, until
from tests.support.registry import OFFICER

ROUNDS = int(os.environ.get("EDOC_KEY_CHANGE_ROUNDS", "1"))
BATCH = 22
BATCHES_A_SECOND = 5  # on each side: 220 documents a second together
PATIENCE_S = 60.0


@dataclass
class Load:
    """An office that hands in without pause."""

    node: TestNode
    to: str
    handed_in: int = 0
    refused: list[str] = field(default_factory=list)
    took: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Hands in until told to stop, at its rate and never faster."""
        began = time.monotonic()
        while not stop.is_set():
            first = self.handed_in
            batch = [whole(first + item, to=(self.to,)) for item in range(BATCH)]
            for answers in await submit_many(self.node, batch):
                self.refused += [item.refused.reason for item in answers if item.refused.reason]
            self.handed_in += BATCH
            due = began + self.handed_in / BATCH / BATCHES_A_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        self.took = time.monotonic() - began


async def end_tls(node: TestNode) -> None:
    """The agency ends its TLS certificate, as ``keys revoke --tls`` does."""
    async with unix_channel(node.where.socket) as channel:  # type: ignore[union-attr]
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        request = admin_service_pb2.RevokeKeysRequest(tls=True, reason="drill", actor="test")
        await stub.RevokeKeys(request)


async def changed(
    nodes: dict[str, TestNode], key: Callable[[TestNode], str], do: Callable[[], Awaitable[None]]
) -> None:
    """Does something and waits until every node has another key."""
    before = {code: key(node) for code, node in nodes.items()}
    await do()
    for code, node in nodes.items():
        await until(lambda: key(node) != before[code], within_s=PATIENCE_S)  # noqa: B023


async def change_all(country: Country) -> None:
    """TLS by revocation, then seals by a new issuing CA."""
    nodes = country.nodes

    async def revoke_tls() -> None:
        for node in nodes.values():
            await end_tls(node)

    async def rotate() -> None:
        await asyncio.to_thread(country.registry.rotate_authority, OFFICER)

    await changed(nodes, current, revoke_tls)
    await changed(nodes, in_use, rotate)
    for code, node in nodes.items():
        await until(lambda: sealed_with(country, code) == in_use(node), within_s=PATIENCE_S)  # noqa: B023


@pytest.mark.timeout(300 + 120 * ROUNDS)
async def test_t35_keys_and_authority_change_under_load_and_no_document_fails(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal_life, "PEERS_HAVE_IT", timedelta(seconds=0))
    monkeypatch.setattr(seal_life, "SPREAD", timedelta(seconds=0))
    monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=1))
    monkeypatch.setattr(seal_renewal, "LOOK_EVERY", timedelta(seconds=0.3))
    first, second = country.first, country.second
    loads = [Load(first, "G01"), Load(second, "H29")]
    async with country.serving(), running(first, second):
        await knows(first)
        await knows(second)
        stop = asyncio.Event()
        handing_in = [asyncio.create_task(load.run(stop)) for load in loads]
        try:
            monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=60))
            before = in_use(first), in_use(second)
            await until(
                lambda: in_use(first) != before[0] and in_use(second) != before[1],
                within_s=PATIENCE_S,
            )
            monkeypatch.setattr(seal_life, "RENEW_BEFORE", timedelta(days=1))
            for _ in range(ROUNDS):
                await change_all(country)
        finally:
            stop.set()
            await asyncio.gather(*handing_in)
        for load in loads:
            count = "SELECT count(*) FROM delivery WHERE state = 'delivered'"
            await until(
                lambda: load.node.count(count) == load.handed_in,  # noqa: B023
                within_s=PATIENCE_S,
            )
            assert load.refused == []
            assert load.node.count("SELECT count(*) FROM delivery") == load.handed_in
            print(f"to {load.to}: {load.handed_in} documents in {load.took:.0f} s")
        assert first.inbox() == loads[1].handed_in
        assert second.inbox() == loads[0].handed_in
