"""The power is cut after each acknowledgement: all of it is there, and planted bugs are found.

The real database and the real folder of parts run once under strace; tests/README.md has the model.
"""

import os
from pathlib import Path

import pytest

from tests.campaigns.power_cut import Recording, record_writer, replay, synced_again
from tests.campaigns.writer import STOPPED

SEED = int(os.environ.get("EDOC_CAMPAIGN_SEED", "1"))
DOCUMENTS = 12
FEW = 6


def test_nothing_acknowledged_is_lost_with_the_power(tmp_path: Path) -> None:
    recording = record_writer(tmp_path, count=DOCUMENTS)
    assert (recording.code, recording.told) == (0, "")
    verdict = replay(recording, seed=SEED, chances=1)
    assert verdict.lost == ()
    assert verdict.kept == DOCUMENTS
    assert verdict.cuts == 2 * (DOCUMENTS + 2)


@pytest.mark.parametrize(
    ("bug", "fault", "found"),
    [
        ("synchronous-normal", "", "is not in the database"),
        ("no-folder-fsync", "", "is missing"),
        ("retry-after-failed-fsync", "fsync:error=EIO:when=12", "has other bytes"),
        ("answer-before-part", "", "is missing"),
    ],
)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, fault: str, found: str) -> None:
    recording = record_writer(tmp_path, count=FEW, bug=bug, fault=fault)
    assert recording.code == 0, recording.told
    lost = replay(recording, chances=0).lost
    assert lost
    assert all(found in item for item in lost), lost
    assert bool(synced_again(recording)) == bool(fault)


@pytest.mark.parametrize("when", [3, 7, 12])
def test_an_fsync_of_a_part_that_failed_ends_the_program_and_is_never_asked_for_again(
    tmp_path: Path, when: int
) -> None:
    recording = record_writer(tmp_path, count=FEW, fault=f"fsync:error=EIO:when={when}")
    check_stopped(recording)
    assert synced_again(recording) == []


@pytest.mark.parametrize("fault", ["fdatasync:error=EIO:when=9", "pwrite64:error=EIO:when=20"])
def test_a_commit_that_failed_ends_the_program(tmp_path: Path, fault: str) -> None:
    check_stopped(record_writer(tmp_path, count=FEW, fault=fault))


@pytest.mark.parametrize("when", [1, 2, 3, 4, 6])
def test_an_fsync_that_fails_while_the_database_is_made_loses_nothing(
    tmp_path: Path, when: int
) -> None:
    """Of its folder SQLite asks and does not listen; others it reports only at the second look."""
    recording = record_writer(tmp_path, count=FEW, fault=f"fdatasync:error=EIO:when={when}")
    assert recording.code in (0, STOPPED)
    assert replay(recording, chances=0).lost == ()


def check_stopped(recording: Recording) -> None:
    """It ended at once, said why, and what it had acknowledged is there."""
    assert recording.code == STOPPED, recording.told
    assert "disk" in recording.told
    verdict = replay(recording, chances=0)
    assert verdict.lost == ()
    assert verdict.kept < FEW
