"""A newcomer's first minutes: a fresh clone in an awkward place, its environment, its commands."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEPT = {"HOME", "PATH", "LANG", "PYTHON"}  # and what tells pip where packages are
TIMEOUT_S = 600


def run(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command with little more than a login shell has; it must succeed."""
    environment = {
        name: text for name, text in os.environ.items() if name in KEPT or name.startswith("PIP_")
    }
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_fresh_clone_in_a_folder_with_spaces_and_vietnamese_letters_works(tool, tmp_path):
    tool("git")
    tool("make")
    checkout = tmp_path / "Văn bản điện tử" / "bản sao 1"
    checkout.parent.mkdir()
    run("git", "clone", "--quiet", ROOT, checkout, folder=tmp_path)
    run("make", "venv", folder=checkout)
    assert run("make", "venv", folder=checkout).stdout == ""  # nothing is left to do

    registry = checkout / ".venv" / "bin" / "edocregistry"
    node = checkout / ".venv" / "bin" / "edocnode"
    data = tmp_path / "dữ liệu"
    run(
        registry, "init", "--network", "vn-test", "--listen", "127.0.0.1:0", "--data", data,
        folder=checkout,
    )  # fmt: skip
    listed = run(registry, "agency", "list", "--json", "--data", data, folder=checkout)
    assert [item["code"] for item in json.loads(listed.stdout)["agencies"]] == ["REGISTRY"]
    assert "Usage: edocnode" in run(node, "--help", folder=checkout).stdout
    assert run("git", "status", "--porcelain", folder=checkout).stdout == ""
