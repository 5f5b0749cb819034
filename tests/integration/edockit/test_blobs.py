"""The folder of parts: whole and durable under a digest, resumed after any break."""

import hashlib
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edoccore.errors import DiskFullError, PartDigestError, StorageDamagedError
from edockit import files
from edockit.blobs import BlobFolder
from tests.support.disks import fill, run_with_failing_fsync

CONTENT = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "parts")


def store(blobs: BlobFolder, content: bytes = CONTENT, key: str = "m-1") -> Path:
    staging = blobs.open_staging(key)
    staging.append(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return blobs.finish(staging, sha256, size_bytes=len(content))


def test_a_finished_part_is_read_back_from_its_digest(blobs: BlobFolder) -> None:
    path = store(blobs)
    assert path == blobs.path(SHA256)
    assert path.parts[-2:] == (SHA256[:2], SHA256[2:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files.check_private(path.parent)
    with blobs.open(SHA256) as reader:
        assert b"".join(reader) == CONTENT
    assert list(blobs.iter_staging()) == []


def test_an_empty_part_is_a_part(blobs: BlobFolder) -> None:
    store(blobs, b"")
    with blobs.open(hashlib.sha256(b"").hexdigest()) as reader:
        assert reader.read() == b""


@pytest.mark.parametrize("offset", [0, 1, 1_048_575, 1_048_577, len(CONTENT)])
def test_reading_begins_at_an_offset_and_still_proves_the_whole(
    blobs: BlobFolder, offset: int
) -> None:
    path = store(blobs)
    with blobs.open(SHA256, offset) as reader:
        assert b"".join(reader) == CONTENT[offset:]
    content = bytearray(CONTENT)
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageDamagedError, match=SHA256), blobs.open(SHA256, offset) as reader:
        list(reader)


@pytest.mark.parametrize("damage", ["flipped", "shorter", "longer", "missing"])
def test_a_damaged_part_is_never_read_as_sound(blobs: BlobFolder, damage: str) -> None:
    path = store(blobs)
    if damage == "missing":
        path.unlink()
    else:
        changed = {
            "flipped": CONTENT[:-1] + b"?",
            "shorter": CONTENT[:-1],
            "longer": CONTENT + b"x",
        }
        path.write_bytes(changed[damage])
    with pytest.raises(StorageDamagedError), blobs.open(SHA256) as reader:
        list(reader)


def test_an_interrupted_part_goes_on_where_it_was_durable(blobs: BlobFolder) -> None:
    with blobs.open_staging("m-1") as staging:
        staging.append(CONTENT[:1_500_000])
        durable = staging.sync()
        staging.append(b"lost with the power")
    with blobs.open_staging("m-1", durable) as again:
        assert again.size_bytes == durable == 1_500_000
        assert again.sha256() == hashlib.sha256(CONTENT[:durable]).hexdigest()
        again.append(CONTENT[durable:])
        blobs.finish(again, SHA256, size_bytes=len(CONTENT))
    with blobs.open(SHA256) as reader:
        assert b"".join(reader) == CONTENT


def test_a_part_shorter_than_what_was_durable_is_damaged(blobs: BlobFolder) -> None:
    with blobs.open_staging("m-1") as staging:
        staging.append(b"123")
        staging.sync()
    with pytest.raises(StorageDamagedError, match="3 bytes of 4"):
        blobs.open_staging("m-1", 4)


@pytest.mark.parametrize(
    "content", [CONTENT[:-1], CONTENT + b"x", b"?" + CONTENT[1:]], ids=["short", "long", "other"]
)
def test_other_bytes_never_get_the_name(blobs: BlobFolder, content: bytes) -> None:
    staging = blobs.open_staging("m-1")
    staging.append(content)
    with pytest.raises(PartDigestError):
        blobs.finish(staging, SHA256, size_bytes=len(CONTENT))
    assert not blobs.path(SHA256).exists()
    assert [staged.key for staged in blobs.iter_staging()] == ["m-1"]
    blobs.discard("m-1")
    blobs.discard("m-1")
    assert list(blobs.iter_staging()) == []


def test_a_part_that_ends_while_all_are_looked_at_is_left_out(blobs: BlobFolder) -> None:
    keys = {f"m-{number}" for number in range(20)}
    for key in keys:
        blobs.open_staging(key).close()
    looking = blobs.iter_staging()
    first = next(looking).key  # the folder was read; the others go meanwhile
    for key in keys - {first}:
        blobs.discard(key)
    assert list(looking) == []


def test_a_damaged_part_is_healed_by_the_same_part(blobs: BlobFolder) -> None:
    store(blobs).write_bytes(b"rot")
    store(blobs)
    with blobs.open(SHA256) as reader:
        assert b"".join(reader) == CONTENT


@pytest.mark.parametrize("came", ["the same part again", "nothing", "the part of which none was"])
def test_t31_only_the_file_that_was_judged_is_set_aside(blobs: BlobFolder, came: str) -> None:
    path = store(blobs)
    path.write_bytes(b"rot")
    judged = blobs.which(SHA256)
    assert judged is not None
    if came == "nothing":
        aside = blobs.set_aside(SHA256, judged)
        assert aside is not None
        assert (aside.read_bytes(), blobs.which(SHA256)) == (b"rot", None)
        assert blobs.set_aside(SHA256, judged) is None
        return
    if came == "the part of which none was":
        path.unlink()
    store(blobs)
    assert blobs.set_aside(SHA256, judged) is None
    with blobs.open(SHA256) as reader:
        assert b"".join(reader) == CONTENT
    assert list((path.parent.parent / "quarantine").iterdir()) == []


def test_a_removed_part_is_gone_and_removing_again_is_no_error(blobs: BlobFolder) -> None:
    path = store(blobs)
    blobs.remove(SHA256)
    blobs.remove(SHA256)
    assert not path.exists()


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "x" * 121, "a\0", "é"])
def test_keys_that_are_no_plain_names_are_refused(blobs: BlobFolder, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        blobs.open_staging(key)


@pytest.mark.parametrize("digest", ["", "ab", SHA256.upper(), "../" + SHA256[3:], SHA256 + "\n"])
def test_what_is_no_digest_is_refused(blobs: BlobFolder, digest: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        blobs.path(digest)


def test_appends_from_threads_are_whole(blobs: BlobFolder) -> None:
    staging = blobs.open_staging("m-1")
    pieces = [bytes([number]) * 1_000 for number in range(16)]
    threads = [threading.Thread(target=staging.append, args=(piece,)) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = staging.path.read_bytes()
    assert sorted(content[start : start + 1_000] for start in range(0, 16_000, 1_000)) == pieces
    blobs.finish(staging, hashlib.sha256(content).hexdigest(), size_bytes=16_000)


def test_a_full_disk_keeps_what_was_there_and_goes_on_with_the_same_bytes(
    small_disk: Path,
) -> None:
    blobs = BlobFolder(small_disk / "parts", reserve_bytes=0)
    staging = blobs.open_staging("m-1")
    staging.append(CONTENT[:100_000])
    filler = fill(small_disk, leave_bytes=50_000)
    with pytest.raises(DiskFullError):
        staging.append(CONTENT[100_000:300_000])
    assert staging.size_bytes == 100_000
    assert staging.sync() == 100_000
    filler.unlink()
    staging.append(CONTENT[100_000:300_000])
    expected = hashlib.sha256(CONTENT[:300_000]).hexdigest()
    blobs.finish(staging, expected, size_bytes=300_000)
    with blobs.open(expected) as reader:
        assert b"".join(reader) == CONTENT[:300_000]


def test_room_is_refused_before_the_reserve_is_touched(small_disk: Path) -> None:
    blobs = BlobFolder(small_disk / "parts", reserve_bytes=500_000)
    blobs.reserve(300_000)
    with pytest.raises(DiskFullError, match="600000 bytes do not fit"):
        blobs.reserve(600_000)
    with pytest.raises(DiskFullError):
        BlobFolder(small_disk / "parts").reserve(1)


FINISH = """
import hashlib, sys
from pathlib import Path
from edockit.blobs import BlobFolder
from edoccore.errors import EdocError
blobs = BlobFolder(Path(sys.argv[1]))
staging = blobs.open_staging("m-1")
staging.append(b"content")
try:
    blobs.finish(staging, hashlib.sha256(b"content").hexdigest(), size_bytes=7)
except EdocError as error:
    print(error.reason)
else:
    print("finished")
"""


@pytest.mark.parametrize("failing", ["file", "folder", "staging"])
def test_a_failed_fsync_is_never_taken_for_success(tmp_path: Path, failing: str) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    path = {
        "file": tmp_path / "staging" / "m-1",
        "folder": tmp_path / digest[:2],
        "staging": tmp_path / "staging",
    }[failing]
    BlobFolder(tmp_path)
    (tmp_path / digest[:2]).mkdir(mode=0o700)
    done = run_with_failing_fsync(FINISH, str(tmp_path), path=path, when=1)
    assert done.stdout.strip() == "STORAGE_FAILED", done.stderr
    assert blobs_or_staging(tmp_path, digest) == (failing == "file")


def blobs_or_staging(folder: Path, digest: str) -> bool:
    """Tells whether the part is still in staging, not under its digest."""
    named = (folder / digest[:2] / digest[2:]).exists()
    staged = (folder / "staging" / "m-1").exists()
    assert named != staged
    return staged


def test_a_part_of_any_size_needs_constant_memory(tmp_path: Path) -> None:
    script = """
import hashlib, resource, sys
from pathlib import Path
from edockit.blobs import BlobFolder
blobs = BlobFolder(Path(sys.argv[1]))
piece = bytes(1024 * 1024)
digest = hashlib.sha256()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
staging = blobs.open_staging("m-1")
for _ in range(150):
    staging.append(piece)
    digest.update(piece)
blobs.finish(staging, digest.hexdigest(), size_bytes=150 * len(piece))
for piece in blobs.open(digest.hexdigest()):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1024 < 16 * 1024 * 1024  # Linux counts in KiB
