"""Listed agencies that attack a node, as processes of their own, while another delivers through it.

What a delivery takes under attack is measured by ``benchmarks/bench_attack.py``, not here.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edocnode.domain.exchange import Received
from edocnode.settings import settings_text
from edocnode.storage.folder import DataFolder
from edocnode.workers.suspensions import PEER_SUSPENDED
from tests.integration.exchange.conftest import Scene, make_nation
from tests.integration.exchange.test_limits import resident_bytes
from tests.support.attacker import HELD, AttackProcess, prepare, prepare_offer
from tests.support.bad_peer import BadPeer, Ended
from tests.support.network import Node
from tests.support.nodes import make_node, until
from tests.support.ports import free_port

MEBIBYTE = 1024 * 1024
MOST_GROWTH = 120 * MEBIBYTE
LETTERS = 15  # of the honest agency over each of its connections, one after another
BEGIN_S = 1.0
ATTACK_S = 2.0  # so long at least


pytestmark = [pytest.mark.slow]  # much slower on a busy machine


@pytest.fixture
def folder(scene: Scene, tmp_path: Path) -> Path:
    """What an attacker of H29 needs; H30 is honest."""
    folder = tmp_path / "attacker"
    letters = [scene.peer.letter(bytes(3000)) for _ in range(400)]
    prepare(folder, scene.peer, letters, in_batch=100)
    return folder


async def deliver(honest: BadPeer, scene: Scene, count: int) -> None:
    """Delivers letters one by one; each must get its receipt."""
    async with honest.connect() as connection, connection.stream() as stream:
        for _ in range(count):
            (answer,) = await stream.exchange(honest.parcel(honest.letter()))
            assert scene.told(answer) == ("received", "")


@contextlib.asynccontextmanager
async def attacked(
    scene: Scene, folder: Path, attack: str, *, alarm: str = ""
) -> AsyncIterator[dict[str, int]]:
    """Delivers for H30 while H29 attacks; yields what H29 was told, when all is over.

    Args:
        alarm: The attack goes on until the node raises it.
    """
    honest = scene.other()
    await deliver(honest, scene, 3)
    before, told = resident_bytes(), {}
    attacker = await asyncio.to_thread(AttackProcess.start, folder, attack)
    try:
        began = time.monotonic()
        while time.monotonic() < began + ATTACK_S or (alarm and alarm not in scene.node.alarms()):
            await deliver(honest, scene, LETTERS)
    finally:
        done, told = await asyncio.to_thread(attacker.end)
    assert done or told
    assert resident_bytes() - before < MOST_GROWTH
    yield told
    await deliver(honest, scene, 3)


async def test_t28_a_flood_of_valid_documents_is_told_its_quota_and_delays_no_other_agency(
    scene: Scene, folder: Path
) -> None:
    async with attacked(scene, folder, "flood") as told:
        assert told["QUOTA_EXCEEDED"] > 0
        assert told["receipt"] + told.get("duplicate", 0) > 0


async def test_t28_a_flood_of_hellos_is_refused_and_its_agency_shut_out(
    scene: Scene, folder: Path
) -> None:
    async with attacked(scene, folder, "hellos") as told:
        assert told["QUOTA_EXCEEDED"] > 0
        await until(lambda: PEER_SUSPENDED in scene.node.alarms())
        with pytest.raises(Ended, match="PEER_UNREACHABLE"):
            async with scene.peer.stream():
                pass


async def test_t28_streams_that_are_hoarded_are_bounded_for_each_agency(
    scene: Scene, folder: Path
) -> None:
    async with attacked(scene, folder, "hoard_streams") as told:
        assert told["QUOTA_EXCEEDED"] > 0


async def test_t28_uploads_that_drip_keep_no_other_agency_from_delivering(
    scene: Scene, folder: Path
) -> None:
    letter = scene.peer.letter(*[b"x"] * 60, size_stated=MEBIBYTE)
    prepare_offer(folder, scene.peer, letter)
    async with attacked(scene, folder, "drip") as told:
        assert told["QUOTA_EXCEEDED"] > 0


async def test_t29_whoever_resets_streams_without_end_is_cut_off_and_suspended(
    scene: Scene, folder: Path
) -> None:
    async with attacked(scene, folder, "reset", alarm=PEER_SUSPENDED) as told:
        assert told["CONNECTION_CUT"] > 0


async def test_t29_connections_that_prove_nothing_keep_no_agency_from_delivering(
    scene: Scene, folder: Path
) -> None:
    async with attacked(scene, folder, "connections"):
        pass


async def test_t29_more_connections_than_descriptors_leave_the_node_its_files(
    tmp_path: Path,
) -> None:
    nation = make_nation(free_port())
    made = make_node(nation, nation.agencies["G01"], tmp_path / "G01", port=free_port())
    text = settings_text(made.settings)
    DataFolder(made.data).settings_file.write_text(text, encoding="utf-8")
    limited = ["sh", "-c", 'ulimit -n 300 && exec "$@"', "sh"]
    node = Node("G01", "edocnode.cli.main", made.data, wrapper=limited)
    try:
        address = node.start().where["listen"]
        attacker = BadPeer(nation, nation.agencies["H29"], made.agency, address)
        honest = BadPeer(nation, nation.agencies["H30"], made.agency, address)
        folder = tmp_path / "attacker"
        prepare(folder, attacker, [], in_batch=1)
        async with honest.stream() as stream:  # a connection made before goes on
            attack = await asyncio.to_thread(AttackProcess.start, folder, "connections")
            await asyncio.sleep(BEGIN_S)
            for _ in range(LETTERS):  # each with a part that is a file of its own
                parcel = honest.parcel(honest.letter(os.urandom(100_000)))
                (answer,) = await stream.exchange(parcel)
                assert isinstance(answer, Received)
            done, _ = await asyncio.to_thread(attack.end)
            assert done > HELD / 2
        assert node.running
    finally:
        node.kill()
