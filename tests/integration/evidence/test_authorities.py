"""Evidence over a replacement of the issuing CA: what the old one issued proves on, and no more."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from msgspec.structs import replace

from edoccore.errors import SealCertificateError
from edoccore.signing.statements import time_text
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.evidence.verdict import VerdictKind
from tests.integration.evidence.conftest import ByHand
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_verify import judge
from tests.support.authorities import replace_authority
from tests.support.evidence import Exchange, exchange

SECOND = timedelta(seconds=1)
FORMATS = list(EvidenceFormat)


@pytest.fixture
def fresh() -> Exchange:
    """A message of its own, whose nation may be changed."""
    return exchange(datetime.now(UTC))


def issued_at(made: Exchange) -> datetime:
    """When the certificates of both seals begin."""
    found = x509.load_der_x509_certificate(made.sender.seal_certificate)
    return found.not_valid_before_utc


@pytest.mark.parametrize("container", FORMATS)
def test_evidence_holds_over_the_replacement_of_the_authority_and_of_the_root(
    fresh: Exchange, by_hand: ByHand, tmp_path: Path, container: EvidenceFormat
) -> None:
    nation = fresh.nation
    files = [fresh.bundle(container=container)]
    nation.now = fresh.made_at
    replace_authority(nation, nation.now)
    files.append(fresh.bundle(container=container))
    nation.new_root()
    files.append(fresh.bundle(container=container))
    nation.now += timedelta(hours=2)
    nation.replace_seal(fresh.sender.code)  # the new key, of the new authority, makes the file
    files.append(fresh.bundle(container=container, now=nation.now))
    known = nation.directory()
    assert known.problems == ()
    for number, data in enumerate(files):
        verdict = judge(fresh, data, tmp_path, known=known, now=nation.now)
        assert (verdict.kind, verdict.findings) == (VerdictKind.VALID, ()), number
        done = by_hand(unpacked(data, tmp_path / str(number)), nation.anchor)
        assert (done.returncode, done.stderr) == (0, ""), number
        assert "\nVALID\n" in done.stdout


@pytest.mark.parametrize("container", FORMATS)
def test_t35_what_a_retired_authority_issued_since_proves_nothing_by_program_and_by_hand(
    fresh: Exchange, by_hand: ByHand, tmp_path: Path, container: EvidenceFormat
) -> None:
    """At the very second of the retirement it still counts, as for the program."""
    nation = fresh.nation
    nation.now = fresh.made_at
    replace_authority(nation, issued_at(fresh))
    before = nation.directory()
    data = fresh.bundle(container=container)
    assert judge(fresh, data, tmp_path).kind is VerdictKind.VALID
    assert by_hand(unpacked(data, tmp_path / "in time"), nation.anchor).returncode == 0
    since = time_text(issued_at(fresh) - SECOND)
    nation.retired[0] = replace(nation.retired[0], since=since)
    with pytest.raises(SealCertificateError):
        fresh.bundle(container=container)  # a node that keeps the rules writes no such file
    lying = dataclasses.replace(nation.directory(), seals=before.seals)
    late = fresh.bundle(container=container, directory=lying)
    verdict = judge(fresh, late, tmp_path)
    assert verdict.kind is VerdictKind.INVALID
    done = by_hand(unpacked(late, tmp_path / "too late"), nation.anchor)
    assert done.returncode == 1
    assert f"issued by an authority that had been retired at {since}" in done.stderr
    # A file from before the retirement does not help whoever knows of it.
    assert judge(fresh, data, tmp_path, known=nation.directory()).kind is VerdictKind.INVALID
