"""Evidence of a document from a sub-agency that its province lists itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from edoccore.directory.layout import RevocationKind
from edocnode.evidence.verdict import Verdict, VerdictKind
from edocnode.evidence.verify import verify
from tests.integration.evidence.conftest import ByHand, members
from tests.integration.evidence.test_by_hand import unpacked
from tests.support.evidence import Exchange, exchange

SPACES = ("H26.*", "*.H26")


@pytest.fixture
def listed() -> Exchange:
    """The sender's code H26.5 is no longer entered by officers, but in its own list."""
    made = exchange(datetime.now(UTC))
    nation = made.nation
    nation.entries["H26"] = changed(nation.entries["H26"], owns=())
    nation.delegate("H26", *SPACES)
    nation.put_list("H26", made.sender.subagencies("H26.5", "H26.7", time=nation.now))
    return made


def judged(made: Exchange, data: bytes, tmp_path: Path) -> Verdict:
    file = tmp_path / "evidence.zip"
    file.write_bytes(data)
    return verify(file, root=made.nation.anchor, now=made.made_at + timedelta(minutes=1))


def test_it_holds_by_the_list_that_goes_along(
    listed: Exchange, by_hand: ByHand, tmp_path: Path
) -> None:
    data = listed.bundle()
    assert "subagencies/statement.json" in members(data)
    assert judged(listed, data, tmp_path).kind is VerdictKind.VALID
    done = by_hand(unpacked(data, tmp_path / "by hand"), listed.nation.anchor)
    assert done.stderr == ""
    assert done.returncode == 0
    assert "8 sent by H26.5, sealed by H26" in done.stdout


@pytest.mark.parametrize("spaces", [(), ("H29.*",), ("*.H26",), ("H26.5.*",)])
def test_a_list_outside_the_spaces_of_its_agency_proves_nothing(
    listed: Exchange, by_hand: ByHand, tmp_path: Path, spaces: tuple[str, ...]
) -> None:
    listed.nation.delegate("H26", *spaces)
    data = listed.bundle()
    verdict = judged(listed, data, tmp_path)
    assert verdict.kind is VerdictKind.INVALID
    assert verdict.findings[0].number == 8
    done = by_hand(unpacked(data, tmp_path / "by hand"), listed.nation.anchor)
    assert done.returncode != 0
    assert "does not own" in done.stderr


def test_a_list_that_lacks_the_code_proves_nothing(
    listed: Exchange, by_hand: ByHand, tmp_path: Path
) -> None:
    other = listed.sender.subagencies("H26.50", "H26.7", time=listed.nation.now)
    listed.nation.put_list("H26", other)
    data = listed.bundle()
    assert judged(listed, data, tmp_path).kind is VerdictKind.INVALID
    done = by_hand(unpacked(data, tmp_path / "by hand"), listed.nation.anchor)
    assert "does not own" in done.stderr


def test_the_list_of_another_agency_proves_nothing(
    listed: Exchange, by_hand: ByHand, tmp_path: Path
) -> None:
    nation, forger = listed.nation, listed.recipient
    directory = nation.directory()
    mine = directory.lists["H26"]
    forged = forger.subagencies("H26.5", time=nation.now, agency="H26")
    lists = {"H26": replace(mine, sealed=forged)}
    data = listed.bundle(directory=replace(directory, lists=lists))
    verdict = judged(listed, data, tmp_path)
    assert verdict.kind is VerdictKind.INVALID
    assert verdict.findings[0].number == 8
    done = by_hand(unpacked(data, tmp_path / "by hand"), nation.anchor)
    assert "not the list of H26" in done.stderr


def test_a_list_that_a_thief_sealed_proves_nothing(listed: Exchange, tmp_path: Path) -> None:
    nation = listed.nation
    directory = nation.directory()
    nation.now += timedelta(minutes=50)
    since = nation.now - timedelta(hours=1)
    nation.revoke("H26", RevocationKind.SEAL, compromised_since=since)
    known = nation.directory()
    assert known.lists == {}
    data = listed.bundle(directory=replace(known, lists=directory.lists))
    assert judged(listed, data, tmp_path).kind is VerdictKind.INVALID


def test_without_a_list_the_code_is_nobody_s(listed: Exchange, tmp_path: Path) -> None:
    directory = listed.nation.directory()
    data = listed.bundle(directory=replace(directory, lists={}))
    assert judged(listed, data, tmp_path).kind is VerdictKind.INVALID
