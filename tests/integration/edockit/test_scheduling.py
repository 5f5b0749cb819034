"""How the kernel schedules the threads of a program that was suited to turns, as it tells."""

import os
import subprocess
import sys

import pytest

POLICIES = """
import os, sys, threading
from edockit import scheduling
policy = os.sched_getscheduler
if sys.argv[1] == "chosen":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
if sys.argv[1] == "refused":
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")
    os.sched_setscheduler = refuse
if sys.argv[1] == "elsewhere":
    del os.sched_getscheduler
scheduling.suit_to_turns()
stop = threading.Event()
threading.Thread(target=stop.wait).start()
print({policy(int(task)) for task in os.listdir("/proc/self/task")})
stop.set()
"""


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        ("free", os.SCHED_BATCH),
        ("chosen", os.SCHED_IDLE),
        ("refused", os.SCHED_OTHER),
        ("elsewhere", os.SCHED_OTHER),
    ],
)
def test_threads_wait_for_the_end_of_a_turn_unless_something_else_was_chosen(case, policy):
    done = subprocess.run(
        [sys.executable, "-c", POLICIES, case], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"{{{policy}}}\n"
