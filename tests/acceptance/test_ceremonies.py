"""The ceremonies of registry/README.md, command by command, under a network that goes on working.

Real processes: the registry, two nodes, officers who sign with key files under a passphrase.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edoccore.directory.join import parse_join
from tests.architecture.repository import ROOT
from tests.support.commands import shell_program
from tests.support.load import Load, office_of
from tests.support.network import HA_TINH, NOI_VU, SETTINGS, Network, Node, waited_for
from tests.support.ports import free_port
from tests.support.token import TOKEN, SoftToken

PAGES = ROOT / "registry" / "README.md"
AS_PRINTED = "--listen 0.0.0.0:7440 --advertise registry.example.vn:7440"
PASSPHRASE = "bốn từ ngẫu nhiên"
AWAITING = (5, "AWAITING_OFFICERS")
OFFICERS_COME_WITHIN_S = 200
BACKUP = "edocregistry backup registry.backup --passphrase-file passphrase"
RESTORE = """mv "$EDOCREGISTRY_DATA" lost
edocregistry restore registry.backup --passphrase-file passphrase --mirror bundle
"""
KEYS_CHANGE = (
    "An officer changes",
    "Keys are lost, or the rule changes",
    "auto_publish on again",
)


class Ceremonies:
    """One folder in which all rooms are, and the pages that are carried out there."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.folder = network.folder / "rooms"
        self.folder.mkdir()
        self._programs = network.folder / "bin"
        self._programs.mkdir()
        program = self._programs / "edocregistry"
        program.write_text(shell_program("edocregistry.cli.main"))
        program.chmod(0o755)
        passphrase = self.folder / "passphrase"
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        self._state = network.folder / "variables"
        self.beside: set[str] = set()  # documents that no traffic sent
        self.environment: dict[str, str] = {}  # besides
        self.listen = f"{network.host}:{free_port(network.host)}"

    def carry_out(self, title: str, replaced: dict[str, str] | None = None) -> str:
        """Runs all commands of a page, in a shell that stops at the first one that fails."""
        commands = "\n".join(page(title)).replace(AS_PRINTED, f"--listen {self.listen}")
        for printed, real in (replaced or {}).items():
            assert printed in commands
            commands = commands.replace(printed, real)
        keep = f'touch "{self._state}"; . "{self._state}"'
        write = f'echo "ROOT=$ROOT" > "{self._state}"'
        done = subprocess.run(
            ["bash", "-euc", f"{keep}\n{commands}\n{write}"],
            cwd=self.folder,
            env={
                "PATH": f"{self._programs}:{os.environ['PATH']}",
                "EDOCREGISTRY_DATA": str(self.network.registry.data),
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{title}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def sign_what_waits(self) -> None:
        """Two officers sign an agency's entry, as the page about new agencies says."""
        self.carry_out(
            "A new agency, and whatever else waits",
            {'agency add H40 --name "Ủy ban nhân dân tỉnh Nam Định"': "status"},
        )


def page(title: str) -> list[str]:
    """The commands of one ceremony."""
    text = PAGES.read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)


class Traffic:
    """Documents that travel both ways until it is stopped."""

    def __init__(self, first: Node, second: Node) -> None:
        self.loads = {
            sender.code: Load(sender, recipient.code, threads=1, pause_s=0.2)
            for sender, recipient in ((first, second), (second, first))
        }
        for load in self.loads.values():
            load.start()

    def sent(self, code: str) -> list[str]:
        """Ids of what an agency's office has handed in."""
        return [item.document_id for item in self.loads[code].acknowledged]

    def end(self) -> None:
        """Stops when all that was begun is acknowledged."""
        for load in self.loads.values():
            load.stop()


@pytest.fixture
def ceremonies(tmp_path: Path) -> Iterator[Ceremonies]:
    network = Network(tmp_path)
    try:
        yield Ceremonies(network)
    finally:
        network.close()


def join(ceremonies: Ceremonies, code: str, name: str) -> Node:
    """An agency joins while its entry waits for the officers."""
    network = ceremonies.network
    network.registry.done("agency", "add", code, "--name", name)
    string = network.registry.done("invite", code)["join"]
    node = Node(code, "edocnode.cli.main", network.folder / code, dict(SETTINGS))
    network.nodes[code] = node
    words = ("init", string, "--listen", f"{network.host}:{free_port(network.host)}")
    assert node.run(*words).error == AWAITING
    assert node.run(*words).error == AWAITING  # nothing is lost, nothing is done twice
    waiting = threading.Thread(
        target=lambda: node.done(*words, "--wait", OFFICERS_COME_WITHIN_S, timeout_s=300)
    )
    waiting.start()
    ceremonies.sign_what_waits()
    waiting.join()
    assert node.done(*words)["agency"] == code
    return node


def directory_of(node: Node) -> int:
    return int(node.status()["directory"]["version"])


def published(ceremonies: Ceremonies) -> int:
    return int(ceremonies.network.registry.done("status")["version"])


def all_follow(ceremonies: Ceremonies) -> None:
    """Waits until every node has what the registry publishes."""
    version = published(ceremonies)
    for node in ceremonies.network.nodes.values():
        waited_for(lambda at=node: directory_of(at) >= version, within_s=60, what=node.code)


def nothing_failed(ceremonies: Ceremonies, traffic: Traffic) -> None:
    """Every document that was sent has arrived, once, and no alarm is left."""
    first, second = ceremonies.network.nodes.values()
    for sender, recipient in ((first, second), (second, first)):
        expected = sorted(traffic.sent(sender.code))
        assert len(expected) > 10
        waited_for(
            lambda e=expected, r=recipient: sorted(set(r.received()) - ceremonies.beside) == e,
            within_s=120,
            what="arrival",
        )
        for document_id in expected:
            waited_for(
                lambda s=sender, d=document_id: s.delivery(d)["state"] == "delivered", within_s=60
            )
    for node in ceremonies.network.nodes.values():
        waited_for(lambda at=node: at.alarms() == {}, within_s=60, what=f"{node.code}: no alarm")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_t35_every_ceremony_runs_as_printed_and_no_document_fails(ceremonies):
    network = ceremonies.network
    ceremonies.carry_out("Founding, with officers who sign elsewhere")
    network.registry.start()
    assert not (network.registry.data / "keys" / "identity.pem").exists()
    first = join(ceremonies, HA_TINH, "Ủy ban nhân dân tỉnh Hà Tĩnh")
    join(ceremonies, NOI_VU, "Bộ Nội vụ")
    old_string = network.registry.done("invite", HA_TINH)["join"]
    network.start()
    traffic = Traffic(*network.nodes.values())
    try:
        ceremonies.carry_out("A new agency, and whatever else waits")
        ceremonies.carry_out("An officer changes")
        all_follow(ceremonies)
        network[NOI_VU].stop()  # is off for the next two roots
        ceremonies.carry_out("Keys are lost, or the rule changes")
        ceremonies.carry_out("A key was stolen")
        network[NOI_VU].start()
        all_follow(ceremonies)
        ceremonies.carry_out("auto_publish on again")
        all_follow(ceremonies)
    finally:
        traffic.end()
    assert network.registry.done("status")["auto_publish"] is True
    nothing_failed(ceremonies, traffic)
    shows_evidence(first, traffic, old_string)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_registry_comes_back_from_a_backup_and_from_nothing_and_no_node_is_touched(ceremonies):
    network = ceremonies.network
    ceremonies.carry_out("Founding, with officers who sign elsewhere")
    network.registry.start()
    join(ceremonies, HA_TINH, "Ủy ban nhân dân tỉnh Hà Tĩnh")
    join(ceremonies, NOI_VU, "Bộ Nội vụ")
    network.start()
    for title in KEYS_CHANGE:
        ceremonies.carry_out(title)
    all_follow(ceremonies)
    traffic = Traffic(*network.nodes.values())
    try:
        ceremonies.carry_out("Backup and restore", {RESTORE: "", "edocregistry publish\n": ""})
        network.registry.done("agency", "add", "H41", "--name", "Tỉnh Hậu Giang")
        network.registry.done("revoke", "REGISTRY", "--tls", "--yes")
        all_follow(ceremonies)
        network.registry.kill()
        copy_of_mirror(ceremonies, HA_TINH)
        ceremonies.carry_out("Backup and restore", {BACKUP: ""})
        network.registry.start()
        assert network.registry.done("agency", "show", "H41")["name"] == "Tỉnh Hậu Giang"
        network.registry.done("agency", "add", "H42", "--name", "Tỉnh Bạc Liêu")
        all_follow(ceremonies)

        network.registry.kill()
        copy_of_mirror(ceremonies, NOI_VU)
        shutil.rmtree(network.registry.data)
        ceremonies.carry_out("The registry is lost with everything on it")
        network.registry.start()
        all_follow(ceremonies)
        listed = network.registry.done("agency", "list")["agencies"]
        assert {"H29", "G01", "H41", "H42"} <= {item["code"] for item in listed}
        join_after_the_loss(ceremonies)
    finally:
        traffic.end()
    nothing_failed(ceremonies, traffic)


@pytest.mark.slow
def test_ceremony_of_a_token_runs_as_printed_and_its_key_is_on_no_disk(
    ceremonies, tmp_path, monkeypatch
):
    def setenv(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        ceremonies.environment[name] = value

    token = SoftToken.make(tmp_path / "token", setenv)
    shutil.copy(token.pin_file, ceremonies.folder / "pin")
    ceremonies.carry_out("Founding, with officers who sign elsewhere")
    ceremonies.carry_out(
        "An officer's key in a token",
        {"/usr/lib/softhsm/libsofthsm2.so": str(token.proxy), '"Officer 8"': f'"{TOKEN}"'},
    )
    ceremonies.carry_out("A new agency, and whatever else waits")
    assert b"PRIVATE KEY" not in (ceremonies.folder / "root-8.token").read_bytes()
    status = ceremonies.network.registry.done("status")
    assert status["waiting"] == []
    listed = ceremonies.network.registry.done("agency", "list")["agencies"]
    assert "H40" in {item["code"] for item in listed}


def copy_of_mirror(ceremonies: Ceremonies, code: str) -> None:
    """What an officer brings from a node, once the log there has its directory too."""
    node = ceremonies.network[code]
    waited_for(lambda: node.done("directory", "log")["state"] != "missing", what="the log")
    for name in ("bundle", "log"):
        shutil.copy(node.data / "directory" / name, ceremonies.folder / name)


def join_after_the_loss(ceremonies: Ceremonies) -> None:
    """A new agency joins the rebuilt registry, and old ones take its documents."""
    network = ceremonies.network
    node = network.join_one("H50", "Ủy ban nhân dân tỉnh Vĩnh Long").start()
    waited_for(lambda: NOI_VU in node.peers(), within_s=60)
    waited_for(lambda: "H50" in network[NOI_VU].peers(), within_s=60)
    with office_of(node) as office:
        sent = office.submit(b"x", to=[NOI_VU], request_id="after")
    waited_for(lambda: node.delivery(sent.document_id)["state"] == "delivered", within_s=60)
    node.stop()
    del network.nodes["H50"]
    network[NOI_VU].done("show", sent.document_id)
    ceremonies.beside = {sent.document_id}


def shows_evidence(sender: Node, traffic: Traffic, old_string: str) -> None:
    """Evidence of before and after every change holds from the root that was first told."""
    anchor = parse_join(old_string).root_sha256
    for number, document_id in enumerate((traffic.sent(HA_TINH)[0], traffic.sent(HA_TINH)[-1])):
        file = sender.data.parent / f"{number}.zip"
        sender.done("evidence", "export", document_id, "--out", file)
        sender.done("evidence", "verify", file, "--root", anchor)
