"""One side is down, full or cut off: nothing is lost, and people see what is going on."""

import contextlib
import os
import secrets
import signal
import subprocess
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.disks import fill
from tests.support.documents import DECISION
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

MIB = 1 << 20
LARGE_BYTES = int(os.environ.get("EDOC_LARGE_MIB", "256")) * MIB
SENT_AGAIN_BYTES = 8 * MIB  # at most, after a break
MEMORY_KIB = 64 * 1024  # at most, more than idle
DISK_BYTES = 96 * MIB
SUBJECT = ("--subject", "Thử khi mất kết nối")
WAIT = ("--wait", "60")


def send(node: Node, *words: object, to: str = NOI_VU, file: Path = DECISION) -> str:
    """Sends a document and returns its id."""
    sent = node.done("send", file, "--to", to, *SUBJECT, *words)
    return str(sent["document_id"])


def is_delivered(node: Node, document_id: str) -> bool:
    """Whether the receipt of a document is here."""
    return bool(node.delivery(document_id)["state"] == "delivered")


def test_exchange_goes_on_without_the_registry_also_after_a_restart(network):
    sender, recipient = network[HA_TINH], network[NOI_VU]
    network.registry.kill()
    send(sender, *WAIT)
    for node in (sender, recipient):
        node.restart()
        send(sender, *WAIT)
    send(recipient, *WAIT, to=HA_TINH)
    assert sender.status()["directory"]["state"] == "fresh"


def test_a_program_that_crashes_in_a_library_says_where(network):
    for program in (network.registry, network[NOI_VU]):
        program.process.send_signal(signal.SIGSEGV)
        # Stacks of threads that run are written as far as they can be read.
        assert program.process.wait(60) in {-signal.SIGSEGV, -signal.SIGBUS}
        told = program.log.read_text(errors="replace")
        assert "Fatal Python error: Segmentation fault" in told
        assert "most recent call first" in told
    network[NOI_VU].process = None
    network[NOI_VU].start()
    send(network[HA_TINH], *WAIT)


def test_wait_that_ends_without_a_receipt_is_5_and_the_document_stays_queued(network):
    sender = network[HA_TINH]
    network[NOI_VU].kill()
    outcome = sender.run("send", DECISION, "--to", NOI_VU, *SUBJECT, "--wait", "1")
    assert outcome.code == 5
    assert outcome.read()["deliveries"][0]["state"] in {"queued", "sending"}


def test_outbox_says_since_when_the_recipient_is_down_and_it_gets_all_when_it_returns(network):
    sender, recipient = network[HA_TINH], network[NOI_VU]
    recipient.stop()
    down = datetime.now().astimezone()
    sent = [send(sender) for _ in range(3)]
    delivery = waited_for(lambda: told_to_be_down(sender, sent[0], attempts=2))
    assert delivery["state"] in {"queued", "sending"}
    assert delivery["reason"] == "PEER_UNREACHABLE"
    assert recipient.where["listen"] in delivery["message"]
    since = datetime.fromisoformat(delivery["peer_down_since"])
    assert down - timedelta(seconds=1) <= since <= datetime.now().astimezone()
    assert datetime.fromisoformat(delivery["next_attempt_at"]) > since
    text = sender.run_text("outbox").output
    assert "G01" in text
    assert "next" in text.lower()

    recipient.start()
    for document_id in sent:
        waited_for(lambda one=document_id: is_delivered(sender, one))
    assert sender.delivery(sent[0])["peer_down_since"] is None


def told_to_be_down(node: Node, document_id: str, *, attempts: int) -> Any:
    """The delivery of a document, once the queue knows that its recipient is down."""
    queues = node.status()["queues"]
    if queues and queues[0]["attempts"] >= attempts:
        return node.delivery(document_id)
    return None


