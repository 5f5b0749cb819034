"""What a peer gives back after a restore counts only when it is this node's own and the peer's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from edoccore.errors import HelloMissingError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Receipt, Result, time_text, uuid_bytes
from edoccore.wire.status import abort_status
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.exchange import Recovered
from edocnode.rpc.messages import hello_to_message, recovered_to_message
from tests.integration.exchange.conftest import make_nation
from tests.support.bad_peer import BadPeer, BadRecipient, Letter, now
from tests.support.nodes import TestNode, make_node, running, until
from tests.support.ports import free_port


class BadGiver(BadRecipient):
    """Gives back whatever a test wants.

    Attributes:
        tail_lost: What its hellos say; ends when the node has all that is given.
        stays: It goes on saying so nevertheless.
        started_again: It cannot tell what was lost before it has heard a hello.
    """

    given: list[Recovered]
    tail_lost = True
    stays = False
    started_again = False

    async def Hello(  # noqa: N802
        self, request: messages.HelloRequest, context: object
    ) -> messages.HelloResponse:
        """Says hello."""
        self.started_again = False
        return messages.HelloResponse(
            hello=hello_to_message(self.peer.hello(tail_lost=self.tail_lost))
        )

    async def Recover(  # noqa: N802
        self,
        request: messages.RecoverRequest,
        context: grpc.aio.ServicerContext[messages.RecoverRequest, messages.RecoverResponse],
    ) -> AsyncIterator[messages.RecoverResponse]:
        """Gives it back."""
        if self.started_again:
            status = abort_status(HelloMissingError("Not met yet."))
            await context.abort(status.code, status.details, status.trailing_metadata)
        if request.complete:
            self.tail_lost = self.stays
            return
        for item in self.given:
            yield recovered_to_message(item)


class Scene:
    """A node of G01, H29 that gives back, and G01's keys to seal what it had lost."""

    def __init__(self, tmp_path: Path) -> None:
        port = free_port()
        nation = make_nation(free_port())
        nation.set_address("H29", f"127.0.0.1:{port}")
        self.node: TestNode = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
        self.giver = BadGiver(nation, nation.agencies["H29"], port)
        self.owner, self.other = (
            BadPeer(nation, nation.agencies["G01"], nation.agencies[code], "")
            for code in ("H29", "H30")
        )

    def item(self, letter: Letter, **changes: object) -> Recovered:
        """A letter of G01 with the receipt of H29, either of which can be bent."""
        values = {
            "network": letter.envelope.network,
            "envelope": sha256(letter.data).hexdigest(),
            "message_id": letter.message_id,
            "from_": letter.envelope.to,
            "to": letter.envelope.from_,
            "result": Result.RECEIVED,
            "time": time_text(now()),
        }
        receipt = canonical.encode(Receipt(**(values | changes)))  # type: ignore[arg-type]
        return Recovered(
            envelope=self.sealed(self.owner, letter.data),
            receipt=self.sealed(self.giver.peer, receipt),
            record=letter.parts[0],
        )

    @staticmethod
    def sealed(peer: BadPeer, data: bytes) -> SealedStatement:
        """A statement under a seal of its own."""
        return peer.seal(data)[0]

    @contextlib.asynccontextmanager
    async def restored(self, *given: Recovered) -> AsyncIterator[None]:
        """H29 says that the tail of the node was lost, and gives something back."""
        self.giver.given = list(given)
        async with self.giver.serve(), running(self.node):
            caller = BadPeer(
                self.giver.peer.nation, self.giver.peer.agency, self.node.agency, self.node.address
            )
            async with caller.connect() as connection:
                await connection.say_hello(tail_lost=True)
                yield


def states(node: TestNode) -> dict[bytes, str]:
    """States of all deliveries."""
    return dict(node.rows("SELECT message_id, state FROM delivery"))


Bend = Callable[[Scene, Letter], Recovered]
BENDS: dict[str, Bend] = {
    "record of other bytes": lambda scene, letter: replace(
        scene.item(letter), record=letter.parts[0].replace(b"subject", b"content")
    ),
    "receipt for another sender": lambda scene, letter: scene.item(letter, to="H30"),
    "receipt of another code": lambda scene, letter: scene.item(letter, from_="H30"),
    "envelope sealed by the peer": lambda scene, letter: replace(
        scene.item(letter), envelope=scene.sealed(scene.giver.peer, letter.data)
    ),
    "receipt sealed by the node": lambda scene, letter: replace(
        scene.item(letter), receipt=scene.sealed(scene.owner, b"{}")
    ),
    "sent to another": lambda scene, _: scene.item(scene.other.letter()),
}


@pytest.mark.parametrize("bend", BENDS)
async def test_what_does_not_hold_is_left_out_and_the_rest_comes_back(
    tmp_path: Path, bend: str
) -> None:
    scene = Scene(tmp_path)
    good = scene.owner.letter()
    bad = BENDS[bend](scene, scene.owner.letter())
    async with scene.restored(bad, scene.item(good)):
        wanted = {uuid_bytes(good.message_id): "delivered"}
        await until(lambda: states(scene.node) == wanted)
        await asyncio.sleep(0.2)
        assert states(scene.node) == wanted


def lost_by(node: TestNode) -> set[str]:
    """Agencies for which the node alarms that its own tail was lost."""
    found = node.rows("SELECT subject FROM alarm WHERE kind = 'OWN_TAIL_LOST'")
    return {subject for (subject,) in found}


async def test_the_alarm_about_the_own_tail_ends_once_each_peer_has_given_back(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.giver.stays = True
    letter = scene.owner.letter()
    async with scene.restored(scene.item(letter)):
        await until(lambda: states(scene.node))
        nation = scene.giver.peer.nation
        other = BadPeer(nation, nation.agencies["H30"], scene.node.agency, scene.node.address)
        async with other.connect() as connection:
            await connection.say_hello(tail_lost=True)
            await until(lambda: lost_by(scene.node) == {"H29", "H30"})
            scene.giver.stays = scene.giver.tail_lost = False
            again = BadPeer(nation, scene.giver.peer.agency, scene.node.agency, scene.node.address)
            async with again.connect() as connection_again:
                await connection_again.say_hello()
            await until(lambda: lost_by(scene.node) == {"H30"})
            await connection.say_hello()
        await until(lambda: lost_by(scene.node) == set())


async def test_the_alarm_about_the_own_tail_ends_when_all_is_back_without_waiting_for_a_call(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with scene.restored(scene.item(scene.owner.letter())):
        await until(lambda: states(scene.node))
        await until(lambda: not lost_by(scene.node))


async def test_a_peer_that_started_again_is_met_first_and_then_asked_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    nation = scene.giver.peer.nation
    scene.giver.given = [scene.item(scene.owner.letter())]
    scene.giver.tail_lost, scene.giver.started_again = False, True
    async with scene.giver.serve(), running(scene.node):
        await until(lambda: not scene.giver.started_again)  # the node's own hello at its start
        scene.giver.tail_lost = scene.giver.started_again = True
        caller = BadPeer(nation, scene.giver.peer.agency, scene.node.agency, scene.node.address)
        async with caller.connect() as connection:
            await connection.say_hello(tail_lost=True)
        await until(lambda: states(scene.node))
        await until(lambda: not lost_by(scene.node))
    assert not scene.giver.started_again
