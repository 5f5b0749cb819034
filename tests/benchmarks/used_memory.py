"""Memory that is in use, as that of a server is after its first days: filled with cached pages.

A virtual machine may hand memory that it does not use back to its host. A page that it then needs
comes from there, which makes a write of 8 KiB cost 20 us instead of 2.4: as much as a sixth of all
that a node does for a document, once a run has written more than what happened to be at hand. A
machine whose memory is full of cached pages takes the oldest of those instead.
"""

import os
import tempfile
from pathlib import Path

STEP_BYTES = 1 << 30
ENOUGH = 3  # steps in a row that leave as much free as before
LEAST_BYTES = 64 << 20  # a step that takes less has found the memory full


def use_memory(folder: Path) -> None:
    """Fills memory with pages of an empty file that takes no room on the disk.

    Takes two seconds for each GiB that the host has to give. The pages are gone with the file.

    Args:
        folder: Where the file is made, on a disk, not in memory; whoever removes it ends this.
    """
    handle, _ = tempfile.mkstemp(dir=folder, prefix="cached")
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)  # page by page
    buffer = bytearray(1 << 20)
    try:
        full, free = 0, _free_bytes()
        while full < ENOUGH:
            start = os.fstat(handle).st_size
            os.ftruncate(handle, start + STEP_BYTES)
            while os.readv(handle, [buffer]):
                pass
            free, before = _free_bytes(), free
            full = full + 1 if before - free < LEAST_BYTES else 0
    finally:
        os.close(handle)


def _free_bytes() -> int:
    """Memory that is neither used nor cached; see proc(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name == "MemFree":
            return int(value.split()[0]) << 10
    raise AssertionError("/proc/meminfo does not say what is free")
