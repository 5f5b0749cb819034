"""A whole network of processes: the registry's program, a node's program for each agency.

Everything is done as operators do it: by the commands, with the join string, with signals. Each
network has a loopback address of its own, so that no other network, however many run at once, can
take a port while its program is down. Logs lie beside the data folders; the ends of them are
printed when a test fails.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import pytest

from edocnode.rpc.admin_client import open_admin
from edocnode.rpc.office_client import open_office
from edocregistry.storage.log_files import LogFiles
from tests.support.commands import ForkedProcess, command_line, launch_forked, run_command
from tests.support.ports import free_port

COMMAND_TIMEOUT_S = 120
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 60
LOOK_EVERY_S = 0.02  # at first
LOOK_AT_LEAST_EVERY_S = 0.25
LOG_LINES_SHOWN = 60
NETWORK = "vn-test"
HA_TINH = "H29"
NOI_VU = "G01"
AGENCIES: Mapping[str, str] = {
    HA_TINH: "Ủy ban nhân dân tỉnh Hà Tĩnh",
    NOI_VU: "Bộ Nội vụ",
}
SUB_AGENCIES: Mapping[str, str] = {"H29.5": HA_TINH, "G01.22": NOI_VU}  # code -> owner
SETTINGS: Mapping[str, str] = {"DIRECTORY_REFRESH_S": "1", "LOG_FORMAT": "json"}


def waited_for(found: Callable[[], Any], *, within_s: float = 60, what: str = "") -> Any:
    """Waits until something holds and returns it.

    Raises:
        AssertionError: It did not come true in time.
    """
    began = time.monotonic()
    while not (value := found()):
        waited = time.monotonic() - began
        assert waited < within_s, f"not within {within_s} s: {what or 'a condition'}"
        # What takes long is asked for more seldom: to ask is work, for a node too.
        time.sleep(min(max(LOOK_EVERY_S, waited / 10), LOOK_AT_LEAST_EVERY_S))
    return value


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    output: str
    talk: str

    @property
    def data(self) -> Any:
        """Its JSON; the command must have succeeded."""
        assert self.code == 0, f"exit code {self.code}: {self.talk}"
        return self.read()

    def read(self) -> Any:
        """Its JSON, however it ended."""
        return json.loads(self.output)

    @property
    def error(self) -> tuple[int, str]:
        """Exit code and reason of a command that failed with ``--json``."""
        assert self.output == "", self.output
        told = json.loads(self.talk.strip().splitlines()[-1])
        assert told["schema"] == "edoc.error/v1"
        return self.code, str(told["reason"])


@dataclass
class Program:
    """One of the two programs on its data folder: started, killed, copied, asked."""

    name: str
    module: str
    data: Path
    settings: dict[str, str] = field(default_factory=dict)
    wrapper: Sequence[str] = ()  # of ``serve``
    process: subprocess.Popen[bytes] | ForkedProcess | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False  # ``serve`` in a new interpreter, as people start it: what is measured

    @property
    def prefix(self) -> str:
        """Of its environment variables."""
        return f"{self.module.partition('.')[0].upper()}_"

    @property
    def log(self) -> Path:
        """What it says; one file for all its starts."""
        return self.data.parent / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def command(self, *words: object) -> list[str]:
        """The words of a process that runs a command of it on its folder."""
        return command_line(self.module, *words, "--data", self.data)

    def environment(self) -> dict[str, str]:
        """The environment of its processes: no settings but those of the test."""
        outer = {
            name: value for name, value in os.environ.items() if not name.startswith(self.prefix)
        }
        return outer | {f"{self.prefix}{key}": value for key, value in self.settings.items()}

    def run(self, *words: object, timeout_s: float = COMMAND_TIMEOUT_S) -> Outcome:
        """Runs a command to its end, with ``--json``."""
        return self.run_text(*words, "--json", timeout_s=timeout_s)

    def run_text(self, *words: object, timeout_s: float = COMMAND_TIMEOUT_S) -> Outcome:
        """Runs a command to its end, as people do."""
        given = [*map(str, words), "--data", str(self.data)]
        environment = self.environment()
        done = run_command(self.module, given, environment=environment, timeout_s=timeout_s)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def done(self, *words: object, timeout_s: float = COMMAND_TIMEOUT_S) -> Any:
        """Runs a command that must succeed and returns its JSON."""
        return self.run(*words, timeout_s=timeout_s).data

    def start(self) -> Self:
        """Starts ``serve`` and waits for its ready line."""
        self.launch()
        self.await_ready()
        return self

    def launch(self) -> None:
        """Starts ``serve`` without waiting for it."""
        assert not self.running, f"{self.name} runs already"
        ready = self._ready_file
        with ready.open("wb") as output, self.log.open("ab") as log:
            self.process = self._forked(output, log) or subprocess.Popen(
                [*self.wrapper, *self.command("serve")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=self.environment(),
            )

    def _forked(self, output: IO[bytes], log: IO[bytes]) -> ForkedProcess | None:
        if self.anew or self.wrapper:
            return None
        words = ["serve", "--data", str(self.data)]
        return launch_forked(self.module, words, self.environment(), output, log)

    def await_ready(self) -> None:
        """Waits until the program that was launched answers."""

        def line() -> str:
            text = self._ready_file.read_text()
            assert text or self.running, f"{self.name} ended: {self.log.read_text()[-2000:]}"
            return text if text.endswith("\n") else ""

        self.where = json.loads(waited_for(line, within_s=START_TIMEOUT_S, what=f"{self.name} up"))

    def stop(self) -> None:
        """Ends it in order; it must end with 0."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(STOP_TIMEOUT_S) == 0, f"{self.name}: {self.log}"
            self.process = None

    def kill(self) -> None:
        """Kills it without warning, and waits until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> Self:
        """Stops and starts it."""
        self.stop()
        return self.start()

    def copy_folder(self, to: Path) -> Path:
        """Copies its data folder as a backup of files would; normally of a stopped program."""
        subprocess.run(["cp", "--archive", self.data, to], check=True)
        return to

    def restore_folder(self, copy: Path) -> None:
        """Puts a copy where the data folder of the stopped program is."""
        assert not self.running
        shutil.rmtree(self.data)
        subprocess.run(["cp", "--archive", copy, self.data], check=True)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of its log with this event, over all its starts."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == name:
                    found.append(event)
        return found

    @property
    def _ready_file(self) -> Path:
        return self.data.parent / f"{self.name}.ready"


class Node(Program):
    """The program of one agency."""

    @property
    def code(self) -> str:
        """Its agency."""
        return self.name

    @property
    def socket(self) -> Path:
        """Where it answers its office."""
        return Path(self.where["socket"])

    def peak_memory_kib(self) -> int:
        """The most memory it ever had resident since its start."""
        assert self.process is not None
        assert self.anew, "a process that was forked begins with the memory of another"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1])

    def delivery(self, document_id: str) -> dict[str, Any]:
        """How a document stands on its way to its first recipient, as ``show`` prints it."""
        with open_office(self.socket) as office:
            found: dict[str, Any] = office.document(document_id)["sent"]["deliveries"][0]
        return found

    def received(self) -> list[str]:
        """Ids of the documents in its inbox, sorted."""
        with open_office(self.socket) as office:
            page = office.inbox(agency="", state="", limit=1000, after="")
        return sorted(item["document_id"] for item in page["documents"])

    def sent(self) -> list[str]:
        """Ids of the documents in its outbox, sorted."""
        with open_office(self.socket) as office:
            page = office.outbox(agency="", state="", limit=1000, after="")
        return sorted(item["document_id"] for item in page["documents"])

    def status(self) -> dict[str, Any]:
        """What ``status`` prints."""
        with open_admin(self.socket) as admin:
            return admin.status()

    def peers(self) -> set[str]:
        """The agencies whose nodes it knows."""
        with open_admin(self.socket) as admin:
            return {peer["agency"] for peer in admin.peers()["peers"]}

    def alarms(self) -> dict[str, str]:
        """Messages of its alarms, by kind."""
        return {alarm["kind"]: alarm["message"] for alarm in self.status()["alarms"]}


class Network:
    """A registry and its nodes."""

    def __init__(self, folder: Path, host: str = "") -> None:
        """Takes the folder for all that it makes, and where to listen."""
        self.folder = folder
        self.host = host or own_host()
        self.registry = Program("registry", "edocregistry.cli.main", folder / "registry")
        self.nodes: dict[str, Node] = {}
        self._more: list[Node] = []

    def found(self) -> None:
        """Founds the registry and starts it."""
        address = f"{self.host}:{free_port(self.host)}"
        self.registry.done("init", "--network", NETWORK, "--listen", address)
        self.registry.start()

    def join(self, agencies: Mapping[str, str], settings: Mapping[str, str] = SETTINGS) -> None:
        """Adds agencies and lets a node of each join, all at once."""
        with ThreadPoolExecutor(len(agencies)) as threads:
            joining = [
                threads.submit(self.join_one, code, name, settings)
                for code, name in agencies.items()
            ]
            for one in joining:
                one.result()

    def join_one(self, code: str, name: str, settings: Mapping[str, str] = SETTINGS) -> Node:
        """Adds an agency, and its sub-agency if it has one, and lets its node join."""
        self.registry.done("agency", "add", code, "--name", name)
        for part, owner in SUB_AGENCIES.items():
            if owner == code:
                words = ("--name", f"Đơn vị thuộc {name}", "--owner", owner)
                self.registry.done("agency", "add", part, *words)
        join = self.registry.done("invite", code)["join"]
        node = Node(code, "edocnode.cli.main", self.folder / code, dict(settings))
        self.nodes[code] = node
        node.done("init", join, "--listen", f"{self.host}:{free_port(self.host)}")
        return node

    def copied(self, folder: Path) -> "Network":
        """The same network in another folder; only one of the two may run."""
        copy = Network(folder, self.host)
        self.registry.copy_folder(copy.registry.data)
        LogFiles(copy.registry.data / "log").note_place()  # of which it is known to be the newest
        for code, node in self.nodes.items():
            there = node.copy_folder(folder / code)
            copy.nodes[code] = Node(code, node.module, there, dict(node.settings))
        return copy

    def start(self) -> None:
        """Starts the registry and all nodes, and waits until they know each other."""
        if not self.registry.running:
            self.registry.start()
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.await_ready()
        waited_for(self._all_listed, what="all nodes in the directory of each")

    def copy_of(self, node: Node, folder: Path, name: str) -> Node:
        """A second program on a copy of a node's folder, listening elsewhere."""
        address = f"{self.host}:{free_port(self.host)}"
        copy = Node(name, node.module, folder, node.settings | {"LISTEN": address})
        self._more.append(copy)
        return copy

    def __getitem__(self, code: str) -> Node:
        """The node of an agency."""
        return self.nodes[code]

    def close(self) -> None:
        """Kills what runs, removes what killed nodes leave outside their folders, shows logs."""
        programs = [*self._more, *self.nodes.values(), self.registry]
        for program in programs:
            program.kill()
        for program in programs:
            _remove_runtime_folder(program.data / "socket")
            if program.log.exists():
                lines = program.log.read_text(errors="replace").splitlines()
                print(f"--- {program.name}: end of {program.log}")  # shown when the test failed
                print("\n".join(lines[-LOG_LINES_SHOWN:]))

    def _all_listed(self) -> bool:
        codes = self.nodes.keys()
        return all(codes - {code} <= node.peers() for code, node in self.nodes.items())


def own_host() -> str:
    """A loopback address that nobody else uses, where the system has more than one."""
    if sys.platform != "linux":
        return "127.0.0.1"
    return "127." + ".".join(str(1 + secrets.randbelow(253)) for _ in range(3))


@pytest.fixture(scope="session")
def joined_network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Two agencies that have joined; nothing runs. Made once, copied for each test."""
    network = Network(tmp_path_factory.mktemp("joined"))
    try:
        network.found()
        network.join(AGENCIES)
        network.registry.stop()
    finally:
        network.close()
    return network


@pytest.fixture
def stopped_network(joined_network: Network, tmp_path: Path) -> Iterator[Network]:
    """A network of two agencies of which nothing runs yet."""
    network = joined_network.copied(tmp_path)
    try:
        yield network
    finally:
        network.close()


@pytest.fixture
def network(stopped_network: Network) -> Network:
    """A running network of two agencies."""
    stopped_network.start()
    return stopped_network


def _remove_runtime_folder(pointer: Path) -> None:
    """Removes the socket of a killed node whose folder has too long a path to hold it."""
    if pointer.is_file():
        place = Path(pointer.read_text()).parent
        if place.name.startswith("edoc-run-"):
            shutil.rmtree(place, ignore_errors=True)
