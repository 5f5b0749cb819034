"""Suits the C library's allocator to a service that makes and drops buffers of a MiB all the time.

As it comes, glibc asks the kernel for each such buffer and gives it back at once, which has every
page zeroed and mapped anew, and keeps up to eight pools for each processor, each with holes of its
own. Another C library stays as it is: nothing depends on this but time and memory.
"""

import ctypes
from typing import Any

MIB = 1024 * 1024
# glibc's malloc.h, parameters of mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
KEPT_BYTES = 16 * MIB  # free at the end of a pool, before it is given back
MAPPED_BYTES = 4 * MIB  # from which a buffer is mapped alone; no message is as large
POOLS = 2  # threads mostly wait for the interpreter's lock, not for a pool


def suit_to_buffers() -> None:
    """Keeps freed buffers for the next ones, in few pools; called before threads are started."""
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_ARENA_MAX, POOLS)
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Gives the kernel all pages that hold nothing; takes some milliseconds."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any | None:  # noqa: ANN401 - ctypes' own type is private
    """A function of the C library this process runs with; None when it has no such."""
    return getattr(ctypes.CDLL(None), name, None)
