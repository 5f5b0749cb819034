"""A full disk: the old directory stays in force, and the registry heals when space returns."""

import shutil
from hashlib import sha256

import pytest

from edoccore.directory import loading
from edoccore.errors import DiskFullError
from edocregistry.app.registry import Registry
from edocregistry.storage.folder import DataFolder
from tests.support.disks import fill, small_disk_of
from tests.support.registry import OFFICER

DISK_BYTES = 2 * 1024 * 1024  # room for the 199 files of a directory


@pytest.fixture
def small_disk(tmp_path):
    with small_disk_of(tmp_path / "small-disk", DISK_BYTES) as point:
        yield point


def published(registry):
    files = DataFolder(registry.folder.path).directory
    return loading.load(files.bundle(), sha256(files.roots()[1]).hexdigest())


def add_many(registry):
    for number in range(100):
        registry.add_agency(OFFICER, f"H10.{number}", "x" * 900, aliases=(), owner=None)


@pytest.mark.parametrize("left", [0, 8_192, 70_000])
def test_full_disk_leaves_the_directory_whole_and_heals_with_space(
    registry, clock, small_disk, left
):
    folder = small_disk / "registry"
    shutil.copytree(registry.folder.path, folder)
    full = Registry(DataFolder(folder), registry.settings, clock)
    full.publisher.log.confirm()
    before = published(full).mark
    filler = fill(small_disk, leave_bytes=left)
    with pytest.raises(DiskFullError):
        add_many(full)
    assert published(full).mark.version >= before.version
    filler.unlink()
    healed = Registry(DataFolder(folder), registry.settings, clock)
    healed.add_agency(OFFICER, "H29", "x", aliases=(), owner=None)
    assert {"H29", "REGISTRY"} <= set(published(healed).identities)
    assert list((folder / "directory").glob(".*.tmp")) == []
