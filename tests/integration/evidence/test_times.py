"""When a document existed: what evidence shows of it years later, by both ways of checking."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edoccore.directory.layout import AgencyState, RevocationKind
from edoccore.signing.statements import parse_time
from edocnode.evidence.members import TIMESTAMP
from edocnode.evidence.verdict import VerdictKind
from tests.integration.evidence.conftest import ByHand, flipped, members
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_verify import judge, signed_anew
from tests.support.evidence import Exchange, exchange, stamped
from tests.support.time_authority import TestAuthority

YEARS = timedelta(days=5 * 365)


def silent(made: Exchange) -> Exchange:
    """The same as far as its sender alone says it."""
    return replace(made, evidence=replace(made.evidence, receipt=None, statuses=()))


def revoked(made: Exchange, *, since: datetime | None = None, code: str = "H26") -> Exchange:
    made.nation.now = made.made_at - timedelta(minutes=1)
    made.nation.revoke(code, RevocationKind.SEAL, compromised_since=since)
    return made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[TestAuthority]:
    return TestAuthority.make(tmp_path / "another authority")


def test_verdict_tells_the_earliest_provable_time_and_who_shows_it(
    made: Exchange, tmp_path: Path
) -> None:
    facts = judge(made, made.bundle(maker=made.recipient), tmp_path).facts
    # The token was made now, the receipt two seconds after the seal: the earlier word counts.
    assert facts["proven_by"] == "H29"
    assert parse_time(facts["proven_at"]) - parse_time(facts["sealed_at"]) == timedelta(seconds=2)
    assert facts["receipt_proven_by"].startswith("timestamp authority CN=Dịch vụ")


def test_t19_a_backdated_document_is_told_by_its_earliest_provable_time(
    authority: TestAuthority, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    made = stamped(silent(exchange(now - timedelta(days=30))), authority)
    verdict = judge(made, made.bundle(now=now), tmp_path, now=now)
    assert verdict.kind is VerdictKind.VALID
    assert now - parse_time(verdict.facts["sealed_at"]) > timedelta(days=29)
    assert now - parse_time(verdict.facts["proven_at"]) < timedelta(minutes=2)
    without = judge(replace(made, time_anchors=()), made.bundle(now=now), tmp_path, now=now)
    assert "proven_at" not in without.facts
    assert "timestamps, which count for nothing" in without.notes[-1]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_seal_of_a_revoked_certificate_holds_when_a_timestamp_is_older(
    minutes: int, authority: TestAuthority, tmp_path: Path, by_hand: ByHand
) -> None:
    """Nobody but the authority shows the time: stamped now, worthless then."""
    now = datetime.now(UTC)
    made = stamped(silent(exchange(now)), authority)
    later = replace(made, made_at=now + timedelta(hours=2))
    revoked(later, since=now + timedelta(minutes=minutes))
    verdict = judge(later, later.bundle(), tmp_path)
    # made in `exchange` some minutes past an hour and 55 before now: older than both moments
    if minutes < 0:
        assert verdict.kind is VerdictKind.TIME_NOT_PROVEN
        assert "not shown by anybody else" in verdict.findings[0].why
        return
    assert verdict.kind is VerdictKind.REVOKED_LATER
    assert "shown by a timestamp" in verdict.findings[0].why
    done = by_hand(unpacked(later.bundle(), tmp_path / "copy"), made.nation.anchor)
    assert "the seal of envelope existed at" in done.stdout
    assert "NOT DECIDED" in done.stdout


def test_sealed_after_the_moment_of_compromise_is_invalid_though_stamped(
    authority: TestAuthority, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    made = stamped(silent(exchange(now)), authority)
    revoked(made, since=now - timedelta(hours=3))
    assert judge(made, made.bundle(), tmp_path).kind is VerdictKind.INVALID


def test_receipt_of_an_agency_that_was_revoked_is_a_witness_when_it_was_stamped_before(
    authority: TestAuthority, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    made = exchange(now)
    made = stamped(made, authority, folders=("receipt",))
    later = replace(made, made_at=now + timedelta(hours=2))
    for code in ("H26", "H29"):
        revoked(later, since=now + timedelta(minutes=10), code=code)
    assert judge(later, later.bundle(), tmp_path).kind is VerdictKind.REVOKED_LATER
    bare = replace(later, time_anchors=())
    assert judge(bare, later.bundle(), tmp_path).kind is VerdictKind.TIME_NOT_PROVEN


def test_evidence_holds_years_after_all_its_certificates_have_ended(
    made: Exchange, file: bytes, tmp_path: Path
) -> None:
    """The file has the directory of its time; nothing else is asked."""
    verdict = judge(made, file, tmp_path, now=made.made_at + YEARS)
    assert (verdict.kind, verdict.findings) == (VerdictKind.VALID, ())


def test_evidence_made_after_its_agencies_were_merged_and_closed_holds(
    authority: TestAuthority, tmp_path: Path, by_hand: ByHand
) -> None:
    made = stamped(exchange(datetime.now(UTC)), authority)
    nation = made.nation
    nation.now = made.made_at - timedelta(minutes=1)
    nation.set_state("H26", AgencyState.MERGED, successors=("H29",))
    made.nation.replace_seal("H29")
    data = made.bundle(maker=nation.agencies["H29"])
    verdict = judge(made, data, tmp_path)
    assert (verdict.kind, verdict.findings) == (VerdictKind.VALID, ())
    done = by_hand(unpacked(data, tmp_path / "copy"), nation.anchor)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nVALID\n" in done.stdout


def test_envelope_that_nobody_else_saw_does_not_prove_its_time_once_its_certificate_has_ended(
    authority: TestAuthority, tmp_path: Path
) -> None:
    made = silent(exchange(datetime.now(UTC)))
    alone = judge(made, made.bundle(), tmp_path, now=made.made_at + YEARS)
    assert alone.kind is VerdictKind.TIME_NOT_PROVEN
    assert "the end of H26's certificate" in alone.findings[0].why
    timed = stamped(made, authority)
    assert judge(timed, timed.bundle(), tmp_path, now=made.made_at + YEARS).kind is (
        VerdictKind.VALID
    )


def test_timestamp_of_an_authority_that_is_not_trusted_counts_for_nothing(
    made: Exchange, file: bytes, other: TestAuthority, tmp_path: Path, by_hand: ByHand
) -> None:
    verdict = judge(made, file, tmp_path, time_anchors=(other.root,))
    assert verdict.kind is VerdictKind.VALID
    assert [note.split(":")[0] for note in verdict.notes] == [
        "envelope/time.tsr counts for nothing",
        "receipt/time.tsr counts for nothing",
    ]
    folder = unpacked(file, tmp_path / "copy")
    assert (
        "is not from an authority"
        in by_hand(folder, made.nation.anchor, tsa=other.root_file).stderr
    )
    untold = by_hand(folder, made.nation.anchor, tsa=None)
    assert "12 timestamps that count: none" in untold.stdout
    assert "\nVALID\n" in untold.stdout


def test_timestamp_of_another_batch_is_refused(
    made: Exchange, authority: TestAuthority, tmp_path: Path
) -> None:
    content = members(made.bundle())
    token = authority.stamp(authority.query(b"another batch"))
    verdict = judge(made, signed_anew(made, {**content, f"envelope/{TIMESTAMP}": token}), tmp_path)
    assert (verdict.kind, verdict.findings[0].number) == (VerdictKind.INVALID, 12)


def test_token_altered_by_its_maker_proves_nothing(made: Exchange, tmp_path: Path) -> None:
    content = members(made.bundle())
    name = f"receipt/{TIMESTAMP}"
    for bit in range(0, len(content[name]) * 8, 97):
        altered = signed_anew(made, {**content, name: flipped(content[name], bit)})
        verdict = judge(made, altered, tmp_path)
        if verdict.kind is VerdictKind.VALID:
            proven = verdict.facts.get("receipt_proven_by")
            assert (
                proven is None
                or proven == judge(made, made.bundle(), tmp_path).facts["receipt_proven_by"]
            ), bit


def test_by_hand_time_is_shown_with_few_tools(
    made: Exchange, file: bytes, by_hand: ByHand, tmp_path: Path
) -> None:
    done = by_hand(unpacked(file, tmp_path / "copy"), made.nation.anchor)
    assert "   the seal of envelope existed at " in done.stdout
    assert "12 timestamps that count: envelope receipt" in done.stdout
