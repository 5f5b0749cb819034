"""What the allocator's settings save, counted by the kernel in processes of their own."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

MIB = 1 << 20
# Four buffers of a MiB live at a time, as in a transfer; every fourth pass all are dropped.
PAGE_FAULTS = """
import resource, sys
from edockit import allocator
if sys.argv[1] == "suited":
    allocator.suit_to_buffers()
held = []
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(400):
    held.append(b"%d" % (number % 10) * (1 << 20))
    if len(held) == 4:
        held.clear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GIVEN_BACK = """
from edockit import allocator
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
allocator.suit_to_buffers()
held = [bytes([number % 255 + 1]) * 100_000 for number in range(400)]
kept = held[::40]
full = resident()
del held
allocator.give_back()
print(full - resident())
"""


def _number(code: str, *words: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_buffers_that_come_and_go_are_not_mapped_anew_each_time():
    bare, suited = _number(PAGE_FAULTS, "bare"), _number(PAGE_FAULTS, "suited")
    assert suited < 5_000 < bare


def test_free_memory_between_what_is_kept_goes_back_to_the_system():
    assert _number(GIVEN_BACK) > 25 * MIB
