"""Two nodes of which G01 scans what arrives; and a short folder for sockets."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edocnode.rpc.quarantine_client import QuarantineClient, open_quarantine
from edocnode.settings import NodeSettings
from tests.support.nodes import TestNode, make_pair, running


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        yield Path(folder)


def scanning(node: TestNode, address: str, **settings: object) -> None:
    """Lets a node scan; it must be stopped."""
    values = node.settings.model_dump() | {"scanner": address} | settings
    node.settings = NodeSettings.model_validate(values)


@contextlib.asynccontextmanager
async def pair(
    folder: Path, address: str, **settings: object
) -> AsyncIterator[tuple[TestNode, TestNode]]:
    """H29, and G01, which scans; both run."""
    _, sender, recipient = make_pair(folder)
    scanning(recipient, address, **settings)
    async with running(sender, recipient):
        yield sender, recipient


@contextlib.contextmanager
def quarantine(node: TestNode) -> Iterator[QuarantineClient]:
    """The administrator's side of a node; call it from a thread."""
    assert node.where is not None
    with open_quarantine(node.where.socket) as client:
        yield client
