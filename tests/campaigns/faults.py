"""The faults: each is done to running nodes while their offices work, and healed by its end.

A fault returns what it did, for the verdict. That the nodes stand it is checked by ``stage``; what
a fault itself must bring about (a node that stops, one that goes on) is asserted here.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.test_crash import kill_at_random
from tests.campaigns.lossy_disk import LossyDisk
from tests.campaigns.stage import Stage
from tests.campaigns.system_calls import command_under_strace, read_calls
from tests.support.disks import fill, small_disk_of, unavailable
from tests.support.load import Acknowledged, office_of
from tests.support.network import Node
from tests.support.proxy import Proxy

KILLS = 3
SPELL_S = 2.0  # a fault of the network lasts so long
STOP_WITHIN_S = 60
ROOM_BYTES = 128 * 1024 * 1024  # beside what the node has when its disk becomes a small one
LEFT_BYTES = 100_000
LARGE_BYTES = 1_000_000
JUMPS_S = (-90, 120, -150, 60)  # within what a hello lets pass
FAKETIME = "/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        what: In words.
        run: Does it and heals it; returns what was done.
        short: Part of the short campaign.
    """

    what: str
    run: Callable[[Stage], str]
    short: bool = True


def kill(stage: Stage) -> str:
    """SIGKILL of either node and of both."""
    first, second = stage.nodes
    with stage.offices_at_work():
        kill_at_random([[first], [second], [first, second]], KILLS)
    return f"{KILLS} kills"


def _restart(node: Node, wrapper: list[str]) -> None:
    node.stop()
    node.wrapper = wrapper
    node.start()


def _failing(call: str, error: str, when: str) -> list[str]:
    """The words before a command of which calls of one kind fail; counted for each thread."""
    strace = shutil.which("strace")
    if strace is None:
        unavailable("strace is not installed (apt-get install strace)")
    # -D: the node stays the child of this process, so that signals and its exit code are its own.
    words = [
        str(strace),
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        "signal=none",
    ]
    return [*words, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]


def _stops_by_itself(stage: Stage, call: str, when: int) -> str:
    """The node ends with a message and a code when a call fails, and never asks again."""
    node = stage.victim()
    node.stop()
    node.wrapper = _failing(call, "EIO", str(when))
    told_before = node.log.stat().st_size
    with stage.offices_at_work():
        node.launch()
        assert node.process is not None
        code = node.process.wait(STOP_WITHIN_S)
        told = node.log.read_bytes()[told_before:].decode()
        assert code == 1, f"it ended with {code}"
        assert "error: the disk" in told, told[-500:]
        assert "hint: check the disk" in told, told[-500:]
        node.wrapper = ()
        node.start()
    return f"{node.code} stopped at {call} number {when}"


def fsync_of_a_commit(stage: Stage) -> str:
    """A commit's fsync reports EIO once."""
    return _stops_by_itself(stage, "fdatasync", stage.chance.randint(12, 60))


def write_of_a_commit(stage: Stage) -> str:
    """A commit's write reports EIO once."""
    return _stops_by_itself(stage, "pwrite64", stage.chance.randint(60, 200))


def no_room_by_the_system(stage: Stage) -> str:
    """Writes report ENOSPC for a while; the node goes on."""
    node = stage.victim()
    first = stage.chance.randint(60, 120)
    with stage.offices_at_work():
        _restart(node, _failing("pwrite64", "ENOSPC", f"{first}..{first + 30}"))
        time.sleep(SPELL_S)
        assert node.running, "a full disk is no reason to end"
    _restart(node, [])
    return f"{node.code}: writes {first} to {first + 30} of each thread"


def full_disk(stage: Stage) -> str:
    """The disk of a node fills up and has room again."""
    node = stage.victim()
    node.stop()
    aside = stage.scratch / f"{node.code}-aside"
    node.data.rename(aside)
    size = _bytes_in(aside) + ROOM_BYTES
    with small_disk_of(node.data, size) as disk:
        shutil.copytree(aside, disk, dirs_exist_ok=True)
        with stage.offices_at_work():
            node.start()
            with contextlib.suppress(OSError):  # the node may have taken the last bytes itself
                fill(disk, leave_bytes=LEFT_BYTES)
            time.sleep(SPELL_S)
            assert node.running, "a full disk is no reason to end"
            (disk / "filler").unlink()
        node.stop()
        shutil.rmtree(aside)
        shutil.copytree(disk, aside)
    node.data.rmdir()
    aside.rename(node.data)
    node.start()
    return f"{node.code} on {size >> 20} MiB"


