"""What evidence shows when an agency was merged, split or closed, or the issuing CA was replaced.

Hà Nội (H26) sent, Hồ Chí Minh (H29) answered; each way is checked by the program and by hand.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edoccore.directory.layout import WIND_UP
from edoccore.signing import canonical
from edoccore.signing.statements import Seal, parse_time
from edocnode.evidence.verdict import Verdict, VerdictKind
from tests.integration.evidence.conftest import ByHand
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_times import silent
from tests.integration.evidence.test_verify import judge
from tests.support.evidence import Exchange, exchange

MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def fresh() -> Exchange:
    """A message of its own, whose nation may be changed."""
    return exchange(datetime.now(UTC))


def sealed_at(made: Exchange) -> datetime:
    """When the sender sealed its envelope."""
    seal = canonical.decode(made.evidence.envelope.seal.data, Seal)
    return parse_time(seal.time)


def ended(made: Exchange, code: str, at: datetime, *followers: str) -> Exchange:
    """The directory says since when an agency has ended."""
    made.nation.now = made.made_at - timedelta(minutes=1)
    made.nation.end(code, at, successors=followers)
    return made


def verdicts(
    made: Exchange, data: bytes, folder: Path, by_hand: ByHand, **options: object
) -> tuple[Verdict, str]:
    """By the program, and what the pages of VERIFY.md print."""
    done = by_hand(unpacked(data, folder / "copy"), made.nation.anchor)
    return judge(made, data, folder, **options), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("followers", "told"),
    [
        (("H29",), "H26 is merged into H29 as of "),
        (("H29", "REGISTRY"), "H26 is split into H29, REGISTRY as of "),
        ((), "H26 is closed as of "),
    ],
)
def test_evidence_from_before_the_end_of_an_agency_holds_and_names_who_follows_it(
    fresh: Exchange, tmp_path: Path, by_hand: ByHand, followers: tuple[str, ...], told: str
) -> None:
    before = fresh.bundle()
    ended(fresh, "H26", sealed_at(fresh) + MILLISECOND, *followers)
    known = fresh.nation.directory()
    old = judge(fresh, before, tmp_path, known=known)
    assert (old.kind, old.findings) == (VerdictKind.VALID, ())
    assert any(note.startswith(told) for note in old.notes)
    after, printed = verdicts(fresh, fresh.bundle(), tmp_path, by_hand)
    assert (after.kind, after.findings) == (VerdictKind.VALID, ())
    assert any(note.startswith(told) for note in after.notes)
    assert "\nVALID\n" in printed
    assert f"who follows it: {' '.join(followers)}" in printed


def test_t46_a_document_sealed_after_the_end_of_its_agency_is_worth_nothing(
    fresh: Exchange, tmp_path: Path, by_hand: ByHand
) -> None:
    before = fresh.bundle()
    ended(fresh, "H26", sealed_at(fresh), "H29")
    verdict, printed = verdicts(fresh, fresh.bundle(), tmp_path, by_hand)
    assert verdict.kind is VerdictKind.INVALID
    assert "sealed when its agency had ended: H26 is merged into H29" in verdict.findings[0].why
    assert "NOT VALID: H26 had ended" in printed
    # A file with an older directory does not help whoever knows of the end.
    assert judge(fresh, before, tmp_path).kind is VerdictKind.VALID
    known = fresh.nation.directory()
    assert judge(fresh, before, tmp_path, known=known).kind is VerdictKind.INVALID


def test_receipts_and_statuses_of_a_merged_agency_hold_while_it_winds_up_and_no_later(
    fresh: Exchange, tmp_path: Path
) -> None:
    ended(fresh, "H29", sealed_at(fresh), "H26")  # the receipt came two seconds later
    verdict = judge(fresh, fresh.bundle(), tmp_path)
    assert (verdict.kind, verdict.findings) == (VerdictKind.VALID, ())
    ended(fresh, "H29", sealed_at(fresh) - WIND_UP, "H26")
    late = judge(fresh, fresh.bundle(), tmp_path)
    assert late.kind is VerdictKind.INVALID
    assert "silent for good" in late.findings[0].why


def test_t46_what_nobody_else_saw_before_its_agency_fell_silent_does_not_prove_its_time(
    fresh: Exchange, tmp_path: Path
) -> None:
    """The keys of an agency that has ended may lie about; a seal states the time it likes."""
    made = silent(ended(fresh, "H26", sealed_at(fresh) + MILLISECOND, "H29"))
    soon = judge(made, made.bundle(), tmp_path)
    assert soon.kind is VerdictKind.VALID
    years = fresh.made_at + WIND_UP + timedelta(days=1)
    alone = made.bundle(maker=made.sender, now=years)
    verdict = judge(made, alone, tmp_path, now=years)
    assert verdict.kind is VerdictKind.TIME_NOT_PROVEN
    assert "the end of H26 (" in verdict.findings[0].why
    answered = replace(made, evidence=fresh.evidence)
    assert judge(answered, answered.bundle(now=years), tmp_path, now=years).kind is (
        VerdictKind.VALID
    )
