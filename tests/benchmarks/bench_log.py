"""What the log of published directories costs a node: bytes and processor time of a look.

    python -m tests.benchmarks.bench_log

Processor time, so that other programs on the machine change little.
"""

import time
from datetime import UTC, datetime

from edoccore.directory.bundle import encode_log, keep_log
from edoccore.directory.transparency import Waiting, begin, judge_log, mark_in, take
from edocnet.directory.v1 import directory_service_pb2 as messages
from tests.support.logs import MadeLog, mark, witness_signer

SIZES = (10_000, 100_000)  # versions: a nation's first year, its first ten
WITNESSES = ("G01", "G02", "G03")
RUNS = 20


def made_log(size: int) -> MadeLog:
    """A log that three witnesses cosigned, two of whom must."""
    signers = {code: witness_signer(code) for code in WITNESSES}
    made = MadeLog(witnesses=signers, threshold=2)
    made.add(*(mark(number) for number in range(size)))
    return cosigned(made)


def cosigned(made: MadeLog) -> MadeLog:
    """Has all witnesses cosign the newest version."""
    for code in WITNESSES:
        made.cosign(code, datetime.now(UTC))
    return made


def main() -> None:
    """Measures and prints."""
    for size in SIZES:
        made = made_log(size)
        begun = time.process_time()
        held = begin(made.info, made.answer())
        first = time.process_time() - begun
        kept = len(encode_log(keep_log(held, Waiting())))
        print(f"{size} versions: the first look {first:.2f} s, on disk {kept} B")
        spent, sent = 0.0, 0
        for number in range(RUNS):
            cosigned(made.add(mark(size + number)))
            answer = made.answer(held.size)
            begun = time.process_time()
            held = take(held, answer)
            judge_log(held, mark_in(held.leaves[-40:]), datetime.now(UTC))
            spent += time.process_time() - begun
            sent += messages.GetLogResponse(
                checkpoint=answer.checkpoint, witnessed=answer.witnessed, leaves=answer.leaves
            ).ByteSize()
        print(f"  one version more: {sent // RUNS} B, {1000 * spent / RUNS:.2f} ms")
    asked = messages.GetLogRequest(size=SIZES[-1], digest=bytes(32)).ByteSize()
    print(f"nothing new: {asked} B asked, {messages.GetLogResponse().ByteSize()} B answered")


if __name__ == "__main__":
    main()
