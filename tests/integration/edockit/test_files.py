"""Durable and private files."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edoccore.errors import (
    DataFolderError,
    DiskFullError,
    FolderInUseError,
    KeyUnusableError,
)
from edockit import files
from tests.support.disks import fill, run_with_failing_fsync

WRITE = """
import sys
from pathlib import Path
from edockit import files
from edoccore.errors import EdocError
try:
    files.write_file_atomic(Path(sys.argv[1]), b"new")
except EdocError as error:
    print(error.reason)
else:
    print("written")
"""


def test_a_file_is_replaced_whole_and_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        files.write_file_atomic(path, b"one")
        files.write_file_atomic(path, b"two")
        files.write_file_atomic(tmp_path / "shown", b"x", mode=0o644)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shown").stat().st_mode) == 0o644
    assert sorted(file.name for file in tmp_path.iterdir()) == ["key", "shown"]


def test_on_a_full_disk_the_old_file_stays_and_nothing_is_left(small_disk: Path) -> None:
    path = small_disk / "bundle"
    files.write_file_atomic(path, b"old")
    filler = fill(small_disk, leave_bytes=8_192)
    with pytest.raises(DiskFullError):
        files.write_file_atomic(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert sorted(file.name for file in small_disk.iterdir()) == ["bundle", "filler"]
    filler.unlink()
    files.write_file_atomic(path, bytes(100_000))
    assert path.stat().st_size == 100_000


def test_a_failed_fsync_of_the_folder_is_reported(tmp_path: Path) -> None:
    done = run_with_failing_fsync(WRITE, str(tmp_path / "file"), path=tmp_path, when=1)
    assert done.stdout.strip() == "STORAGE_FAILED", done.stderr


def test_a_file_open_to_others_names_the_command_to_run(tmp_path: Path) -> None:
    key, folder = tmp_path / "it's a key", tmp_path / "data"
    key.touch()
    folder.mkdir()
    key.chmod(0o640)
    folder.chmod(0o755)
    with pytest.raises(KeyUnusableError, match="640") as caught:
        files.check_private(key)
    assert caught.value.hint.startswith("chmod 600 ")
    with pytest.raises(DataFolderError) as folder_caught:
        files.check_private(folder)
    assert folder_caught.value.hint.startswith("chmod 700 ")
    for error, path in ((caught.value, key), (folder_caught.value, folder)):
        subprocess.run(["sh", "-c", error.hint], check=True)
        files.check_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    os.chown(key, 65_534, 65_534)
    with pytest.raises(KeyUnusableError, match="65534"):
        files.check_private(key)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match="No such file"):
        files.check_private(tmp_path / "key")


def test_a_locked_folder_names_the_process_that_has_it(tmp_path: Path) -> None:
    with files.lock_folder(tmp_path), pytest.raises(FolderInUseError) as caught:
        files.lock_folder(tmp_path)
    assert caught.value.fields["pid"] == str(os.getpid())
    lock = files.lock_folder(tmp_path)
    lock.release()
    lock.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from edockit import files\n"
        "lock = files.lock_folder(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert (tmp_path / "lock").read_text().strip() != str(os.getpid())
    with files.lock_folder(tmp_path):
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())


def test_a_missing_folder_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError):
        files.lock_folder(tmp_path / "missing")


def test_private_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_private_folder(folder)
    files.make_private_folder(folder)
    files.check_private(folder)
    files.check_private(folder.parent)
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError):
        files.make_private_folder(tmp_path / "file" / "below")
