"""Whose turn it is to give back."""

import pytest

from edoccore.errors import RequestInvalidError
from edocregistry.domain.giving import GRACE_S, LEAST_BYTES_S, Giver, GivingTurns

STRANGER, OTHER = Giver("ipv4:10.0.0.1"), Giver("ipv4:10.0.0.2")
AGENCY, PEER = Giver("ipv4:10.0.0.3", "H29"), Giver("ipv4:10.0.0.3", "G01")


def test_one_gives_at_a_time_and_the_next_when_it_has_ended():
    turns = GivingTurns()
    first, before = turns.begin(STRANGER, 0.0)
    assert before is None
    with pytest.raises(RequestInvalidError):
        turns.begin(OTHER, 0.0)
    with pytest.raises(RequestInvalidError):
        turns.begin(STRANGER, 0.0)  # nobody knows whether it is the same one
    turns.end(first)
    assert turns.begin(OTHER, 0.0)[1] is None


def test_agency_goes_before_strangers_at_once_and_they_never_before_it():
    turns = GivingTurns()
    stranger, _ = turns.begin(STRANGER, 0.0)
    stranger.received = 1 << 30
    agency, before = turns.begin(AGENCY, 0.0)
    assert before is stranger
    turns.end(stranger)  # it hears of it later
    with pytest.raises(RequestInvalidError):
        turns.begin(STRANGER, GRACE_S * 100)  # however slow the agency is
    assert not agency.received


@pytest.mark.parametrize(("first", "second"), [(STRANGER, OTHER), (AGENCY, PEER)])
def test_slow_one_ends_when_another_of_its_kind_comes(first: Giver, second: Giver):
    turns = GivingTurns()
    turn, _ = turns.begin(first, 100.0)
    with pytest.raises(RequestInvalidError):
        turns.begin(second, 100.0 + GRACE_S - 0.1)  # too early to say
    turn.received = int(LEAST_BYTES_S * GRACE_S)
    with pytest.raises(RequestInvalidError):
        turns.begin(second, 100.0 + GRACE_S)  # fast enough
    following, before = turns.begin(second, 100.0 + GRACE_S + 1)
    assert before is turn
    assert following.giver is second


def test_agency_that_begins_anew_ends_its_own_earlier_turn():
    turns = GivingTurns()
    first, _ = turns.begin(AGENCY, 0.0)
    assert turns.begin(Giver("ipv4:10.9.9.9", "H29"), 0.0)[1] is first
