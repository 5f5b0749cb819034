"""Suits the kernel's scheduling to a program whose threads take turns.

Python's threads hand one lock from one to the next. As it comes, Linux lets a thread that wakes
take the processor from the one that runs, which often is the one that has the lock: the woken one
waits for it at once, and both have lost their place. Under SCHED_BATCH (sched(7)) a woken thread
waits for the end of a turn of some milliseconds where all processors are busy, and for nothing
where one is free.
"""

import os


def suit_to_turns() -> None:
    """Has threads that wake not interrupt those that run; called before threads are started.

    A policy that whoever runs the service has chosen stays, and so does that of a system that has
    no such policy or does not allow it: nothing depends on this but time.
    """
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not on this system; not allowed here
        return
