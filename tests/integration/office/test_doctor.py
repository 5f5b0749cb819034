"""``edocnode doctor``: green when all is normal, and red for each thing that is really broken."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edocnode.app.doctor import Patient, examine
from edocnode.domain.doctor import Check, Health
from edocnode.rpc.admin_client import open_admin
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.office.test_timestamps import stamping
from tests.support.disks import fill, small_disk_of
from tests.support.nation import REGISTRY
from tests.support.nodes import TestNode, free_port, make_pair, running, served, utc_now
from tests.support.time_authority import Mood, TestAuthority

ASKED = ("alarms", "peers", "clock")  # of a running node alone


def look(node: TestNode, clock: Callable[[], datetime] = utc_now) -> dict[str, Check]:
    """What the command finds, whether the node runs or not."""
    with contextlib.ExitStack() as stack:
        client = None
        if node.running is not None:
            assert node.where is not None
            client = stack.enter_context(open_admin(node.where.socket))
        found = examine(Patient(DataFolder(node.data), node.settings, client, clock))
    assert len({check.code for check in found}) == len(found)
    return {check.code: check for check in found}


async def looked(node: TestNode, clock: Callable[[], datetime] = utc_now) -> dict[str, Check]:
    return await asyncio.to_thread(look, node, clock)


def problems(found: dict[str, Check]) -> set[str]:
    for check in found.values():
        if check.health in (Health.PROBLEM, Health.UNKNOWN):
            assert check.hint, f"{check.code} does not say what to do"
    return {code for code, check in found.items() if check.health is Health.PROBLEM}


def later(days: float) -> Callable[[], datetime]:
    return lambda: utc_now() + timedelta(days=days)


async def test_node_whose_registry_and_peers_answer_is_all_green(tmp_path: Path) -> None:
    port = free_port()
    nation, one, other = make_pair(tmp_path)
    nation.set_address(REGISTRY, f"127.0.0.1:{port}")
    nation.publish()
    async with served(nation, port):
        for node in (one, other):
            DirectoryFiles(node.data / "directory", nation.anchor).save(nation.directory())
        async with running(one, other):
            found = await looked(one)
    assert problems(found) == set()
    assert {check.health for check in found.values()} == {Health.OK, Health.OFF}


async def test_normal_node_is_never_red_running_or_stopped(
    tmp_path: Path,
) -> None:
    _, one, other = make_pair(tmp_path)
    async with running(one, other):
        found = await looked(one)
    # In this test no registry runs, and that is told; nothing else is.
    assert problems(found) == {"registry"}
    assert all(found[code].health is Health.OK for code in ASKED)
    assert found["timestamps"].health is Health.OFF
    stopped = await looked(one)
    assert problems(stopped) == {"registry"}
    assert all(stopped[code].health is Health.UNKNOWN for code in ASKED)
    assert f"edocnode serve --data {one.data}" in stopped["peers"].hint


async def test_database_of_a_running_node_is_not_opened(tmp_path: Path) -> None:
    _, one, _ = make_pair(tmp_path)
    async with running(one):
        before = sorted(os.listdir(one.data))
        opened: list[str] = []
        real = sqlite3.connect

        def noting(place: str, **options: object) -> sqlite3.Connection:
            opened.append(place)
            return real(place, **options)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite3, "connect", noting)
            found = await looked(one)
        assert opened == []
        assert sorted(os.listdir(one.data)) == before
    assert "running node" in found["database"].message


async def test_peer_that_is_down_is_red_with_the_command_that_calls_it(tmp_path: Path) -> None:
    _, one, other = make_pair(tmp_path)
    async with running(one):
        found = await looked(one)
    assert problems(found) >= {"peers"}
    assert found["peers"].hint == f"Run: edocnode ping {other.agency.code}"


async def test_t32_clock_that_is_off_is_told_as_our_clock(tmp_path: Path) -> None:
    _, one, other = make_pair(tmp_path)
    other.clock = lambda: utc_now() + timedelta(minutes=3)
    async with running(one, other):
        found = await looked(one)
    assert "clock" in problems(found)
    assert found["clock"].message.startswith("The clock of this machine is off by 1")
    assert found["clock"].hint == "Run: timedatectl set-ntp true"


def test_certificates_that_end_are_red(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    found = look(node, later(10 * 365))
    assert problems(found) >= {"seal_certificate", "tls_certificate", "directory"}
    assert f"edocregistry invite {node.agency.code}" in found["seal_certificate"].hint


def test_directory_that_is_old_or_damaged_is_red(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    assert "directory" in problems(look(node, later(3)))
    for file in (node.data / "directory").rglob("*"):
        if file.is_file():
            file.write_bytes(b"{}")
    assert "directory" in problems(look(node))


def test_seal_key_that_is_another_one_is_red(tmp_path: Path) -> None:
    _, one, other = make_pair(tmp_path)
    key = DataFolder(one.data).seal_key_file
    key.write_bytes(DataFolder(other.data).seal_key_file.read_bytes())
    assert "seal_key" in problems(look(one))


def test_key_that_others_may_read_is_red(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    DataFolder(node.data).seal_key_file.chmod(0o644)
    assert "seal_key" in problems(look(node))


@pytest.mark.parametrize("spoil", ["damaged", "newer"])
async def test_database_that_is_damaged_or_newer_is_red(spoil: str, tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    async with running(node):
        pass
    assert "database" not in problems(await looked(node))
    path = DataFolder(node.data).database_file
    if spoil == "damaged":
        path.write_bytes(b"no database at all".ljust(8192, b"."))
    else:
        with contextlib.closing(sqlite3.connect(path)) as opened:
            opened.execute("UPDATE alembic_version SET version_num = '9999'")
            opened.commit()
    assert "database" in problems(await looked(node))


def test_name_without_an_address_is_red(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    changed = {**node.settings.model_dump(), "advertise": "khong-co.invalid:4433"}
    node.settings = NodeSettings.model_validate(changed)
    found = look(node)
    assert "dns" in problems(found)
    assert found["dns"].hint == "Run: getent hosts khong-co.invalid"


def test_disk_without_room_is_red(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    with small_disk_of(tmp_path / "disk", 4 << 20) as disk:
        shutil.copytree(node.data, disk / "node")
        node.data = disk / "node"
        assert problems(look(node)) == {"disk", "registry"}
        fill(disk, leave_bytes=0)
        found = look(node)
    assert problems(found) == {"disk", "fsync", "registry"}
    assert "No space left" in found["fsync"].message


async def test_timestamp_authority_that_fails_is_red_and_its_alarm_too(tmp_path: Path) -> None:
    authority = TestAuthority.make(tmp_path / "authority")
    _, node, _ = make_pair(tmp_path)
    with authority.serving():
        stamping(node, authority)
        assert (await looked(node))["timestamps"].health is Health.OK
        authority.mood = Mood.ERROR
        async with running(node):
            found = await looked(node)
            while "alarms" not in problems(found):
                await asyncio.sleep(0.3)
                found = await looked(node)
    assert {"timestamps", "alarms"} <= problems(found)
    assert "answers with 503" in found["timestamps"].message
    assert "timestamps.behind" in found["alarms"].message
