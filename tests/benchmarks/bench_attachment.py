"""Large attachments between two node processes: memory, speed, and what a kill costs.

Run: python -m tests.benchmarks.bench_attachment [MIB ...]. Prints, for each size, the resident
memory of each node idle and at most, MB per second, and the bytes sent again after SIGKILL of
either side in mid-transfer. Fails when a digest is wrong or a bound of the project is broken.
"""

import contextlib
import os
import sys
import tempfile
import threading
import time
from hashlib import file_digest
from pathlib import Path

from edocnode.demo.programs import transfers
from edocnode.rpc.office_client import open_office
from tests.support.network import AGENCIES, HA_TINH, NOI_VU, Network, Node, waited_for

SIZES_MIB = (200, 2048)
MIB = 1 << 20
ATTACHMENT_PART = 1  # 0 is the record
KILL_AT = 0.5  # of the transfer
LOOK_EVERY_S = 0.02
WITHIN_S = 600
OVER_IDLE_MIB = 64
OVER_SMALLER_MIB = 8
SENT_AGAIN_MIB = 10


class Memory:
    """Samples the resident memory of processes while a block runs."""

    def __init__(self, *nodes: Node) -> None:
        """Takes running nodes."""
        self.idle = {node.code: resident(node) for node in nodes}
        self.peak = dict(self.idle)
        self._nodes = nodes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            for node in self._nodes:
                self.peak[node.code] = max(self.peak[node.code], resident(node))


def main() -> None:
    """Measures and prints."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES_MIB
    peaks: list[dict[str, float]] = []
    for size in sizes:
        print(f"attachment of {size} MiB")
        with tempfile.TemporaryDirectory() as folder:
            peaks.append(whole(Path(folder), size))
        for victim in (NOI_VU, HA_TINH):
            with tempfile.TemporaryDirectory() as folder:
                broken(Path(folder), size, victim)
    for code in AGENCIES:
        grown = peaks[-1][code] - peaks[0][code]
        print(f"{code}: {grown:+.1f} MiB at {sizes[-1]} MiB against {sizes[0]} MiB")
        assert grown <= OVER_SMALLER_MIB


def whole(folder: Path, size_mib: int) -> dict[str, float]:
    """Sends it without a break; returns the peak memory of each node, MiB."""
    with running(folder) as network:
        sender, recipient = network[HA_TINH], network[NOI_VU]
        warm_up(sender, recipient, folder)
        path, digest = attachment(folder, size_mib)
        with Memory(sender, recipient) as memory:
            document = send(sender, path)
            began = time.monotonic()
            delivered(sender, document)
            seconds = time.monotonic() - began
        check(recipient, document, digest, folder)
        for node in (sender, recipient):
            idle, peak = memory.idle[node.code], memory.peak[node.code]
            print(
                f"  {node.code} memory: idle {idle:.1f} MiB, at most {peak:.1f} MiB, "
                f"{peak - idle:+.1f} MiB; most ever {node.peak_memory_kib() / 1024:.1f} MiB"
            )
            assert peak - idle <= OVER_IDLE_MIB
        speed = size_mib * MIB / 1e6 / seconds
        print(f"  delivered, with receipt, in {seconds:.2f} s: {speed:.0f} MB/s")
        return memory.peak


def broken(folder: Path, size_mib: int, victim: str) -> None:
    """Kills one side in mid-transfer and starts it again."""
    with running(folder) as network:
        sender, recipient = network[HA_TINH], network[NOI_VU]
        path, digest = attachment(folder, size_mib)
        document = send(sender, path)
        wanted = int(size_mib * MIB * KILL_AT)
        waited_for(lambda: staged(recipient) >= wanted, within_s=WITHIN_S, what="half of it")
        network[victim].kill()
        written = staged(recipient)
        assert written < size_mib * MIB, "too fast: it was over"
        time.sleep(1)
        network[victim].start()
        delivered(sender, document)
        check(recipient, document, digest, folder)
        logged = [e for e in transfers(sender.log, 0) if e["part"] == ATTACHMENT_PART]
        offset = max(e["offset"] for e in logged if e["event"] == "transfer.started")
        # A killed sender cannot say what it sent; what the recipient wrote was surely sent.
        ended = [e["sent"] for e in logged if e["event"] == "transfer.ended"]
        sent = ended[0] if victim == recipient.code else written
        again = (sent - offset) / MIB
        print(
            f"  {'sender' if victim == sender.code else 'recipient'} killed with "
            f"{sent / MIB:.1f} MiB sent: resumed at {offset / MIB:.1f} MiB, "
            f"{again:.1f} MiB sent again"
        )
        assert again < SENT_AGAIN_MIB


@contextlib.contextmanager
def running(folder: Path):
    """A network whose nodes run, for a block."""
    network = Network(folder)
    try:
        network.found()
        network.join(AGENCIES)
        network.start()
        yield network
    finally:
        for program in (*network.nodes.values(), network.registry):
            program.kill()


def warm_up(sender: Node, recipient: Node, folder: Path) -> None:
    """One small offer first, so that idle means a node that has worked before."""
    path, digest = attachment(folder, 1)
    document = send(sender, path)
    delivered(sender, document)
    check(recipient, document, digest, folder)
    path.unlink()
    time.sleep(1)


def attachment(folder: Path, size_mib: int) -> tuple[Path, str]:
    """Writes a file of random bytes."""
    path = folder / f"Phụ lục {size_mib}.bin"
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
    return path, digest_of(path)


def send(sender: Node, path: Path) -> str:
    """Hands it in."""
    words = ("send", path, "--to", NOI_VU, "--subject", path.stem)
    return str(sender.done(*words, timeout_s=WITHIN_S)["document_id"])


def delivered(sender: Node, document: str) -> None:
    """Waits for the receipt."""
    with open_office(sender.socket) as office:

        def is_delivered() -> bool:
            return office.document(document)["sent"]["deliveries"][0]["state"] == "delivered"

        waited_for(is_delivered, within_s=WITHIN_S, what="the receipt")


def check(recipient: Node, document: str, digest: str, folder: Path) -> None:
    """The saved file has the digest of the one that was sent."""
    target = folder / f"saved-{document}"
    saved = recipient.done("save", document, "--to", target, timeout_s=WITHIN_S)
    assert digest_of(Path(saved["files"][0]["path"])) == digest
    Path(saved["files"][0]["path"]).unlink()


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def staged(node: Node) -> int:
    """Bytes of unfinished parts that a recipient has written."""
    return sum(path.stat().st_size for path in (node.data / "blobs" / "staging").glob("*"))


def resident(node: Node) -> float:
    """Resident memory of a node now, MiB."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
