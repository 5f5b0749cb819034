"""A founded registry on a real folder, with a clock that tests move."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from edocregistry.app.founding import found
from edocregistry.app.registry import Registry
from edocregistry.settings import RegistrySettings, first_settings
from edocregistry.storage.folder import DataFolder
from tests.support.registry import NETWORK, OFFICER, Clock

Founded = tuple[DataFolder, RegistrySettings, datetime]


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    """A registry at the moment of its founding, which no test opens: each takes a copy."""
    clock = Clock()
    folder = DataFolder(tmp_path_factory.mktemp("founded") / "registry")
    settings = first_settings(network=NETWORK, listen="127.0.0.1:7000", advertise=None)
    found(folder, settings, actor=OFFICER, clock=clock)
    return folder, settings, clock.now


@pytest.fixture
def clock(founded: Founded) -> Clock:
    return Clock(founded[2])


@pytest.fixture
def registry(founded: Founded, tmp_path: Path, clock: Clock) -> Registry:
    original, settings, _ = founded
    shutil.copytree(original.path, tmp_path / "registry", symlinks=True)
    folder = DataFolder(tmp_path / "registry")
    folder.log.note_place()  # it is known to be the newest
    return Registry(folder, settings, clock)
