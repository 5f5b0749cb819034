"""Follows single documents from their commit in the outbox to the commit of their receipt.

Both moments are seen by reading the sender's database beside it every 0.2 ms: a reader sees a
transaction once it is committed, so neither the answer of ``Submit`` nor any event is waited for.
"""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from edocnet.office.v1 import office_service_pb2 as messages
from tests.benchmarks.observing import Progress
from tests.benchmarks.pair import RECIPIENT, BenchNode
from tests.support.load import Office, office_of

LOOK_EVERY_S = 0.0002
GAP_S = 0.02  # between two documents, so that each travels alone
WITHIN_S = 60
SIZE = 4 * 1024


def receipt_ms(
    node: BenchNode,
    count: int,
    *,
    urgency: int = messages.URGENCY_UNSPECIFIED,
    going_on: Callable[[], bool] = lambda: True,
) -> list[float]:
    """Milliseconds from committed outbox to committed receipt, one document after another.

    Args:
        going_on: Asked after each document; what was measured when it ends does not count.
    """
    progress = node.progress()
    took: list[float] = []
    try:
        with office_of(node) as office:
            for number in range(count + 1):
                one = _one(office, progress, urgency)
                if not going_on():
                    break
                took += [one] * (number > 0)  # the first opens the connection
                time.sleep(GAP_S)
    finally:
        progress.close()
    return took


def quantiles(took: Sequence[float], name: str) -> dict[str, float]:
    """p50, p95 and p99 of many, named for a table."""
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {f"{name}: p{point} ms": cuts[point - 1] for point in (50, 95, 99)}


def _one(office: Office, progress: Progress, urgency: int) -> float:
    request_id = uuid4().hex
    content = request_id.encode() * (SIZE // 32)
    sending = threading.Thread(
        target=office.submit,
        args=(content,),
        kwargs={"to": [RECIPIENT], "request_id": request_id, "urgency": urgency},
    )
    sending.start()
    kept = _seen(progress, request_id, lambda state: state != "")
    ended = _seen(progress, request_id, lambda state: state == "delivered")
    sending.join()
    return (ended - kept) * 1000


def _seen(progress: Progress, request_id: str, wanted: Callable[[str], bool]) -> float:
    deadline = time.monotonic() + WITHIN_S
    while not wanted(progress.state_of(request_id)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"request {request_id} was not delivered within {WITHIN_S} s")
        time.sleep(LOOK_EVERY_S)
    return time.perf_counter()
