"""Evidence of suite 2 and of a suite that was given up: by the command, by hand, and as ASiC-E."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.evidence.verdict import VerdictKind
from tests.integration.evidence.conftest import ByHand, flipped, members, packed
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_verify import judge
from tests.support.evidence import Exchange, exchange, stamped
from tests.support.time_authority import TestAuthority

FORMATS = (EvidenceFormat.ZIP, EvidenceFormat.ASIC_E)


@pytest.fixture(scope="module")
def pair(authority: TestAuthority) -> Exchange:
    """Two agencies whose minimum is suite 2, with timestamps over what they sealed."""
    made = exchange(datetime.now(UTC), suite=2)
    for code in ("H26", "H29"):
        made.nation.set_minimum_suite(code, 2, made.nation.now)
    return stamped(made, authority, folders=("envelope", "receipt"))


def has_new_openssl() -> bool:
    """Whether openssl here knows ML-DSA."""
    words = ["openssl", "list", "-signature-algorithms"]
    return b"ML-DSA-65" in subprocess.run(words, check=True, capture_output=True).stdout


@pytest.mark.parametrize("form", FORMATS)
def test_both_halves_are_in_the_file_and_hold(
    pair: Exchange, by_hand: ByHand, tmp_path: Path, form: EvidenceFormat
) -> None:
    file = pair.bundle(container=form)
    content = members(file)
    for folder in ("envelope", "receipt", "status-01", "status-01-receipt"):
        assert len(content[f"{folder}/seal.mldsa"]) == 3309
        assert len(content[f"{folder}/seal.sig"]) <= 72
    assert judge(pair, file, tmp_path).kind is VerdictKind.VALID
    done = by_hand(unpacked(file, tmp_path / "unpacked"), pair.nation.anchor)
    assert (done.returncode, done.stderr) == (0, "")
    told = "\nVALID\n" if has_new_openssl() else "\nVALID as far as ECDSA goes"
    assert told in done.stdout
    assert "12 timestamps that count: envelope receipt" in done.stdout
    assert "CMS signature of the envelope's seal: good" in done.stdout
    assert ("CAdES signature of the container: good" in done.stdout) is (form is FORMATS[1])


def halves(pair: Exchange) -> Iterator[str]:
    """Members that are a half of a signature, or a key for it."""
    for name in members(pair.bundle()):
        if name.endswith((".mldsa", ".mldsa.pem", "seal.sig")) or name == "manifest.sig":
            yield name


def test_an_altered_half_is_found(pair: Exchange, tmp_path: Path) -> None:
    """The manifest's halves are in no list; its maker could sign the others anew."""
    content = members(pair.bundle())
    for name in ("manifest.sig", "manifest.mldsa"):
        changed = packed(content | {name: flipped(content[name], 800)})
        verdict = judge(pair, changed, tmp_path)
        assert (verdict.kind, verdict.findings[0].number) == (VerdictKind.INVALID, 6), name
        del (less := dict(content))[name]
        assert judge(pair, packed(less), tmp_path).kind is VerdictKind.INVALID, name
    assert len(list(halves(pair))) == 12


@pytest.mark.parametrize("name", ["envelope/seal.mldsa", "certificates", "manifest.mldsa"])
def test_a_missing_or_foreign_half_is_found_by_hand(
    pair: Exchange, by_hand: ByHand, tmp_path: Path, name: str
) -> None:
    folder = unpacked(pair.bundle(), tmp_path / "copy")
    if name == "certificates":
        keys = sorted((folder / name).glob("*.mldsa.pem"))
        keys[0].write_bytes(keys[1].read_bytes())
    else:
        (folder / name).unlink()
    done = by_hand(folder, pair.nation.anchor, without=2)
    assert done.returncode == 1
    told = "is not the key in its certificate" if name == "certificates" else "half a signature"
    assert told in done.stderr


def raised(codes: tuple[str, ...], *, after: timedelta) -> Exchange:
    """A message in suite 1, and then a higher minimum; ``after`` the first seal."""
    made = exchange(datetime.now(UTC))
    for code in codes:
        made.nation.set_minimum_suite(code, 2, made.made_at - timedelta(hours=1) + after)
    return made


def test_what_is_shown_to_be_older_than_the_minimum_stays_good(
    by_hand: ByHand, authority: TestAuthority, tmp_path: Path
) -> None:
    made = raised(("H26",), after=timedelta(minutes=30))
    verdict = judge(made, made.bundle(maker=made.recipient), tmp_path)
    assert verdict.kind is VerdictKind.VALID  # the receipt shows it
    assert {item.member for item in verdict.findings} == {"status-01-receipt"}  # which nobody does
    done = by_hand(unpacked(made.bundle(maker=made.recipient), tmp_path / "a"), made.nation.anchor)
    assert (done.returncode, "A STRONGER SUITE since" in done.stdout) == (0, True)
    both = raised(("H26", "H29"), after=timedelta(minutes=30))
    assert "\nVALID" not in done.stdout
    stranger = both.nation.add_agency("G01", "Bộ Nội vụ", suite=2)
    file = both.bundle(maker=stranger)
    verdict = judge(both, file, tmp_path)
    assert verdict.kind is VerdictKind.TIME_NOT_PROVEN
    assert "the end of suite 1 for H26" in str(verdict.findings)


def test_a_timestamp_shows_that_a_weaker_seal_is_older(
    authority: TestAuthority, tmp_path: Path
) -> None:
    made = stamped(exchange(datetime.now(UTC)), authority, folders=("envelope", "receipt"))
    later = datetime.now(UTC) + timedelta(minutes=2)
    for code in ("H26", "H29"):
        made.nation.set_minimum_suite(code, 2, later)
    stranger = made.nation.add_agency("G01", "Bộ Nội vụ", suite=2)
    now = later + timedelta(days=1)
    verdict = judge(made, made.bundle(maker=stranger, now=now), tmp_path, now=now)
    assert verdict.kind is VerdictKind.VALID
    assert {item.member for item in verdict.findings} == {"status-01", "status-01-receipt"}


def test_a_seal_below_the_minimum_of_its_own_time_is_invalid(
    by_hand: ByHand, tmp_path: Path
) -> None:
    made = raised(("H26",), after=timedelta(0))
    for maker in (made.recipient, made.sender):
        file = made.bundle(maker=maker)
        verdict = judge(made, file, tmp_path)
        assert verdict.kind is VerdictKind.INVALID
        assert "weaker than the agency's minimum" in str(verdict.findings)
        done = by_hand(unpacked(file, tmp_path / maker.code), made.nation.anchor)
        assert (done.returncode, "a suite that H26 had given up" in done.stderr) == (1, True)


def test_a_reader_who_knows_of_a_later_minimum_counts_it(tmp_path: Path) -> None:
    made = exchange(datetime.now(UTC))
    file = made.bundle(maker=made.recipient)
    assert judge(made, file, tmp_path).kind is VerdictKind.VALID
    for code in ("H26", "H29"):
        made.nation.set_minimum_suite(code, 2, made.made_at + timedelta(minutes=5))
    verdict = judge(made, file, tmp_path, known=made.nation.directory())
    assert verdict.kind is VerdictKind.TIME_NOT_PROVEN
