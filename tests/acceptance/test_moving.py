"""A node moves to another host, by the commands of deploy/README.md, while documents travel.

``EDOC_MOVE_ROUNDS`` (default 1) moves it that often; ``EDOC_MOVE_RATE`` is the least number of
documents a second that must have travelled meanwhile (default 0: the machine may be busy).
"""

import os
import re
import shlex
import tarfile
import time
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tests.support.documents import DECISION
from tests.support.load import Load, office_of
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for
from tests.support.ports import free_port

ROUNDS = int(os.environ.get("EDOC_MOVE_ROUNDS", "1"))
RATE = float(os.environ.get("EDOC_MOVE_RATE", "0"))
BETWEEN_S = 2.0
THREADS = 4


def page_commands() -> list[list[str]]:
    """The commands of the page, in order."""
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Moving to a new host\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [
        shlex.split(line, comments=True)[1:]
        for block in blocks
        for line in block.splitlines()
        if line.startswith("edocnode ")
    ]


def move(network: Network, node: Node, folder: Path) -> Node:
    """Moves a node as the page says; returns the program on its old folder."""
    pack, unpack, serve = page_commands()
    assert serve == ["serve"]
    address, file = f"{network.host}:{free_port(network.host)}", str(folder / "edocnode.move")
    stands_for = {
        "/var/tmp/edocnode.move": file,
        "0.0.0.0:7443": address,
        "new.example.vn:7443": address,
    }
    folder.mkdir()
    node.stop()
    old = Node(f"{node.name}-old", node.module, node.data, dict(node.settings))
    node.done(*(stands_for.get(word, word) for word in pack))
    node.data = folder / node.name
    node.done(*(stands_for.get(word, word) for word in unpack))
    node.start()
    assert node.where["listen"] == address
    return old


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * ROUNDS)
def test_node_moves_to_another_host_under_load_and_no_document_fails(network, tmp_path):
    moving, peer = network[NOI_VU], network[HA_TINH]
    loads = [Load(peer, NOI_VU, threads=THREADS), Load(moving, HA_TINH, threads=THREADS, seed=1)]
    began = time.monotonic()
    for load in loads:
        load.start()
    for number in range(ROUNDS):
        time.sleep(BETWEEN_S)
        old = move(network, moving, tmp_path / f"host-{number}")
        assert old.run("serve").error == (6, "NODE_MOVED")
        waited_for(lambda: moving.where["listen"] in addresses(peer), within_s=60)
    time.sleep(BETWEEN_S)
    for load in loads:
        load.stop()
    sent = sum(len(load.acknowledged) for load in loads)
    print(f"{sent} documents in {time.monotonic() - began:.0f} s, {ROUNDS} moves")
    assert sent / (time.monotonic() - began) >= RATE
    for load, recipient in zip(loads, (moving, peer), strict=True):
        with office_of(load.node) as office:
            waited_for(office.is_idle, within_s=90)
        with office_of(recipient) as office:
            came = [item.document_id for item in office.inbox()]
        assert sorted(came) == sorted(item.document_id for item in load.acknowledged)
    assert not {"TWO_HISTORIES", "JOURNAL_BROKEN"} & peer.alarms().keys()


def addresses(node: Node) -> list[str]:
    """Where its peers are, as it knows."""
    found = node.done("peers")["peers"]
    return [address for each in found for address in each["addresses"]]


def test_what_is_cut_off_or_altered_on_its_way_makes_no_node(stopped_network, tmp_path):
    node, file = stopped_network[NOI_VU], tmp_path / "edocnode.move"
    node.done("move", "pack", file)
    whole = file.read_bytes()
    key = whole.index(b"-----BEGIN")
    spoilt = {
        "cut": whole[: len(whole) // 2],
        "altered": whole[: key + 40] + b"#" + whole[key + 41 :],
        "empty": b"",
    }
    there = Node("there", node.module, tmp_path / "there", {})
    for name, data in spoilt.items():
        bad = tmp_path / name
        bad.write_bytes(data)
        assert there.run("move", "unpack", bad).error == (4, "MOVE_FILE_INVALID"), name
        assert not there.data.exists()
    with tarfile.open(tmp_path / "evil", "w") as archive:
        archive.add(DECISION, arcname="../outside")
    assert there.run("move", "unpack", tmp_path / "evil").error == (4, "MOVE_FILE_INVALID")
    assert not (tmp_path / "outside").exists()
    assert there.done("move", "unpack", file)["agency"] == NOI_VU
    assert (there.data / "keys").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in there.data.rglob("*") if path.is_file())


def test_node_with_a_folder_on_another_disk_is_not_packed_without_it(stopped_network, tmp_path):
    node = stopped_network[NOI_VU]
    directory = node.data / "directory"
    directory.rename(tmp_path / "other-disk")
    directory.symlink_to(tmp_path / "other-disk")
    assert node.run("move", "pack", tmp_path / "file").error == (1, "DATA_FOLDER_UNUSABLE")
    directory.unlink()
    (tmp_path / "other-disk").rename(directory)
    assert node.done("move", "pack", tmp_path / "whole")["agency"] == NOI_VU


def test_packed_node_runs_here_again_only_when_a_person_says_so(stopped_network, tmp_path):
    node = stopped_network[NOI_VU]
    node.done("move", "pack", tmp_path / "edocnode.move")
    assert node.run("serve").error == (6, "NODE_MOVED")
    assert node.run("move", "cancel").error == (2, "REQUEST_INVALID")
    assert node.done("move", "cancel", "--yes")["reopened"]
    node.start()
    assert node.run("move", "pack", tmp_path / "again").error == (6, "FOLDER_IN_USE")