@pytest.fixture
def small_disk(stopped_network: Network, tmp_path: Path) -> Network:
    """A network in which the recipient's data folder lies on a small disk of its own."""
    data = stopped_network[NOI_VU].data
    aside = data.rename(tmp_path / "aside")
    data.mkdir(mode=0o700)
    options = f"size={DISK_BYTES},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(data)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = f"a small disk cannot be mounted here: {done.stderr.strip()}"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    subprocess.run(["cp", "--archive", f"{aside}/.", data], check=True)
    yield stopped_network
    stopped_network[NOI_VU].kill()
    subprocess.run(["umount", "--lazy", data], check=True)


def test_full_disk_of_the_recipient_delays_and_heals(small_disk, tmp_path):
    sender, recipient = small_disk[HA_TINH], small_disk[NOI_VU]
    small_disk.start()
    filler = fill(recipient.data, leave_bytes=0)
    small = send(sender)
    large = send(sender, file=large_file(tmp_path, 4 * MIB))
    for document_id in (small, large):
        delivery = waited_for(
            lambda one=document_id: refused_for_now(sender, one), what="try later"
        )
        assert delivery["state"] in {"queued", "sending"}
    with_room = recipient.status()
    assert with_room["agency"] == NOI_VU  # it lives and answers
    filler.unlink()
    waited_for(lambda: is_delivered(sender, small), within_s=60)
    waited_for(lambda: is_delivered(sender, large), within_s=60)
    assert len(recipient.done("inbox")["documents"]) == 2


def refused_for_now(node: Node, document_id: str) -> Any:
    """The delivery of a document, once its recipient has said: try later, my disk is full."""
    delivery = node.delivery(document_id)
    return delivery if delivery["reason"] == "DISK_FULL" else None


def large_file(folder: Path, size: int = LARGE_BYTES) -> Path:
    """A file of random bytes."""
    path = folder / "Hồ sơ quét.bin"
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(secrets.token_bytes(MIB))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("victim", [HA_TINH, NOI_VU])
def test_large_document_survives_a_kill_in_mid_transfer(stopped_network, tmp_path, victim):
    network = stopped_network
    sender, recipient = network[HA_TINH], network[NOI_VU]
    sender.anew = recipient.anew = True
    network.start()
    idle = {code: node.peak_memory_kib() for code, node in network.nodes.items()}
    path = large_file(tmp_path)
    document_id = send(sender, file=path)
    waited_for(lambda: staged_bytes(recipient) > LARGE_BYTES // 3, within_s=60)
    peaks = {code: node.peak_memory_kib() for code, node in network.nodes.items()}
    network[victim].kill()
    before = staged_bytes(recipient)
    assert before < LARGE_BYTES, "the transfer was over before the kill"
    network[victim].start()
    waited_for(lambda: is_delivered(sender, document_id), within_s=90)

    resumed = [event["offset"] for event in sender.events("transfer.started") if event["part"] == 1]
    assert resumed[-1] >= before - SENT_AGAIN_BYTES
    sent_after = [event["sent"] for event in sender.events("transfer.ended") if event["part"] == 1]
    again = sent_after[-1] - (LARGE_BYTES - before)
    assert again <= SENT_AGAIN_BYTES
    for code, node in network.nodes.items():
        peaks[code] = max(peaks[code], node.peak_memory_kib())
        assert peaks[code] - idle[code] < MEMORY_KIB
    saved = Path(recipient.done("save", document_id, "--to", tmp_path / "lưu")["files"][0]["path"])
    assert saved.stat().st_size == LARGE_BYTES
    assert file_digest(saved) == file_digest(path)
    more = {code: (peaks[code] - idle[code]) // 1024 for code in peaks}
    print(f"{again} bytes sent again; MiB over idle: {more}")


def staged_bytes(node: Node) -> int:
    """Bytes of unfinished parts on a node's disk."""
    total = 0
    for file in (node.data / "blobs" / "staging").glob("H29-*"):
        with contextlib.suppress(FileNotFoundError):  # it was finished meanwhile
            total += file.stat().st_size
    return total


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()
