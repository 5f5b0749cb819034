"""Threads that meet at the first reading of a kind of statement."""

import subprocess
import sys

import msgspec
import pytest

from edoccore.signing.readers import converted, reader_of
from edoccore.signing.records import Office

# With readers made by eight threads at the same moment every third such process died.
MEET = """
import sys, threading
from edoccore.signing import readers, records, statements
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
def read():
    start.wait()
    for kind in (records.DocumentRecord, statements.Seal, statements.Envelope):
        try:
            readers.reader_of(kind).decode(b'{"issuer":{"code":"H29"},"directory":{"version":1}}')
        except Exception:
            pass
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_that_read_a_kind_for_the_first_time_do_not_end_the_process() -> None:
    codes = [
        subprocess.run([sys.executable, "-c", MEET], check=False).returncode for _ in range(15)
    ]
    assert codes == [0] * 15


def test_a_kind_is_learned_once() -> None:
    assert reader_of(Office) is reader_of(Office)
    assert reader_of(dict[str, str]).decode(b'{"a":"b"}') == {"a": "b"}


def test_what_does_not_fit_is_refused() -> None:
    assert converted({"code": "H29"}, Office) == Office(code="H29")
    with pytest.raises(msgspec.ValidationError):
        converted({"code": 29}, Office)
