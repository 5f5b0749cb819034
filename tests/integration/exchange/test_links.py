"""A link that another one replaces ends its calls with an error, never the task that made them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from edoccore.directory.layout import RevocationKind
from edoccore.errors import PeerUnreachableError
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Hello, PeerLink
from edocnode.domain.model import MessageId
from edocnode.domain.repair import PartName
from edocnode.rpc import peers
from edocnode.rpc.peers import Links, OwnTls
from tests.integration.exchange.conftest import make_nation
from tests.support.bad_peer import BadPeer, BadRecipient
from tests.support.nodes import until, utc_now
from tests.support.ports import free_port


class HangingRecipient(BadRecipient):
    """Takes every call and never answers it."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.called = asyncio.Event()

    async def Hello(self, request: messages.HelloRequest, context: object) -> None:  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Deliver(self, requests: AsyncIterator[object], context: object) -> None:  # type: ignore[override]  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Transfer(self, requests: AsyncIterator[object], context: object) -> None:  # type: ignore[override]  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Recover(self, request: object, context: object) -> None:  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Reconcile(self, request: object, context: object) -> None:  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Inquire(self, request: object, context: object) -> None:  # noqa: N802
        """Hangs."""
        await self._hang()

    async def Fetch(self, request: object, context: object) -> None:  # noqa: N802
        """Hangs."""
        await self._hang()

    async def _hang(self) -> None:
        self.called.set()
        await asyncio.Event().wait()


class Zeros:
    """A part that nobody asks for."""

    sent = 0

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        """Zeros without end."""
        while True:
            yield bytes(1000)


async def recover(link: PeerLink, _: Hello) -> None:
    async for _item in link.recover():
        pass


async def transfer(link: PeerLink, _: Hello) -> None:
    await link.transfer(MessageId(bytes(16)), 1, offset=0, source=Zeros(), epoch=bytes(16))


PART = PartName(message_id=MessageId(bytes(16)), envelope_digest=bytes(32), index=1)
CALLS: dict[str, Callable[[PeerLink, Hello], Awaitable[object]]] = {
    "hello": lambda link, hello: link.hello(hello),
    "deliver": lambda link, hello: link.deliver(hello),
    "transfer": transfer,
    "recover": recover,
    "recovered": lambda link, _: link.recovered(),
    "reconcile": lambda link, _: link.reconcile(bytes(16), [(1, 2)]),
    "inquire": lambda link, _: link.inquire([]),
    "fetch": lambda link, _: anext(link.fetch(PART, 0)),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_on_a_link_that_is_replaced_fails_as_unreachable(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "HELLO_WAIT", timedelta(seconds=2))
    nation, port = make_nation(free_port()), free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    recipient = HangingRecipient(nation, nation.agencies["H29"], port)
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own = nation.directory(), OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    async with recipient.serve():
        link = links.link("H29")
        calling = asyncio.ensure_future(CALLS[call](link, caller.hello()))
        await asyncio.wait_for(recipient.called.wait(), 60)
        own = OwnTls(caller.chain + b"\n", caller.key)  # the node has a new certificate
        assert links.link("H29") is not link
        with pytest.raises(PeerUnreachableError):  # at the latest when its time is over
            await asyncio.wait_for(calling, 60)
        await links.close()


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_on_a_link_that_was_closed_fails_as_unreachable(call: str) -> None:
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{free_port()}")
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own = nation.directory(), OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    link = links.link("H29")
    await links.close()
    with pytest.raises(PeerUnreachableError, match="replaced"):
        await CALLS[call](link, caller.hello())


async def test_a_link_is_forgotten_when_nobody_uses_it_and_no_call_is_under_way() -> None:
    nation, port = make_nation(free_port()), free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    recipient = HangingRecipient(nation, nation.agencies["H29"], port)
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own, later = nation.directory(), OwnTls(caller.chain, caller.key), timedelta()
    links = Links(directory=lambda: directory, own=lambda: own, clock=lambda: utc_now() + later)
    async with recipient.serve():
        link = links.link("H29")
        await links.rest()
        assert links.link("H29") is link  # just wanted
        calling = asyncio.ensure_future(link.hello(caller.hello()))
        await asyncio.wait_for(recipient.called.wait(), 60)
        later = timedelta(hours=1)
        await links.rest()
        assert links.link("H29") is link  # a call is under way
    with pytest.raises(PeerUnreachableError):
        await asyncio.wait_for(calling, 60)
    later = timedelta(hours=2)

    async def forgotten() -> bool:
        await links.rest()
        return links._links == {}

    await until(forgotten)  # its end is noted a turn after its caller knows of it
    await links.close()


async def test_a_link_to_a_node_that_is_down_is_forgotten_at_once() -> None:
    nation = make_nation(free_port())
    nation.set_address("H29", f"127.0.0.1:{free_port()}")
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own = nation.directory(), OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    with pytest.raises(PeerUnreachableError):
        await links.link("H29").hello(caller.hello())
    await links.rest()
    assert links._links == {}
    await links.close()


async def test_a_caller_that_is_cancelled_stays_cancelled() -> None:
    nation, port = make_nation(free_port()), free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    recipient = HangingRecipient(nation, nation.agencies["H29"], port)
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own = nation.directory(), OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    async with recipient.serve():
        calling = asyncio.ensure_future(links.link("H29").hello(caller.hello()))
        await asyncio.wait_for(recipient.called.wait(), 60)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await links.close()


async def test_t36_a_call_under_way_to_a_server_whose_certificate_was_revoked_is_ended() -> None:
    nation, port = make_nation(free_port()), free_port()
    nation.set_address("H29", f"127.0.0.1:{port}")
    recipient = HangingRecipient(nation, nation.agencies["H29"], port)
    caller = BadPeer(nation, nation.agencies["G01"], nation.agencies["H29"], "")
    directory, own = nation.directory(), OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    async with recipient.serve():
        calling = asyncio.ensure_future(CALLS["deliver"](links.link("H29"), caller.hello()))
        await asyncio.wait_for(recipient.called.wait(), 60)
        links.follow(directory)
        await asyncio.sleep(0.1)
        assert not calling.done()
        nation.revoke("H29", RevocationKind.TLS)
        directory = nation.directory()
        links.follow(directory)
        with pytest.raises(PeerUnreachableError):
            await asyncio.wait_for(calling, 60)
        with pytest.raises(PeerUnreachableError, match="no usable endpoint"):
            links.link("H29")  # its only certificate
        await links.close()
