"""The demonstration keeps its promises, also when it is broken off or a step fails."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, program
from tests.support.network import waited_for

SMALL_MIB = "64"  # the least that can be killed in mid-transfer
DOCUMENT = "Quyết định 28-QĐ-UBND.pdf"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Starts the demonstration with a temporary folder of its own."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [program("edocnode"), "demo", "--attachment-mib", SMALL_MIB, *words],
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines of living processes that name a folder, by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line:
            found[int(path.parent.name)] = line
    return found


def assert_ended(folder: Path) -> None:
    """No process is left that names a folder; a command under way may take a moment to end."""
    waited_for(lambda: not processes_of(folder), within_s=60, what="the end of all processes")


def wait_for_step(demo: subprocess.Popen[str], number: int) -> None:
    """Reads what the demonstration says until a step is done."""
    assert demo.stderr is not None
    assert any(line.lstrip().startswith(f"{number} ") for line in demo.stderr), "it ended before"


@pytest.mark.slow
def test_every_step_holds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = tmp_path / "Thư mục có dấu cách"
    demo = start(folder, "--json")
    out, talk = demo.communicate(timeout=280)
    assert demo.returncode == 0, talk
    shown = json.loads(out)
    assert shown["schema"] == "edoc.demo/v1"
    assert shown["resumed_at_bytes"] > 0
    assert 0 <= shown["sent_again_bytes"] < 10 * 1024 * 1024
    assert [step["number"] for step in shown["steps"]] == list(range(1, 16))
    assert "Verified OK" in talk
    assert "VERIFY.md: VALID" in talk
    assert list(folder.iterdir()) == []
    assert_ended(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_breaking_off_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    demo = start(tmp_path / "demo")
    wait_for_step(demo, 4)
    demo.send_signal(number)
    demo.communicate(timeout=200)
    assert demo.returncode == 130
    assert_ended(tmp_path)
    assert list((tmp_path / "demo").iterdir()) == []


def test_failing_step_is_named_with_the_place_of_its_logs(tmp_path: Path) -> None:
    demo = start(tmp_path / "demo", "--json")
    wait_for_step(demo, 4)
    lines = processes_of(tmp_path).items()
    (node,) = [number for number, line in lines if "serve" in line and "G09" in line]
    os.kill(node, signal.SIGKILL)
    _, talk = demo.communicate(timeout=200)
    told = json.loads(talk.strip().splitlines()[-1])
    assert demo.returncode == 1
    step = re.search(r"Step (\d+)", told["message"])
    assert step is not None, told
    assert int(step[1]) >= 5  # the demonstration goes on while the node is looked for
    assert "serve of G09 ended with -9" in told["message"], "nobody waits for what has ended"
    folder = Path(told["hint"].rpartition(" ")[2])
    assert (folder / "G09.log").is_file()
    assert_ended(tmp_path)


def test_document_of_the_demonstration_is_the_one_of_the_tests() -> None:
    carried = ROOT / "node" / "edocnode" / "demo" / DOCUMENT
    assert carried.read_bytes() == (ROOT / "tests" / "documents" / DOCUMENT).read_bytes()
