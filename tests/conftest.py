"""What every test may use: the tools of the machine, and settings that make runs repeatable.

Not for fixtures of one subject: those live in ``tests/support`` and are imported where needed.
"""

import gc
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import postgres_server, postgres_url
from tests.support.ran import RanPlugin
from tests.support.stores import postgres_store

__all__ = ["postgres_server", "postgres_store", "postgres_url"]

# What is started in the background by a script ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs under test speak English, whatever the locale of the developer.
os.environ["LC_ALL"] = "C.UTF-8"

IN_CI = os.environ.get("CI") == "true"

# The gate must say the same twice: no random seed, no deadline on a busy machine, no database of
# earlier failures. EDOC_TEST_EXAMPLES=10000 searches harder.
settings.register_profile(
    "gate",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("EDOC_TEST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gate")


def pytest_configure(config: pytest.Config) -> None:
    """In the gate, asks whether the tests that SECURITY.md names have run; once, not per worker."""
    if os.environ.get("EDOC_GATE") == "true" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(RanPlugin(in_ci=IN_CI), "ran")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses names that differ between processes, which pytest-xdist could not share; sorts.

    Files with slow tests come first, or the last of them would run when all else is done.
    """
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"the name of a test holds an address: {unstable[0]}")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Takes the tests themselves out of what every look for garbage goes through, for good."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """Finds a program: ``tool("openssl")``; absent it skips the test, and fails it under CI."""

    def find(name: str) -> Path:
        path = shutil.which(name)
        if path is not None:
            return Path(path)
        reason = f"{name} is not installed; deploy/install-packages installs what the tests need"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)

    return find
