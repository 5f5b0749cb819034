from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.directory import layout
from edoccore.directory.state import DirectoryState, Freshness, judge
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryExpiredError
from tests.support.nation import Nation

HARD = ["root", "targets", "identity", *layout.bin_names("identity")]
SOFT = [
    *("timestamp", "snapshot", "revocations", "endpoints", "subagencies"),
    *layout.bin_names("endpoints"),
    *layout.bin_names("subagencies"),
]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 90 * 86400)


@dataclass(frozen=True, eq=False)
class Ending:
    """All of a directory that is judged: when its roles end, by name."""

    expiries: dict[str, datetime]
    extension: None = None


def judged(expiries: dict[str, datetime], now: datetime) -> DirectoryState:
    return judge(cast("Directory", Ending(expiries)), now)


@given(st.lists(SECONDS, min_size=len(HARD + SOFT), max_size=len(HARD + SOFT)), SECONDS)
def test_the_judgement_follows_from_which_roles_have_ended(ends: list[int], at: int) -> None:
    expiries = {
        role: EPOCH + timedelta(seconds=end) for role, end in zip(HARD + SOFT, ends, strict=True)
    }
    now = EPOCH + timedelta(seconds=at)
    state = judged(expiries, now)
    ended = {role for role, end in expiries.items() if end <= now}
    if ended & set(HARD):
        assert state.freshness is Freshness.EXPIRED
        assert state.left == timedelta(0)
    else:
        assert state.freshness is (Freshness.STALE if ended else Freshness.FRESH)
        assert state.left == min(expiries[role] for role in HARD) - now
    assert len(state.reasons) == len(ended)
    assert state.expires == min(expiries[role] for role in HARD)


@pytest.mark.parametrize("role", HARD)
def test_an_identity_role_holds_until_the_second_before_it_ends(role: str) -> None:
    end = EPOCH + timedelta(days=45)
    expiries = dict.fromkeys(HARD + SOFT, end + timedelta(days=1)) | {role: end}
    before = judged(expiries, end - timedelta(microseconds=1))
    assert before.freshness is Freshness.FRESH
    state = judged(expiries, end)
    assert state.freshness is Freshness.EXPIRED
    assert state.expiring_role == role


@pytest.mark.parametrize("role", SOFT)
def test_an_online_role_that_ends_makes_the_directory_stale_and_no_more(role: str) -> None:
    end = EPOCH + timedelta(days=1)
    expiries = dict.fromkeys(HARD + SOFT, end + timedelta(days=44)) | {role: end}
    assert judged(expiries, end - timedelta(microseconds=1)).freshness is Freshness.FRESH
    state = judged(expiries, end)
    assert state.freshness is Freshness.STALE
    assert role in state.reasons[0]
    state.require_usable()


def test_t34_registry_down_for_29_days_goes_on_and_46_days_stops(
    nation: Nation, now: datetime
) -> None:
    directory = nation.directory()
    assert judge(directory, now).freshness is Freshness.FRESH
    assert judge(directory, now + timedelta(days=29)).freshness is Freshness.STALE
    expired = judge(directory, now + timedelta(days=46))
    assert expired.freshness is Freshness.EXPIRED
    with pytest.raises(DirectoryExpiredError, match="ended at"):
        expired.require_usable()


def test_roles_signed_anew_at_15_days_always_leave_30(nation: Nation, now: datetime) -> None:
    directory = nation.directory()
    assert judge(directory, now + layout.ROLE_RESIGN_AFTER).days_left == 30


def test_officers_are_alarmed_ten_days_before_the_end(nation: Nation, now: datetime) -> None:
    directory = nation.directory()
    end = judge(directory, now).expires
    ten = timedelta(days=10)
    assert not judge(directory, end - ten - timedelta(seconds=1)).officers_alarm
    assert judge(directory, end - ten).officers_alarm
    assert judge(directory, end + ten).officers_alarm
