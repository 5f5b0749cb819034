"""A founded registry on a real folder, with a clock that tests move."""

import pytest

from edocregistry.app.registry import Registry
from tests.support.registry import Clock, found_registry


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path, clock) -> Registry:
    return found_registry(tmp_path / "registry", clock)
