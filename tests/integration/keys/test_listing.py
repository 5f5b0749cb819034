"""The keys of a node are listed also when its directory is damaged or gone."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.nation import Nation
from tests.support.nodes import make_node


@pytest.mark.parametrize("lost", ["", "damaged", "gone"])
def test_keys_are_listed_whatever_became_of_the_directory(tmp_path: Path, lost: str) -> None:
    nation = Nation.create(datetime.now(UTC))
    nation.add_agency("H29", "Ủy ban nhân dân")
    node = make_node(nation, nation.agencies["H29"], tmp_path / "node")
    (node.data / "edocnode.toml").write_text('listen = "127.0.0.1:7443"\n')
    bundle = node.data / "directory" / "bundle"
    if lost == "damaged":
        bundle.write_bytes(bundle.read_bytes()[:-9])
    if lost == "gone":
        bundle.unlink()
    program = Path(sys.executable).with_name("edocnode")
    words = [program, "keys", "list", "--data", node.data, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {key["name"] for key in found["keys"]} >= {"seal", "tls-current"}
    assert bool(found["problem"]) is bool(lost)
    assert ("expires_at" in found["keys"][0]) is not bool(lost)
