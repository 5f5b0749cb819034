"""A lost encryption key is told with what mends it, until it is restored or given up."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import UNSET

from edoccore.errors import DecisionConflictError, RequestInvalidError
from edoccore.identity.encryption import PublicEncryptionKey
from edocnode.app.encryption_keys import ListedKey, look_at_keys
from edocnode.domain.doctor import Health
from edocnode.storage.encryption_keys import LIST_FILE, SoftwareEncryptionKeys
from edocnode.storage.folder import DataFolder
from edocnode.workers import encryption_keys
from edocnode.workers.encryption_keys import ALARM
from tests.integration.office.test_doctor import looked, problems
from tests.support.encryption import with_keys
from tests.support.nodes import TestNode, make_pair, running, until

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "node")
    made.create()
    return made


def fresh(folder: DataFolder) -> SoftwareEncryptionKeys:
    """As a program has them that was just started."""
    return SoftwareEncryptionKeys(folder, "H29")


def listed(keys: SoftwareEncryptionKeys) -> ListedKey:
    public = keys.current()
    assert public is not None
    return ListedKey(public, NOW)


def test_keys_that_can_be_used_are_no_problem(folder: DataFolder) -> None:
    keys = fresh(folder)
    assert look_at_keys(keys, None).health is Health.OFF
    keys.make(NOW)
    first = listed(keys)
    keys.make(NOW)
    for known in (None, first, listed(keys)):  # the directory learns of a change a minute later
        assert look_at_keys(fresh(folder), known).health is Health.OK
    keys.retire(NOW)
    assert look_at_keys(fresh(folder), first).health is Health.OK


def test_published_key_without_its_files_is_told_with_both_ways_out(folder: DataFolder) -> None:
    row = fresh(folder).make(NOW)
    keys = fresh(folder)
    keys.current()  # a running node has it in memory, and would lose it at its next start
    file = keys.files(row)[1]
    kept = file.read_bytes()
    file.unlink()
    found = look_at_keys(keys, None)
    assert found.health is Health.PROBLEM
    assert row.sha256[:16] in found.message
    for way in ("keys/", "edocnode keys encryption new", "edocnode inbox --since 2026-11-27"):
        assert way in found.hint
    file.write_bytes(kept)
    file.chmod(0o600)
    assert look_at_keys(fresh(folder), None).health is Health.OK


def test_lost_key_that_another_followed_is_told_until_it_is_given_up(folder: DataFolder) -> None:
    keys = fresh(folder)
    lost = keys.make(NOW)
    keys.files(lost)[0].write_bytes(b"no key")
    keys.make(NOW + timedelta(days=3))
    found = look_at_keys(fresh(folder), None)
    assert found.health is Health.PROBLEM
    assert "from 2026-11-27 to 2026-11-30" in found.message
    assert f"give-up {lost.sha256[:16]} --yes" in found.hint
    keys.give_up(lost.sha256[:16], NOW)
    keys.give_up(lost.sha256[:16], NOW)  # once more is as once
    assert look_at_keys(fresh(folder), None).health is Health.OK


def test_only_a_key_that_cannot_be_used_is_given_up(folder: DataFolder) -> None:
    keys = fresh(folder)
    row = keys.make(NOW)
    with pytest.raises(DecisionConflictError):
        keys.give_up(row.sha256[:16], NOW)
    for unknown in ("", "zz"):
        with pytest.raises(RequestInvalidError):
            keys.give_up(unknown, NOW)
    keys.files(row)[0].unlink()
    assert fresh(folder).give_up(row.sha256[:16], NOW).retired is not UNSET
    assert fresh(folder).current() is None


def test_key_of_the_directory_that_a_copied_back_folder_lacks_is_told(folder: DataFolder) -> None:
    keys = fresh(folder)
    keys.make(NOW)
    known = listed(keys)
    shutil.rmtree(folder.keys)
    folder.keys.mkdir(mode=0o700)
    keys = fresh(folder)
    assert look_at_keys(keys, known).health is Health.PROBLEM
    for _ in range(2):
        keys.remember(known.public, known.since, NOW)
    [row] = keys.rows()
    assert (row.sha256, row.retired is UNSET) == (known.public.sha256, False)
    assert look_at_keys(fresh(folder), None).health is Health.PROBLEM  # also when it is unlisted


def test_damaged_list_is_told(folder: DataFolder) -> None:
    fresh(folder).make(NOW)
    (folder.keys / LIST_FILE).write_bytes(b"[")
    found = look_at_keys(fresh(folder), ListedKey(PublicEncryptionKey(bytes(1216)), NOW))
    assert found.health is Health.PROBLEM
    assert str(folder.keys / LIST_FILE) in found.message
    assert "backup" in found.hint


def test_digest_of_a_lost_key_names_it_and_not_its_place_in_the_list(folder: DataFolder) -> None:
    keys = fresh(folder)
    rows = [keys.make(NOW) for _ in range(3)]
    keys.files(rows[1])[0].unlink()
    found = look_at_keys(fresh(folder), None)
    assert rows[1].sha256[:16] in found.message
    keys.files(rows[2])[0].unlink()
    found = look_at_keys(fresh(folder), None)
    assert rows[2].sha256[:16] in found.message  # the published one comes first
    assert "Others that cannot be used: 1" in found.message


async def test_running_node_raises_an_alarm_for_a_lost_key_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption_keys, "EVERY", timedelta(seconds=0.5))
    nation, node, other = make_pair(tmp_path)
    with_keys(nation, node, other)
    keys = SoftwareEncryptionKeys(DataFolder(node.data), node.agency.code)
    async with running(node):
        assert "encryption_keys" not in problems(await looked(node))
        [row] = keys.rows()
        keys.files(row)[0].unlink()
        await until(lambda: alarm(node), within_s=60)
        assert "encryption_keys" in problems(await looked(node))
        await node.stop()
        await node.start()
        assert row.sha256[:16] in alarm(node)
        keys.make(NOW + timedelta(days=1))
        await until(lambda: "retired" in alarm(node), within_s=60)
        keys.give_up(row.sha256, NOW)
        await until(lambda: not alarm(node), within_s=60)
        assert "encryption_keys" not in problems(await looked(node))


def alarm(node: TestNode) -> str:
    return node.alarms().get(ALARM, "")


async def test_running_node_remembers_a_key_that_its_folder_lost(tmp_path: Path) -> None:
    nation, node, other = make_pair(tmp_path)
    with_keys(nation, node, other)
    folder = DataFolder(node.data)
    [row] = SoftwareEncryptionKeys(folder, node.agency.code).rows()
    for file in folder.keys.glob("encryption*"):
        file.unlink()
    async with running(node):
        await until(lambda: row.sha256[:16] in alarm(node), within_s=60)
    [kept] = SoftwareEncryptionKeys(folder, node.agency.code).rows()
    assert kept.sha256 == row.sha256
