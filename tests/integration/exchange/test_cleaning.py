"""Part files that nothing needs go after a while; whatever is needed, or new, stays."""

import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from edockit.blobs import BlobFolder
from edocnode.storage.folder import DataFolder
from edocnode.storage.store import NodeStore, open_store
from edocnode.workers.cleaning import MIN_AGE, UNUSED_FOR, Cleaner
from tests.integration.exchange.conftest import Scene
from tests.integration.exchange.test_parts import LARGE
from tests.support.nodes import TestNode

DIGEST = sha256(LARGE).hexdigest()
LATER = datetime.now(UTC) + MIN_AGE + timedelta(hours=1)


class Shelf:
    """The stopped node's parts, and its cleaner with a clock of the test's."""

    def __init__(self, node: TestNode) -> None:
        folder = DataFolder(node.data)
        self.now = LATER
        self.blobs = BlobFolder(folder.blobs)
        self.database = open_store(f"sqlite:///{folder.database_file}")
        store = NodeStore(self.database)
        self.cleaner = Cleaner(store=store, blobs=self.blobs, clock=lambda: self.now)

    async def looks(self) -> None:
        """Two looks, a day apart."""
        await self.cleaner.look()
        self.now += UNUSED_FOR
        await self.cleaner.look()

    def holds(self) -> bool:
        """Whether the part is there."""
        return self.blobs.holds(DIGEST, len(LARGE))


async def offered(scene: Scene, *, kept: bool) -> Shelf:
    """The shelf of a node to which a large part came, whose document was kept or not."""
    letter = scene.peer.letter(LARGE)
    async with scene.peer.connect() as connection, connection.stream() as stream:
        await stream.exchange(scene.peer.offer(letter))
        for index, content in enumerate(letter.parts):
            await connection.transfer(letter, index, content)
        if kept:
            await stream.exchange(scene.peer.offer(letter))
    await scene.node.stop()
    return Shelf(scene.node)


async def test_the_part_of_an_offer_that_expired_goes_after_a_week_and_a_day(scene: Scene) -> None:
    shelf = await offered(scene, kept=False)
    await shelf.looks()
    assert shelf.holds()  # the offer is not forgotten yet
    scene.node.write("DELETE FROM stage_part", "DELETE FROM stage")
    await shelf.cleaner.look()
    assert shelf.holds()  # not unused for long enough
    shelf.now += UNUSED_FOR
    await shelf.cleaner.look()
    assert not shelf.holds()
    shelf.database.close()


async def test_what_a_document_needs_is_never_removed(scene: Scene) -> None:
    shelf = await offered(scene, kept=True)
    scene.node.write("DELETE FROM stage_part", "DELETE FROM stage")
    shelf.now += timedelta(days=10_000)
    await shelf.looks()
    assert shelf.holds()
    shelf.database.close()


async def test_a_part_that_was_written_anew_stays(scene: Scene) -> None:
    shelf = await offered(scene, kept=False)
    scene.node.write("DELETE FROM stage_part", "DELETE FROM stage")
    shelf.now = datetime.now(UTC) + MIN_AGE - timedelta(hours=1)
    await shelf.cleaner.look()
    shelf.now += UNUSED_FOR
    os.utime(shelf.blobs.path(DIGEST), (shelf.now.timestamp(), shelf.now.timestamp()))
    await shelf.cleaner.look()
    assert shelf.holds()
    shelf.database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    made = BlobFolder(tmp_path / "blobs", reserve_bytes=0)
    made.put(LARGE, DIGEST)
    return made


def test_what_is_newer_than_it_seemed_is_put_back(blobs: BlobFolder) -> None:
    assert not blobs.remove_older(DIGEST, time.time() - 60)
    assert blobs.path(DIGEST).read_bytes() == LARGE
    assert list(blobs.iter_staging()) == []
    assert blobs.remove_older(DIGEST, time.time() + 60)
    assert not blobs.path(DIGEST).exists()
    assert not blobs.remove_older(DIGEST, time.time() + 60)


def test_a_removal_that_a_crash_cut_short_is_undone(blobs: BlobFolder) -> None:
    aside = blobs.path(DIGEST).parent.parent / "staging" / f"removing-{DIGEST}"
    os.replace(blobs.path(DIGEST), aside)
    blobs.put_back_removals()
    assert blobs.path(DIGEST).read_bytes() == LARGE
    assert not aside.exists()
