"""Runs the command ``edocnode`` with what only a benchmark wants, given by the environment.

BENCH_SYNCHRONOUS=NORMAL  SQLite does not wait for the disk at each commit. That loses acknowledged
                          documents in a power cut, so there is no such setting.
"""

import os

from edockit import database
from edocnode.cli.main import main


def apply_options() -> None:
    """Applies what the environment wants."""
    if mode := os.environ.get("BENCH_SYNCHRONOUS"):
        database._WRITER_PRAGMAS = tuple(
            f"synchronous={mode}" if item.startswith("synchronous=") else item
            for item in database._WRITER_PRAGMAS
        )


if __name__ == "__main__":
    apply_options()
    main()
