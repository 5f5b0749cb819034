"""Disks that fail for tests: one that is full, and one whose fsync reports an I/O error."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL_DISK_BYTES = 1024 * 1024


def unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Gives the root of an empty disk of 1 MiB; needs the right to mount."""
    with small_disk_of(tmp_path / "small-disk", SMALL_DISK_BYTES) as point:
        yield point


@contextlib.contextmanager
def small_disk_of(point: Path, size_bytes: int) -> Iterator[Path]:
    """Mounts an empty disk of a size for a block; needs the right to mount."""
    point.mkdir()
    options = f"size={size_bytes},mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unavailable(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def fill(disk: Path, *, leave_bytes: int) -> Path:
    """Fills a disk but for some bytes; returns the file to remove for room again."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    try:
        filler.write_bytes(bytes(max(status.f_bavail * status.f_frsize - leave_bytes, 0)))
    except OSError as error:  # a program has written meanwhile
        if error.errno != errno.ENOSPC:
            raise
    return filler


def run_with_failing_fsync(
    script: str, *arguments: str, path: Path, when: int
) -> subprocess.CompletedProcess[str]:
    """Runs a Python script in which one fsync of one file or folder fails with EIO.

    Args:
        script: The program.
        arguments: Its ``sys.argv[1:]``.
        path: The file or folder concerned.
        when: Which fsync of a thread on it fails, from 1; all others succeed.
    """
    strace = shutil.which("strace")
    if strace is None:
        unavailable("strace is not installed (apt-get install strace)")
    fault = f"inject=fsync,fdatasync:error=EIO:when={when}"
    command = [str(strace), "-f", "-q", "--seccomp-bpf", "-o", "/dev/null", "-P", str(path)]
    command += ["-e", "trace=fsync,fdatasync", "-e", fault, sys.executable, "-c", script]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=50
    )
