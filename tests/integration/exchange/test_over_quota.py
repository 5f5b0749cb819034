"""A node that is told of a quota keeps everything, and comes again when it may."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import grpc

from edocnode.domain.quotas import CALL_LIMITS, FAULTS_AT_ONCE, FAULTS_PER_S, SUSPENSION_S
from tests.support.bad_peer import BadPeer, now
from tests.support.nodes import TestNode, make_pair, running, until


async def told(node: TestNode, sent: object, reason: str) -> bool:
    return (await node.delivery(sent)).reason == reason  # type: ignore[arg-type]


async def test_a_sender_with_too_many_streams_keeps_all_and_delivers_when_there_is_room(
    tmp_path: Path,
) -> None:
    nation, first, second = make_pair(tmp_path)
    async with running(first, second):
        same = BadPeer(nation, first.agency, second.agency, second.address)
        async with same.connect() as connection:
            held = [connection.call("Deliver") for _ in range(CALL_LIMITS["Deliver"].open_at_once)]
            for call in held:
                await call.wait_for_connection()
            sent = [await first.send(f"{number}".encode(), to=["G01"]) for number in range(20)]
            await until(lambda: told(first, sent[0], "QUOTA_EXCEEDED"))
            for call in held:
                call.cancel()
        await first.delivered(*sent)
        assert second.inbox() == 20


async def test_a_sender_that_is_suspended_comes_no_earlier_than_it_was_told(
    tmp_path: Path,
) -> None:
    nation, first, second = make_pair(tmp_path)
    async with running(first, second):
        same = BadPeer(nation, first.agency, second.agency, second.address)
        async with same.connect() as connection:
            for number in itertools.count():
                if "PEER_SUSPENDED" in second.alarms():
                    break
                call = connection.call("Deliver")
                with contextlib.suppress(grpc.RpcError):  # refused, or cut off
                    await call.wait_for_connection()
                call.cancel()
                if number > FAULTS_AT_ONCE:  # so slowly that it is not shut out, too
                    await asyncio.sleep(0.8 / FAULTS_PER_S)
        sent = await first.send(b"waits", to=["G01"])
        await until(lambda: told(first, sent, "QUOTA_EXCEEDED"))
        next_ms = first.count("SELECT next_at FROM peer WHERE agency = 'G01'")
        assert next_ms / 1000 > now().timestamp() + SUSPENSION_S / 2
        assert first.state(sent.message_id) == "queued"
