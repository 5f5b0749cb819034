"""``edocnode doctor``: green when all is normal, and red for each thing that is really broken."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edoccore.directory.state import DirectoryState, Freshness
from edocnode.app.doctor import Patient, examine
from edocnode.domain.doctor import Check, Health, judge_directory, judge_scanner
from edocnode.rpc.admin_client import open_admin
from edocnode.settings import NodeSettings
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.office.test_timestamps import stamping
from tests.integration.scanning.conftest import scanning
from tests.support.clamd import clamd
from tests.support.disks import fill, small_disk_of
from tests.support.nation import REGISTRY
from tests.support.nodes import TestNode, make_pair, running, served, utc_now
from tests.support.ports import free_port
from tests.support.time_authority import Mood, TestAuthority
from tests.support.token import PIN, SoftToken, give_token

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


def test_nobody_is_sent_for_a_join_string_while_a_node_renews_by_itself(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    ends = seal_of(node).not_valid_after_utc
    for days_left in (120, 59, 40):  # asked for from 60 days on, and officers may take days
        found = look(node, lambda: ends - timedelta(days=days_left))  # noqa: B023
        assert "seal_certificate" not in problems(found), days_left
    late = look(node, lambda: ends - timedelta(days=20))
    assert late["seal_certificate"].hint == f"Run: edocnode serve --data {node.data}"
    ended = look(node, lambda: ends + timedelta(days=1))
    assert "edocnode keys replace JOIN --yes" in ended["seal_certificate"].hint


def test_tls_certificate_that_has_ended_is_no_problem_while_the_next_one_waits(
    tmp_path: Path,
) -> None:
    _, node, _ = make_pair(tmp_path)
    folder = DataFolder(node.data)
    pairs = {name: folder.tls_pair(name) for name in ("current", "next")}
    ends = {
        name: x509.load_der_x509_certificate(pair.certificate).not_valid_after_utc
        for name, pair in pairs.items()
    }
    folder.save_tls_pair("current", pairs["next" if ends["next"] < ends["current"] else "current"])
    found = look(node, lambda: min(ends.values()) - timedelta(days=1))
    assert "tls_certificate" not in problems(found)
    found = look(node, lambda: max(ends.values()) + timedelta(days=1))
    assert "tls_certificate" in problems(found)


def seal_of(node: TestNode) -> x509.Certificate:
    return x509.load_pem_x509_certificates(DataFolder(node.data).seal_chain())[0]


async def test_scanner_is_red_when_it_is_away_or_finds_too_little(tmp_path: Path) -> None:
    _, node, _ = make_pair(tmp_path)
    assert (await looked(node))["scanner"].health is Health.OFF
    with tempfile.TemporaryDirectory(prefix="scan-") as short:
        place = Path(short)
        scanning(node, str(place / "clamd.sock"))
        found = await looked(node)
        assert "scanner" in problems(found)
        assert "systemctl status clamav-daemon" in found["scanner"].hint
        async with clamd(place) as scanner:
            found = await looked(node)
            assert found["scanner"].health is Health.OK, found["scanner"].message
            await scanner.kill()
            scanner.write(encrypted="no")
            await scanner.start()
            assert "AlertEncrypted" in (await looked(node))["scanner"].message
            await scanner.kill()
            scanner.write(encrypted="yes")
            scanner.know(eicar_too=False)
            await scanner.start()
            assert "freshclam" in (await looked(node))["scanner"].message


def test_signatures_of_the_scanner_that_are_old_are_red() -> None:
    version = "ClamAV 1.4.3/27822/Fri Nov 20 08:25:11 2026"
    fresh = judge_scanner(version, datetime(2026, 11, 26, tzinfo=UTC))
    assert (fresh.health, fresh.hint) == (Health.OK, "")
    old = judge_scanner(version, datetime(2026, 11, 29, tzinfo=UTC))
    assert (old.health, old.hint) == (Health.PROBLEM, "Run: systemctl status clamav-freshclam")
    assert judge_scanner("ClamAV 1.4.3", datetime(2026, 11, 29, tzinfo=UTC)).health is Health.OK


def test_wrong_pin_of_a_token_is_red_and_tried_once_however_often_doctor_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nation, node, other = make_pair(tmp_path)
    token = SoftToken.make(tmp_path / "token", monkeypatch.setenv)
    give_token(nation, node, token, [other])
    found = look(node)
    assert (found["token"].health, found["seal_key"].health) == (Health.OK, Health.OK)
    token.write_pin("00000001")
    logins = token.log().count("login")
    for _ in range(3):
        found = look(node)
        assert "token" in problems(found)
        assert found["seal_key"].health is Health.UNKNOWN
        assert "not tried again" in found["token"].message
    assert token.log().count("login") == logins + 1
    token.write_pin(PIN)
    assert look(node)["token"].health is Health.OK


def test_directory_that_officers_extended_is_told_as_that_and_not_as_old() -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    state = DirectoryState(
        freshness=Freshness.EMERGENCY,
        reasons=("identity ended on 2026-11-20.",),
        since=now,
        expires=now + timedelta(days=30),
        expiring_role="extension",
        left=timedelta(days=30),
        officers_alarm=True,
    )
    found = judge_directory(state, 7)
    assert "officers extended it" in found.message
    assert "goes on for 30 days" in found.message
    assert " is old" not in found.message
    assert found.hint.startswith("Officers must sign")


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
