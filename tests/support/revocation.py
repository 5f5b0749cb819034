"""How long a node takes calls of a TLS certificate after its revocation was published.

Real nodes, mutual TLS and signed directories; the caller is a peer whose key was stolen and who
tries without pause, in each way that could be left open.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc.experimental import session_cache

from edoccore.directory.layout import RevocationKind
from tests.support.bad_peer import BadPeer, Connection, Ended, Stream
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_node, running, served, utc_now
from tests.support.ports import free_port

IDLE, BUSY, RESUMED = "idle connection", "busy stream", "resumed TLS session"
RESTARTED = "restart with the registry down"
REFUSED = (Ended, grpc.RpcError, asyncio.TimeoutError)
PAUSE_S = 0.05
SURE_S = 1.5  # without any success before it counts as over
TRIED_AFTER_RESTART = 20
LONGEST = 5  # times ``watch_s``: a way in that is open still is told, not tried for ever


async def measured(folder: Path, *, refresh_s: float, watch_s: float) -> dict[str, float]:
    """Seconds from publication to the last accepted call, by situation; 0: none was accepted.

    Args:
        folder: For the node's data.
        refresh_s: How often the node looks at the registry.
        watch_s: How long each way is tried, at least.
    """
    port = free_port()
    nation = Nation.create(utc_now())
    nation.set_address("REGISTRY", f"127.0.0.1:{port}")
    for code in ("H29", "G01"):
        nation.add_agency(code, f"Agency {code}")
    node = make_node(nation, nation.agencies["G01"], folder / "G01", directory_refresh_s=refresh_s)
    async with served(nation, port), running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        found = await _while_running(nation, peer, watch_s)
    async with running(node):  # nobody answers at the registry's address
        found[RESTARTED] = await _after_restart(nation, node)
    return found


async def _while_running(nation: Nation, peer: BadPeer, watch_s: float) -> dict[str, float]:
    cache = ("grpc.ssl_session_cache", session_cache.ssl_session_cache_lru(16))
    async with (
        peer.connect(cache) as idle,
        peer.connect() as other,
        other.stream() as stream,
    ):
        await idle.say_hello()  # leaves a ticket
        await stream.exchange(peer.parcel(peer.letter()))

        async def resumed() -> None:
            async with peer.connect(cache) as connection:
                await connection.say_hello()

        ways: dict[str, Callable[[], Awaitable[object]]] = {
            IDLE: lambda: _hello(idle),
            BUSY: lambda: _parcel(peer, stream),
            RESUMED: resumed,
        }
        for way in ways.values():
            await way()  # each is open before
        nation.revoke("H29", RevocationKind.TLS)
        nation.publish()
        began = time.monotonic()
        found = await asyncio.gather(*(_last(way, began, watch_s) for way in ways.values()))
    return dict(zip(ways, found, strict=True))


async def _hello(connection: Connection) -> None:
    await connection.say_hello()


async def _parcel(peer: BadPeer, stream: Stream) -> None:
    await stream.exchange(peer.parcel(peer.letter()))


async def _last(way: Callable[[], Awaitable[object]], began: float, watch_s: float) -> float:
    """When a way in was last open."""
    last, end = began, began + LONGEST * watch_s
    while (now := time.monotonic()) - began < watch_s or (last > now - SURE_S and now < end):
        try:
            await asyncio.wait_for(way(), SURE_S)
            last = time.monotonic()
        except REFUSED:
            pass  # as it should be from some moment on
        await asyncio.sleep(PAUSE_S)
    return last - began


async def _after_restart(nation: Nation, node: TestNode) -> float:
    began, last = time.monotonic(), 0.0
    peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
    for _ in range(TRIED_AFTER_RESTART):
        try:
            async with peer.connect() as connection:
                await asyncio.wait_for(connection.say_hello(), SURE_S)
                last = time.monotonic() - began
        except REFUSED:
            await asyncio.sleep(PAUSE_S)
    return last