def _bytes_in(folder: Path) -> int:
    """What its files take on a disk, in whole blocks."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512


def clock(stage: Stage) -> str:
    """The clock of a node jumps.

    By minutes: what is handed in while a clock is further ahead waits, by rule, until that moment.
    """
    library = next(iter(Path("/").glob(FAKETIME.lstrip("/"))), None)
    if library is None:
        unavailable("faketime is not installed (apt-get install faketime)")
    node, offset = stage.victim(), stage.scratch / "offset"
    offset.write_text("+0s\n")
    wrapper = ["env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}"]
    with stage.offices_at_work():
        _restart(node, [*wrapper, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"])
        for jump_s in JUMPS_S:
            offset.write_text(f"{jump_s:+d}s\n")
            time.sleep(SPELL_S / 2)
        offset.write_text("+0s\n")
        time.sleep(SPELL_S / 2)
    _restart(node, [])
    return f"{node.code} by {', '.join(map(str, JUMPS_S))} s"


def _network(spoil: Callable[[Proxy], object]) -> Callable[[Stage], str]:
    def fault(stage: Stage) -> str:
        with stage.offices_at_work():
            time.sleep(SPELL_S / 4)
            stage.spoil(spoil)
            time.sleep(SPELL_S)
            stage.spoil(Proxy.heal)
        return f"for {SPELL_S} s, both ways"

    return fault


def resets(stage: Stage) -> str:
    """All connections are reset, again and again."""
    count = 8
    with stage.offices_at_work():
        for _ in range(count):
            time.sleep(stage.chance.uniform(0.05, 0.4))
            stage.spoil(Proxy.cut)
    return f"{count} times"


def power_cut(stage: Stage) -> str:
    """A node under load loses its power, and with it all that it had not synced."""
    node, log = stage.victim(), stage.scratch / "calls"
    node.stop()
    disk = LossyDisk(node.data)
    disk.preload()
    with stage.offices_at_work():
        node.wrapper = command_under_strace(log)
        node.start()
        time.sleep(SPELL_S)
        _kill_traced(node)
        for call in read_calls(log):
            disk.apply(call)
        shutil.rmtree(node.data)
        lucky = stage.chance.choice([None, stage.chance])
        disk.rebuild(node.data, lucky)
        node.wrapper = ()
        node.start()
    some = "nothing" if lucky is None else "by chance some"
    return f"{node.code}, {some} of what was not synced survived"


def _kill_traced(node: Node) -> None:
    """Kills a node under strace, and waits until the record of its calls is whole."""
    assert node.process is not None
    pid = node.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    node.process.wait(STOP_WITHIN_S)
    node.process = None


def rot(stage: Stage) -> str:
    """A bit of a received part flips on the disk; it is noticed and not handed out as sound."""
    sender, recipient = stage.nodes
    content = stage.chance.randbytes(LARGE_BYTES)
    file = stage.scratch / "Phụ lục.pdf"
    file.write_bytes(content)
    sent = sender.done("send", file, "--to", recipient.code, "--subject", "Thử", "--wait", "60")
    document = str(sent["document_id"])
    with office_of(sender) as office:
        listed = next(item for item in office.outbox() if item.document_id == document)
    stage.loads[0].acknowledged.append(Acknowledged(document, listed.digests))
    digest = listed.digests[0]
    blob = recipient.data / "blobs" / digest[:2] / digest[2:]
    rotten = bytearray(content)
    rotten[stage.chance.randrange(LARGE_BYTES)] ^= 1 << stage.chance.randrange(8)
    blob.write_bytes(rotten)
    target = stage.scratch / "saved"
    target.mkdir()
    refused = recipient.run("save", document, "--to", target)
    assert refused.error == (1, "STORAGE_DAMAGED"), refused
    assert not [path for path in target.rglob("*") if path.read_bytes() == bytes(rotten)]
    # Asking the sender for the part again belongs here once nodes do it by themselves.
    blob.write_bytes(content)
    recipient.done("save", document, "--to", target)
    shutil.rmtree(target)
    return f"one bit of {LARGE_BYTES} bytes"


def _delay(proxy: Proxy) -> None:
    proxy.delay_s = 0.15


def _throttle(proxy: Proxy) -> None:
    proxy.rate_bytes_s = 40_000


def _blackhole(proxy: Proxy) -> None:
    proxy.blackhole = True


def _refuse(proxy: Proxy) -> None:
    proxy.refuse = True
    proxy.cut()


FAULTS: dict[str, Fault] = {
    "kill": Fault("nodes are killed", kill, short=False),
    "fsync": Fault("an fsync of the database fails", fsync_of_a_commit),
    "write": Fault("a write of the database fails", write_of_a_commit, short=False),
    "enospc": Fault("the system says there is no room", no_room_by_the_system, short=False),
    "full-disk": Fault("a disk fills up", full_disk),
    "clock": Fault("a clock jumps by minutes", clock),
    "resets": Fault("connections are reset", resets, short=False),
    "half-open": Fault("connections lose their other end", _network(Proxy.abandon)),
    "blackhole": Fault("the network swallows everything", _network(_blackhole), short=False),
    "refuse": Fault("nobody can connect", _network(_refuse), short=False),
    "delay": Fault("the network is slow to answer", _network(_delay), short=False),
    "throttle": Fault("the network is narrow", _network(_throttle), short=False),
    "power-cut": Fault("the power is cut", power_cut),
    "rot": Fault("a bit rots", rot),
}
