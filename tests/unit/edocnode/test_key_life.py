"""When the TLS certificates of a node follow each other."""

from datetime import UTC, datetime, timedelta

import pytest

from edoccore.directory.layout import ROLE_LIFE
from edocnode.domain.key_life import BEFORE, TLS_LIFE, TlsKey, TlsStep, tls_change, tls_step

MADE = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def key(name: str, *, listed: datetime | None = MADE, made: datetime = MADE) -> TlsKey:
    """A certificate of full life."""
    return TlsKey(
        sha256=name, not_before=made - BEFORE, not_after=made + TLS_LIFE, listed_since=listed
    )


def step(now: datetime, *, listed: datetime | None = MADE, revoked: str = "") -> TlsStep:
    """What is done with a current and a next certificate of one day."""
    following = key("next", listed=listed)
    return tls_step(key("current"), following, is_revoked=lambda name: name in revoked, now=now)


def test_next_certificate_takes_over_after_a_year() -> None:
    assert step(MADE + 364 * DAY) is TlsStep.NOTHING
    assert step(MADE + 365 * DAY) is TlsStep.TAKE_OVER


def test_next_certificate_waits_until_no_directory_without_it_holds_any_longer() -> None:
    listed = MADE + 350 * DAY  # the registry was away for most of a year
    assert step(listed + ROLE_LIFE - DAY, listed=listed) is TlsStep.NOTHING
    assert step(listed + ROLE_LIFE, listed=listed) is TlsStep.TAKE_OVER


def test_next_certificate_that_was_never_listed_waits_to_the_last_day() -> None:
    ends = MADE + TLS_LIFE
    current, following = key("current"), key("next", listed=None, made=MADE + 400 * DAY)

    def at(now: datetime) -> TlsStep:
        return tls_step(current, following, is_revoked=lambda _: False, now=now)

    assert at(ends - 2 * DAY) is TlsStep.NOTHING
    assert at(ends - DAY) is TlsStep.TAKE_OVER


def test_revoked_current_certificate_ends_at_once() -> None:
    assert step(MADE + DAY, listed=None, revoked="current") is TlsStep.TAKE_OVER


@pytest.mark.parametrize("revoked", ["next", "current next"])
def test_revoked_next_certificate_is_made_anew_before_it_could_take_over(revoked: str) -> None:
    assert step(MADE + 365 * DAY, revoked=revoked) is TlsStep.MAKE_NEXT


def test_missing_next_certificate_is_made_at_once() -> None:
    found = tls_step(key("current"), None, is_revoked=lambda _: False, now=MADE)
    assert found is TlsStep.MAKE_NEXT


def test_certificates_follow_each_other_for_ten_years_and_each_was_known_for_a_year() -> None:
    now, current, following = MADE, key("current"), key("1")
    for number in range(2, 12):
        change = tls_change(current, following)
        assert change - now == timedelta(days=365)
        assert following.listed_since is not None
        assert change - following.listed_since >= ROLE_LIFE
        assert change < current.not_after
        now, current = change, following
        following = key(str(number), made=now, listed=now)
