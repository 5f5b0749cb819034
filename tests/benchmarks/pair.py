"""Two nodes as programs, with real keys and mutual TLS, and no registry beside them.

Their folders are made from a nation as joining would have left them, which takes milliseconds, and
their databases may be filled before they start.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edocnode.storage.folder import DataFolder
from edocnode.storage.store import open_store
from tests.benchmarks.observing import Progress
from tests.support.nation import Nation
from tests.support.network import Node
from tests.support.nodes import TestNode, make_pair

SENDER, RECIPIENT = "H29", "G01"
FOLDER_VARIABLE = "EDOC_BENCH_FOLDER"  # where data folders lie; the disk under it is measured


@dataclass
class BenchNode(Node):
    """A node's program that may run with options that only a benchmark wants."""

    options: dict[str, str] = field(default_factory=dict)
    database: str = ""
    anew: bool = True

    def command(self, *words: object) -> list[str]:
        """As the node's own; ``serve`` with options goes through ``launch``."""
        if not self.options or words[0] != "serve":
            return super().command(*words)
        launch = [sys.executable, "-m", "tests.benchmarks.launch"]
        return [*launch, *map(str, words), "--data", str(self.data)]

    def environment(self) -> dict[str, str]:
        """Settings and options."""
        return super().environment() | {f"BENCH_{k}": v for k, v in self.options.items()}

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    def progress(self) -> Progress:
        """Its database, read-only."""
        return Progress(self.database)


@dataclass(frozen=True, slots=True)
class Pair:
    """Sender and recipient, not started."""

    nation: Nation
    sender: BenchNode
    recipient: BenchNode

    @property
    def process_ids(self) -> list[int]:
        """Of both, the sender first."""
        return [self.sender.pid, self.recipient.pid]


@contextlib.contextmanager
def pair(
    options: Mapping[str, str] | None = None,
    databases: tuple[str, str] = ("", ""),
    prepare: Callable[[Nation, TestNode, TestNode], None] = lambda *_: None,
    *,
    apart: bool = False,
) -> Iterator[Pair]:
    """Two nodes in a temporary folder; killed and removed at the end.

    Args:
        options: See ``launch``, for both.
        databases: URLs; empty: SQLite in the data folder.
        prepare: Changes the folders of both before anything starts.
        apart: Each is held to a processor of its own.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER_VARIABLE)) as folder:
        nation, *made = make_pair(Path(folder))
        prepare(nation, *made)
        nodes = [
            program(node, options or {}, database)
            for node, database in zip(made, databases, strict=True)
        ]
        if apart:
            for node, processor in zip(nodes, two_processors(), strict=True):
                node.wrapper = held_to(processor)
        try:
            yield Pair(nation, *nodes)
        finally:
            for node in nodes:
                node.kill()


def two_processors() -> list[int]:
    """Numbers of processors to keep two programs apart.

    Raises:
        AssertionError: This machine has one.
    """
    processors = sorted(os.sched_getaffinity(0))
    assert len(processors) > 1, "two programs cannot be kept apart on one processor"
    return processors[:2]


def held_to(processor: int | None) -> list[str]:
    """The words before a command that is held to a processor, from util-linux; None: to none."""
    return [] if processor is None else ["taskset", "--cpu-list", str(processor)]


def program(node: TestNode, options: Mapping[str, str], database: str = "") -> BenchNode:
    """The program for a folder; its database is made, so that it can be filled and looked at."""
    url = database or f"sqlite:///{DataFolder(node.data).database_file}"
    open_store(url).close()
    settings = {
        "LISTEN": node.settings.listen,
        "ADVERTISE": node.settings.advertise,
        "DIRECTORY_REFRESH_S": "3600",
        "LOG_FORMAT": "json",
        "DATABASE": database,
    }
    if node.settings.seal_token is not None:
        settings["SEAL_TOKEN"] = node.settings.seal_token.model_dump_json()
    return BenchNode(
        node.agency.code,
        "edocnode.cli.main",
        node.data,
        settings,
        options=dict(options),
        database=url,
    )
