"""What an agency may call, by the clock that the test gives."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import PeerUnreachableError, QuotaError
from edocnode.domain.quotas import (
    CALL_LIMITS,
    FAULTS_AFTER_CUT,
    FAULTS_AT_ONCE,
    HELD_AT_ONCE,
    SUSPENSION_S,
    Bucket,
    CallLimit,
    CallQuotas,
    over_quota,
    retry_after,
    shut_out_by,
)

LIMITS = {"Hello": CallLimit(per_s=2, burst=5, open_at_once=3)}


def quotas(**weights: int) -> CallQuotas:
    return CallQuotas(lambda agency: weights.get(agency, 1), LIMITS)


def call(used: CallQuotas, agency: str, now: float) -> bool:
    try:
        used.begin(agency, "Hello", now)
    except QuotaError:
        return False
    used.end(agency, "Hello")
    return True


def test_more_calls_than_the_burst_are_refused_until_tokens_come_back() -> None:
    used = quotas()
    assert [call(used, "H29", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert call(used, "H29", 0.5)
    assert not call(used, "H29", 0.5)


def test_one_agency_s_calls_cost_another_nothing() -> None:
    used = quotas()
    assert not all(call(used, "H29", 0.0) for _ in range(6))
    assert all(call(used, "H30", 0.0) for _ in range(5))


def test_open_calls_are_bounded_and_free_again_when_they_end() -> None:
    used = quotas()
    for _ in range(3):
        used.begin("H29", "Hello", 0.0)
    with pytest.raises(QuotaError, match="H29 has 3 calls of Hello open") as told:
        used.begin("H29", "Hello", 0.0)
    assert retry_after(told.value) is not None
    used.end("H29", "Hello")
    used.begin("H29", "Hello", 0.0)


def test_a_weight_multiplies_what_an_agency_may_call() -> None:
    used = quotas(H29=3)
    assert [call(used, "H29", 0.0) for _ in range(16)].count(True) == 15


def test_the_error_says_when_to_come_again() -> None:
    used = quotas()
    while call(used, "H29", 0.0):
        pass
    with pytest.raises(QuotaError, match="takes more from it in 1 s") as told:
        used.begin("H29", "Hello", 0.0)
    assert told.value.fields["retry_after_s"] == "1"


def test_an_agency_that_breaks_off_too_many_calls_is_suspended_for_a_minute() -> None:
    used = quotas()
    faults = [used.fault("H29", 0.0) for _ in range(FAULTS_AT_ONCE + 1)]
    assert faults == [False] * FAULTS_AT_ONCE + [True]
    assert not call(used, "H29", SUSPENSION_S - 0.1)
    assert call(used, "H30", 1.0)
    assert call(used, "H29", SUSPENSION_S)


def test_whoever_goes_on_while_suspended_is_cut_again_and_suspended_longer() -> None:
    used = quotas()
    while not used.fault("H29", 0.0):
        pass
    assert [used.fault("H29", 0.0) for _ in range(FAULTS_AFTER_CUT + 1)].count(True) == 1
    while not used.fault("H29", 30.0):
        pass
    assert not call(used, "H29", SUSPENSION_S)
    assert call(used, "H29", 30.0 + SUSPENSION_S)


def test_refusals_wait_only_while_suspended_and_only_so_many_at_once() -> None:
    used = quotas()
    assert not used.hold("H29", 0.0)
    while not used.fault("H29", 0.0):
        pass
    assert [used.hold("H29", 1.0) for _ in range(HELD_AT_ONCE + 1)].count(True) == HELD_AT_ONCE
    assert not used.hold("H30", 1.0)
    used.release("H29")
    assert used.hold("H29", 1.0)
    used.release("H29")
    assert not used.hold("H29", SUSPENSION_S)


def test_now_and_then_a_broken_call_suspends_nobody() -> None:
    used = quotas()
    assert not any(used.fault("H29", second) for second in range(100_000))


def test_who_goes_on_while_suspended_is_shut_out_until_it_has_been_quiet_for_a_minute() -> None:
    used = CallQuotas()
    for moment in (0.0, 2 * SUSPENSION_S):  # a suspension that was heeded, and a new one
        while not used.fault("H29", moment):
            pass
        assert used.shut_out(moment) == frozenset()
    while not used.fault("H29", 2 * SUSPENSION_S + 1):
        pass
    assert used.shut_out(2 * SUSPENSION_S + 1) == {"H29"}
    assert used.shut_out(3 * SUSPENSION_S) == {"H29"}
    assert used.shut_out(3 * SUSPENSION_S + 1) == frozenset()


def test_calls_that_no_limit_names_have_one_too() -> None:
    used = CallQuotas(limits={})
    for _ in range(8):
        used.begin("H29", "GetMark", 0.0)
    with pytest.raises(QuotaError):
        used.begin("H29", "GetMark", 0.0)


@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("9999", 3600), ("1e3", None), ("", None)])
def test_what_a_peer_says_of_when_to_come_is_bounded(text: str, seconds: int | None) -> None:
    wait = retry_after(QuotaError(retry_after_s=text))
    assert (None if wait is None else wait.total_seconds()) == seconds


def test_a_wait_is_told_in_whole_seconds_and_never_as_none() -> None:
    assert over_quota("H29", "waits", after_s=0.0).fields["retry_after_s"] == "1"
    assert over_quota("H29", "waits", after_s=1.2).fields["retry_after_s"] == "2"


def test_a_full_mirror_of_the_directory_and_large_documents_at_full_speed_are_no_flood() -> None:
    used = CallQuotas()
    for number in range(500):  # a directory from nothing, in one second
        used.begin("H29", "GetFiles", number / 500)
        used.end("H29", "GetFiles")
    for number in range(60_000):  # four transfers at a time, a millisecond each, for a minute
        used.begin("H29", "Transfer", number / 1000)
        used.end("H29", "Transfer")
    assert CALL_LIMITS["Transfer"].open_at_once >= 4


@given(
    st.floats(0.1, 1000),
    st.floats(1, 1000),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_a_bucket_never_gives_more_than_its_burst_and_rate(
    per_s: float, burst: float, pauses: list[float]
) -> None:
    bucket, now, given_out = Bucket(per_s, burst), 0.0, 0
    for pause in pauses:
        now += pause
        given_out += bucket.take(now)
        assert given_out <= burst + now * per_s + 1e-6


@given(st.floats(0.1, 1000), st.floats(1, 100), st.lists(st.floats(0, 1), max_size=50))
def test_after_the_wait_that_a_bucket_names_there_is_a_token(
    per_s: float, burst: float, pauses: list[float]
) -> None:
    bucket, now = Bucket(per_s, burst), 0.0
    for pause in pauses:
        now += pause
        bucket.take(now)
    assert bucket.take(now + bucket.wait_s(now) + 1e-6)


TOLD = datetime(2026, 11, 26, tzinfo=UTC)
CLOSED = PeerUnreachableError("The node of G01 does not answer: Socket closed")


@pytest.mark.parametrize(
    ("after_s", "quiet_s"), [(0, 60), (59, 1), (60, 60), (299, 60), (300, None), (-1, None)]
)
def test_a_failure_to_connect_after_a_quota_is_a_shut_out_for_some_minutes(
    after_s: int, quiet_s: int | None
) -> None:
    now = TOLD + timedelta(seconds=after_s)
    found = shut_out_by("G01", CLOSED, told=TOLD, now=now)
    assert (found and retry_after(found)) == (quiet_s and timedelta(seconds=quiet_s))


def test_a_peer_that_is_down_or_fails_otherwise_shuts_nobody_out() -> None:
    down = PeerUnreachableError("does not answer: Failed to connect: Connection refused (111)")
    assert shut_out_by("G01", down, told=TOLD, now=TOLD) is None
    assert shut_out_by("G01", CLOSED, told=None, now=TOLD) is None
    other = over_quota("G01", "calls too often", after_s=1)
    assert shut_out_by("G01", other, told=TOLD, now=TOLD) is None
