"""A process that adds agencies as fast as it can, until it is killed; says what is done.

Usage: publisher.py FOLDER FIRST_NUMBER
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from edocregistry.app.registry import Registry
from edocregistry.settings import read_settings
from edocregistry.storage.folder import DataFolder


def main() -> None:
    """Adds H10.<number> one after the other and prints each number once it is acknowledged."""
    folder = DataFolder(Path(sys.argv[1]))
    registry = Registry(folder, read_settings(folder.settings), lambda: datetime.now(UTC))
    number = int(sys.argv[2])
    while True:
        registry.add_agency("publisher", f"H10.{number}", "x", aliases=(), owner=None)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
