"""Two signed directories of one version: what proves it, what does not, and what is left of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.directory import layout
from edoccore.directory.equivocation import prove, read_proof
from edoccore.directory_errors import ProofInvalidError
from edoccore.signing.statements import DirectoryMark
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnode.domain import directory as rules
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.directory.conftest import (
    HeardAlarms,
    MakeKeeper,
    RegistryServer,
    RunningRegistry,
    Serve,
    Served,
)
from tests.integration.directory.test_refreshing import running, until
from tests.support.nation import Nation
from tests.support.nodes import make_node


class Shown:
    """What G01's node serves, and the mark that it tells."""

    def __init__(self, nation: Nation, served: Served) -> None:
        self.nation = nation
        self.served = served
        self.files = dict(nation.files)
        served.lie = lambda name, _: self.files.get(name)

    def mark(self, version: int) -> DirectoryMark:
        """Of what it serves, with another hash than anybody has."""
        return DirectoryMark(version=version, hash="0" * 64)


@pytest.fixture
async def shown(nation: Nation, serve_as: Serve, registry: RunningRegistry) -> Shown:
    served = Served()
    servicer = RegistryServer(nation, served)
    port = await serve_as(
        nation.agencies["G01"],
        lambda server: services.add_DirectoryServiceServicer_to_server(servicer, server),
    )
    nation.set_address("G01", f"127.0.0.1:{port}")
    nation.publish()
    return Shown(nation, served)


def fork(nation: Nation) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two directories of one version, both signed by the registry's keys."""
    nation.now += timedelta(seconds=5)
    state = dict(nation.versions), dict(nation.files), dict(nation._signed)
    nation.add_agency("H30", "Shown to one half")
    one = dict(nation.publish())
    nation.versions, nation.files, nation._signed = state
    nation.remove("H30")
    nation.add_agency("H31", "Shown to the other half")
    return one, dict(nation.publish())


@pytest.mark.parametrize("moved_on", [False, True])
async def test_t10_a_peer_that_was_shown_another_directory_gives_the_proof(
    shown: Shown,
    make_keeper: MakeKeeper,
    registry: RunningRegistry,
    alarms: HeardAlarms,
    tmp_path: Path,
    *,
    moved_on: bool,
) -> None:
    nation = registry.nation
    keeper = make_keeper()
    registry.served.lie = lambda name, _: served.get(name)
    served, shown.files = fork(nation)
    await keeper.refresh()
    version = keeper.current.mark.version
    if moved_on:  # the proof is found also when the node has a newer one meanwhile
        nation.now += timedelta(seconds=5)
        served = nation.resign()
        await keeper.refresh()
    async with running(keeper):
        keeper.heard("G01", shown.mark(version))
        await until(lambda: rules.TWO_DIRECTORIES in alarms.kinds())
    (proof,) = DirectoryFiles(tmp_path / "directory", nation.anchor).proofs()
    assert proof.version == version
    checked = read_proof(proof.data, nation.anchor)  # as a third party does, without any node
    assert checked == proof
    with pytest.raises(ProofInvalidError):
        read_proof(proof.data, "0" * 64)
    for place in range(0, len(proof.data), 997):
        with pytest.raises(ProofInvalidError):
            read_proof(proof.data[:place] + b"!" + proof.data[place + 1 :], nation.anchor)


def spaced(data: bytes) -> bytes:
    """The same snapshot with spaces; its signature still holds."""
    return json.dumps(json.loads(data), indent=3).encode()


def changed(data: bytes) -> bytes:
    """A snapshot that nobody signed."""
    return data.replace(b'"length"', b'"longer"')


def as_it_is(data: bytes) -> bytes:
    """The same snapshot: the claim was a lie."""
    return data


def nothing(data: bytes) -> bytes:
    """No file at all."""
    return b""


@pytest.mark.parametrize("forge", [spaced, changed, as_it_is, nothing])
async def test_t10_a_claim_without_two_signed_directories_accuses_nobody(
    shown: Shown,
    make_keeper: MakeKeeper,
    registry: RunningRegistry,
    alarms: HeardAlarms,
    tmp_path: Path,
    forge: Callable[[bytes], bytes],
) -> None:
    keeper = make_keeper()
    await keeper.refresh()
    version = keeper.current.mark.version
    name = layout.file_name(layout.SNAPSHOT, version)
    shown.files[name] = forge(shown.files[name])
    shown.served.asked.clear()
    async with running(keeper):
        keeper.heard("G01", shown.mark(version))
        await until(lambda: name in shown.served.asked)
        await until(lambda: len(registry.served.asked) > 20)
    assert not alarms.kinds()
    assert not DirectoryFiles(tmp_path / "directory", registry.nation.anchor).proofs()


async def test_t10_a_registry_restored_from_a_backup_is_not_accused(
    shown: Shown,
    make_keeper: MakeKeeper,
    registry: RunningRegistry,
    alarms: HeardAlarms,
    tmp_path: Path,
) -> None:
    nation = registry.nation
    backup = dict(nation.versions), dict(nation.files), dict(nation._signed), dict(nation.entries)
    keeper = make_keeper()
    nation.now += timedelta(seconds=5)
    nation.add_agency("H30", "Entered after the backup")
    lost = nation.publish()
    await keeper.refresh()
    version = keeper.current.mark.version
    nation.versions, nation.files, nation._signed, nation.entries = backup
    nation.now += timedelta(hours=1)  # versions are never below the time, so none is given twice
    nation.add_agency("H31", "Entered after the restore")
    nation.resign()
    shown.files = dict(lost)
    async with running(keeper):
        await until(lambda: keeper.current.owns("H31", "H31"))
        keeper.heard("G01", DirectoryMark(version=version, hash="0" * 64))
        await until(lambda: len(registry.served.asked) > 20)
    assert not alarms.kinds()
    assert not DirectoryFiles(tmp_path / "directory", nation.anchor).proofs()


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs ``edocnode``."""
    program = Path(sys.executable).with_name("edocnode")
    return subprocess.run(
        [program, *map(str, words), "--json"], capture_output=True, text=True, check=False
    )


def test_t10_the_proof_is_exported_and_checked_by_whoever_knows_the_root(
    nation: Nation, tmp_path: Path
) -> None:
    node = make_node(nation, nation.agencies["H29"], tmp_path / "node")
    one, other = fork(nation)
    version = nation.versions["snapshot"]
    name = layout.file_name(layout.SNAPSHOT, version)
    chain = nation.directory().chain
    store = DirectoryFiles(DataFolder(node.data).directory, nation.anchor)
    store.keep_proof(prove(chain, one[name], other[name]))
    listed = json.loads(command("directory", "evidence", "--data", node.data).stdout)
    assert [item["version"] for item in listed["proofs"]] == [version]
    out = tmp_path / "proof"
    written = command("directory", "evidence", version, "--out", out, "--data", node.data)
    assert written.returncode == 0, written.stderr
    checked = command("directory", "verify", out, "--root", nation.anchor)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["hashes"] == listed["proofs"][0]["hashes"]
    assert command("directory", "verify", out).returncode == 4
    assert command("directory", "verify", out, "--root", "0" * 64).returncode == 4
    out.write_bytes(out.read_bytes()[:-9])
    assert command("directory", "verify", out, "--root", nation.anchor).returncode == 4
    assert command("directory", "evidence", 7, "--out", out, "--data", node.data).returncode == 3
