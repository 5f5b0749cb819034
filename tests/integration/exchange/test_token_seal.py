"""Nodes whose seal is in a real PKCS#11 token: slow, hanging, pulled out, with the wrong PIN."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from edockit import token as edockit_token
from edocnet.office.v1 import office_service_pb2 as offices
from tests.support.nodes import Sent, TestNode, make_pair, running, until
from tests.support.token import PIN, SoftToken, give_token

SIGNATURES_PER_S = 20
DOCUMENTS = 600


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    return SoftToken.make(tmp_path / "token", monkeypatch.setenv)


@asynccontextmanager
async def longest_pause() -> AsyncIterator[list[float]]:
    """Measures how long the event loop was not asked, s; the list has it at the end."""
    pauses = [0.0]

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            pauses[0] = max(pauses[0], time.monotonic() - before - 0.01)

    watching = asyncio.create_task(watch())
    try:
        yield pauses
    finally:
        watching.cancel()


async def test_a_recipient_whose_token_hangs_keeps_answers_try_later_and_heals(
    tmp_path: Path, token: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edockit_token, "WITHIN", timedelta(seconds=6))
    nation, first, second = make_pair(tmp_path)
    give_token(nation, second, token, [first])
    async with running(first, second):
        await first.delivered(await first.send(b"before", to=["G01"]))
        token.control("hang", 60_000)
        async with longest_pause() as pauses:
            sent = await first.send(b"meanwhile", to=["G01"])
            await until(lambda: second.count("SELECT count(*) FROM incoming") == 2)
            await until(lambda: "gave no answer" in second.alarms().get("SEALER_STOPPED", ""))
            waiting = await until(lambda: told_to_wait(first, sent), within_s=60)
            assert waiting.reason == "SEALER_STOPPED"
            assert second.inbox() == 1
        assert pauses[0] < 4, "the event loop waited for the token"
        token.control("fine")
        await first.delivered(sent, within_s=60)
        await until(lambda: "SEALER_STOPPED" not in second.alarms())
    assert second.inbox() == 2
    assert second.count("SELECT count(*) FROM incoming") == 2


async def told_to_wait(node: TestNode, sent: Sent) -> offices.Delivery | None:
    """The delivery, once the recipient said why it is not answered yet."""
    found = await node.delivery(sent)
    return found if found.reason else None


async def test_a_sender_whose_token_is_out_keeps_what_is_handed_in_also_over_a_restart(
    tmp_path: Path, token: SoftToken
) -> None:
    nation, first, second = make_pair(tmp_path)
    give_token(nation, first, token, [second])
    async with running(second):
        async with running(first):
            await first.delivered(await first.send(b"before", to=["G01"]))
            token.control("gone")
            sent = [await first.send(b"without", to=["G01"])]
            await until(lambda: "does not sign" in first.alarms().get("SEALER_STOPPED", ""))
        async with running(first):  # starts without it
            sent.append(await first.send(b"still without", to=["G01"]))
            assert first.state(sent[1].message_id) == "unsealed"
            token.control("fine")
            await first.delivered(*sent, within_s=60)
            await until(lambda: "SEALER_STOPPED" not in first.alarms())
    assert second.inbox() == 3


async def test_a_node_stops_in_order_while_its_token_hangs(
    tmp_path: Path, token: SoftToken
) -> None:
    nation, first, second = make_pair(tmp_path)
    give_token(nation, first, token, [second])
    async with running(first):
        token.control("hang", 60_000)
        before = len(token.log())
        sent = await first.send(b"meanwhile", to=["G01"])
        await until(lambda: len(token.log()) > before)
        began = time.monotonic()
        await first.stop()
        assert time.monotonic() - began < 30  # of the minute that the token hangs
    token.control("fine")
    async with running(first, second):
        await first.delivered(sent, within_s=60)


async def test_wrong_pin_is_tried_once_and_the_right_one_heals(
    tmp_path: Path, token: SoftToken
) -> None:
    nation, first, second = make_pair(tmp_path)
    give_token(nation, first, token, [second])
    token.write_pin("11112222")
    logins = token.log().count("login")
    for _ in range(2):
        async with running(first):
            await until(lambda: "refused the PIN" in first.alarms().get("SEALER_STOPPED", ""))
            await asyncio.sleep(2.5)  # the sealer tries twice again
    assert token.log().count("login") == logins + 1
    async with running(first, second):
        sent = await first.send(b"kept", to=["G01"])
        token.write_pin(PIN)
        await first.delivered(sent, within_s=60)
    assert token.log().count("login") == logins + 2


def seals(node: TestNode) -> int:
    """How many seals a node made."""
    return node.count("SELECT count(*) FROM seal")


async def test_a_slow_token_seals_many_documents_with_each_signature(
    tmp_path: Path, token: SoftToken
) -> None:
    nation, first, second = make_pair(tmp_path)
    give_token(nation, first, token, [second])
    async with running(first, second):
        await first.delivered(await first.send(b"before", to=["G01"]))
        before = seals(first)
        token.control("delay", 1000 // SIGNATURES_PER_S)
        sent = []
        for _ in range(DOCUMENTS // 60):
            sent += await asyncio.gather(*(first.send(b"x", to=["G01"]) for _ in range(60)))
        await first.delivered(*sent, within_s=60)
        # At 20 signatures a second this carries 1,000 documents a second and more.
        made = seals(first) - before
    # Handing in one by one is slower than the token: what counts is that seals wait for nobody.
    assert made < DOCUMENTS / 4, f"{made} seals for {DOCUMENTS} documents"
