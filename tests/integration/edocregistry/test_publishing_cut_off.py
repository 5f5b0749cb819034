"""A publication that is cut off leaves the old directory or the new one, whole."""

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.directory import loading, trust
from edocregistry.app.registry import Registry
from edocregistry.storage.folder import DataFolder
from tests.support.registry import OFFICER

ROUNDS = int(os.environ.get("EDOC_TEST_ROUNDS", "6"))
PUBLISHER = Path(__file__).with_name("publisher.py")


class CutOffError(BaseException):
    """The program ends here."""


def published(registry):
    files = DataFolder(registry.folder.path).directory
    return loading.load(files.bundle(), sha256(files.roots()[1]).hexdigest())


def cut_off_at_rename(monkeypatch, number: int) -> None:
    """Ends the program just before the given rename into the published files."""
    real, seen = os.replace, 0

    def replace(source, target):
        nonlocal seen
        if Path(target).parent.name == "directory":
            seen += 1
            if seen == number:
                raise CutOffError
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("rename", [1, 2, 3])
def test_cut_off_before_any_file_leaves_the_old_directory_and_the_next_turn_makes_up_for_it(
    registry, clock, monkeypatch, rename
):
    before = published(registry).mark
    with monkeypatch.context() as patch:
        cut_off_at_rename(patch, rename)  # a bin, the snapshot, the timestamp
        with pytest.raises(CutOffError):
            registry.add_agency(OFFICER, "H29", "x", aliases=(), owner=None)
    assert published(registry).mark == before
    clock.move(timedelta(seconds=1))
    reopened = Registry(DataFolder(registry.folder.path), registry.settings, clock)
    reopened.publish_due()
    assert "H29" in published(registry).identities


@pytest.mark.stress
def test_kill_9_during_publication_loses_no_acknowledged_agency_and_no_directory(registry):
    chance = random.Random(29)
    done: list[int] = []
    first, floor = 1, None
    for _ in range(ROUNDS):
        done += kill_after(registry.folder.path, first, 0.5 + chance.random() * 0.4)
        directory = published(registry)
        if floor is not None:
            trust.check_floor(floor, directory)
        floor = directory.floor()
        first = (done[-1] if done else first) + 2  # the one after may or may not be kept
    Registry(DataFolder(registry.folder.path), registry.settings, registry._clock).publish_due()
    assert done
    assert set(published(registry).identities) >= {f"H10.{number}" for number in done}


def kill_after(folder: Path, first: int, seconds: float) -> list[int]:
    """Lets a publisher run and kills it; returns what it acknowledged."""
    command = [sys.executable, str(PUBLISHER), str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        head = process.stdout.readline()  # it is at work
        time.sleep(seconds)
        process.kill()
        return [int(line) for line in [head, *process.stdout.read().splitlines()] if line.strip()]


def test_two_programs_at_once_take_turns_and_nothing_is_lost(registry):
    processes = [
        subprocess.Popen(
            [sys.executable, str(PUBLISHER), str(registry.folder.path), str(first)],
            stdout=subprocess.PIPE,
        )
        for first in (1000, 5000)
    ]
    heads = [process.stdout.readline() for process in processes]
    time.sleep(0.7)
    done = []
    for process, head in zip(processes, heads, strict=True):
        process.kill()
        done += [int(line) for line in [head, *process.stdout.read().splitlines()] if line.strip()]
        process.wait()
        process.stdout.close()
    Registry(DataFolder(registry.folder.path), registry.settings, registry._clock).publish_due()
    identities = set(published(registry).identities)
    assert identities >= {f"H10.{number}" for number in done}
    assert {number // 5000 for number in done} == {0, 1}
