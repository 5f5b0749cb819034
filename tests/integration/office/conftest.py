"""Two running nodes, H29 and G01, with offices beside them; no registry."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.nodes import TestNode, make_pair, running

Pair = tuple[TestNode, TestNode]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        yield sender, recipient


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[TestNode]:
    """H29 while G01 is down."""
    _, sender, _ = make_pair(tmp_path)
    async with running(sender):
        yield sender
