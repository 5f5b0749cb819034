"""Runs the command ``edocnode`` with what only a benchmark wants, given by the environment.

BENCH_SYNCHRONOUS=NORMAL  SQLite does not wait for the disk at each commit. That loses acknowledged
                          documents in a power cut, so there is no such setting.
BENCH_COMMIT_ALONE=1      Each write has a commit of its own, and each message a write.
BENCH_SEAL_ALONE=1        Each statement has a seal of its own.
"""

import os
from types import ModuleType

from edockit import database, group_writer
from edocnode.cli.main import main
from edocnode.workers import handed_over, keeping


def apply_options() -> None:
    """Applies what the environment wants."""
    if mode := os.environ.get("BENCH_SYNCHRONOUS"):
        assert "synchronous=FULL" in database._WRITER_PRAGMAS
        database._WRITER_PRAGMAS = (*database._WRITER_PRAGMAS, f"synchronous={mode}")  # type: ignore[assignment]
    if os.environ.get("BENCH_COMMIT_ALONE"):
        _set(group_writer, "MAX_GROUP_WRITES", 1)
        _set(keeping, "SMALL", 0)
    if os.environ.get("BENCH_SEAL_ALONE"):
        _set(handed_over, "GROUP", 1)


def _set(module: ModuleType, name: str, value: int) -> None:
    """Sets a constant that must be there, or the figure would say nothing."""
    assert isinstance(getattr(module, name), int)
    setattr(module, name, value)


if __name__ == "__main__":
    apply_options()
    main()
