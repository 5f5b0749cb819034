"""When the seal certificates of a node follow each other, and when it may not seal."""

import dataclasses
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest

from edoccore.directory.layout import ROLE_LIFE, RevocationKind
from edocnode.domain.seal_life import (
    SealKey,
    SealStep,
    by_hand,
    leaves_authority,
    seal_change,
    seal_problem,
    seal_step,
)
from tests.support.nation import Nation

MADE = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def key(name: str, *, days: int = 730, listed: datetime | None = MADE) -> SealKey:
    """A certificate that was made on one day."""
    return SealKey(sha256=name, not_before=MADE, not_after=MADE + days * DAY, listed_since=listed)


def step(
    now: datetime,
    following: SealKey | None = None,
    *,
    revoked: str = "",
    days: int = 730,
    leaves: bool = False,
    by_hand: bool = False,
) -> SealStep:
    """What is done at a moment."""
    return seal_step(
        key("current", days=days),
        following,
        is_revoked=lambda name: name in revoked,
        leaves_authority=leaves,
        by_hand=by_hand,
        now=now,
    )


@pytest.mark.parametrize(("days", "due"), [(730, 670), (1095, 1035), (90, 45), (30, 15)])
def test_successor_is_asked_for_in_time(days: int, due: int) -> None:
    assert step(MADE + (due - 1) * DAY, days=days) is SealStep.NOTHING
    assert step(MADE + due * DAY, days=days) is SealStep.ASK


@pytest.mark.parametrize("leaves", [False, True])
def test_seal_that_only_a_person_can_renew_is_told_at_the_same_moment(*, leaves: bool) -> None:
    assert step(MADE + 669 * DAY, by_hand=True) is SealStep.NOTHING
    assert step(MADE + 670 * DAY, by_hand=True, leaves=leaves) is SealStep.BY_HAND


def test_successor_is_asked_for_early_when_the_authority_was_retired() -> None:
    assert step(MADE + DAY, leaves=True) is SealStep.ASK


@pytest.mark.parametrize("now", [MADE + 731 * DAY, MADE + 800 * DAY])
def test_nothing_is_asked_under_a_seal_that_has_ended(now: datetime) -> None:
    assert step(now) is SealStep.NOTHING


def test_nothing_is_asked_under_a_revoked_seal() -> None:
    assert step(MADE + 700 * DAY, revoked="current") is SealStep.NOTHING


def test_successor_that_is_not_listed_waits() -> None:
    assert step(MADE + 700 * DAY, key("next", listed=None)) is SealStep.WAIT


def test_successor_takes_over_when_no_directory_without_it_holds_any_longer() -> None:
    listed = MADE + 671 * DAY
    following = key("next", days=1400, listed=listed)
    assert step(listed + ROLE_LIFE - DAY, following) is SealStep.NOTHING
    assert step(listed + ROLE_LIFE, following) is SealStep.TAKE_OVER


def test_successor_that_was_listed_late_takes_over_a_week_before_the_end() -> None:
    following = key("next", days=1400, listed=MADE + 715 * DAY)
    assert seal_change(key("current"), following) == MADE + 723 * DAY


def test_listed_successor_takes_over_from_a_revoked_seal_at_once() -> None:
    following = key("next", days=1400, listed=MADE + 700 * DAY)
    assert step(MADE + 701 * DAY, following, revoked="current") is SealStep.TAKE_OVER


def test_revoked_successor_is_dropped() -> None:
    following = key("next", days=1400)
    assert step(MADE + 700 * DAY, following, revoked="next") is SealStep.DROP_NEXT


def test_agencies_leave_a_retired_authority_one_after_another_within_a_month() -> None:
    nation = Nation.create(MADE)
    codes = [f"H{number}" for number in range(10, 30)]
    for code in codes:
        nation.add_agency(code, code)
    directory = nation.directory()
    digests = {code: nation.agencies[code].digests[0] for code in codes}
    authority = sha256(nation.ca_certificate).hexdigest()

    def leaving(now: datetime) -> int:
        return sum(leaves_authority(directory, code, digests[code], now) for code in codes)

    assert leaving(MADE + 40 * DAY) == 0
    directory.seals.retired[authority] = MADE
    assert leaving(MADE - DAY) == 0
    assert 3 < leaving(MADE + 15 * DAY) < 17
    assert leaving(MADE + 30 * DAY) == len(codes)


def test_only_a_seal_of_the_network_in_a_file_is_renewed_by_its_node() -> None:
    nation = Nation.create(MADE)
    digest = nation.add_agency("H29", "Hà Tĩnh").digests[0]
    directory = nation.directory()
    assert by_hand(directory, "H29", digest, in_token=False) == ""
    assert "keys replace" in by_hand(directory, "H29", digest, in_token=True)
    info = directory.info
    moved = msgspec.structs.replace(
        info, issuing_authorities=(), outside_authorities=info.issuing_authorities
    )
    directory = dataclasses.replace(directory, info=moved)
    for in_token in (False, True):
        assert "keys import" in by_hand(directory, "H29", digest, in_token=in_token)


def test_node_may_seal_with_a_listed_certificate_alone() -> None:
    nation = Nation.create(MADE)
    agency = nation.add_agency("H29", "Hà Tĩnh")
    digest = agency.digests[0]
    directory = nation.directory()
    assert seal_problem(directory, "H29", digest, MADE + DAY) == ""
    assert "ended at" in seal_problem(directory, "H29", digest, MADE + 400 * DAY)
    assert "does not list" in seal_problem(directory, "H29", "0" * 64, MADE + DAY)
    assert "does not list" in seal_problem(directory, "G01", digest, MADE + DAY)
    nation.revoke("H29", RevocationKind.SEAL)
    told = seal_problem(nation.directory(), "H29", digest, MADE + DAY)
    assert "was revoked at" in told
    assert "edocnode keys replace" in told
