"""How a node ends: after what is under way was answered, and at once when its disk fails."""

import asyncio
import errno
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.errors import StorageFailedError
from edoccore.identity.keys import SoftwareSigner
from edocnode.app import node as app
from tests.integration.exchange.conftest import make_nation
from tests.integration.exchange.test_parts import LARGE
from tests.support.bad_peer import BadPeer, Ended
from tests.support.nodes import TestNode, make_node, running, until
from tests.support.ports import free_port

SIGNING_S = 0.5
STOP_S = 40.0  # on a busy machine; calls that are waited for to end would take twice as long


@pytest.fixture
def node(tmp_path: Path) -> tuple[TestNode, BadPeer]:
    """A node of G01 that a test ends, and H29 that calls it."""
    nation = make_nation(free_port())
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    return node, BadPeer(nation, nation.agencies["H29"], node.agency, "")


async def test_what_was_kept_before_the_stop_is_sealed_and_answered(
    node: tuple[TestNode, BadPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, peer = node
    monkeypatch.setattr(app, "DRAIN", timedelta(seconds=2 * STOP_S))
    sign = SoftwareSigner.sign

    def slow(signer: SoftwareSigner, data: bytes) -> bytes:
        time.sleep(SIGNING_S)
        return sign(signer, data)

    async with running(own):
        peer.address = own.address
        async with peer.stream() as stream:
            monkeypatch.setattr(SoftwareSigner, "sign", slow)
            answering = asyncio.create_task(stream.exchange(peer.parcel(peer.letter())))
            await until(lambda: own.count("SELECT count(*) FROM incoming"))
            began = time.monotonic()
            await own.stop()
            assert time.monotonic() - began < STOP_S
            assert len(await answering) == 1
    assert own.inbox() == 1


async def test_a_disk_that_fails_under_a_part_ends_the_node_and_counts_no_byte(
    node: tuple[TestNode, BadPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, peer = node
    await own.start()
    peer.address = own.address
    letter = peer.letter(LARGE)

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(peer.offer(letter))
        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", failing)
            with pytest.raises(Ended):
                await connection.transfer(letter, 1, LARGE)
    assert own.running is not None
    with pytest.raises(StorageFailedError):
        await asyncio.wait_for(own.running, 60)
    own.running = None
    assert own.count("SELECT max(bytes_on_disk) FROM stage_part") == 0
