"""The life of agencies: codes are never used twice, decisions repeat without harm."""

from datetime import UTC, datetime

import pytest

from edoccore.directory.layout import AgencyState
from edoccore.errors import (
    AgencyExistsError,
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    NotCanonicalError,
    RequestInvalidError,
)
from edocregistry.domain import agencies

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
OLD = "000.00.00.H29"


def add(in_records, code="H29", name="Đồng Tháp", **fields):
    return in_records(lambda records: agencies.add_agency(records, code, name, now=NOW, **fields))


def test_same_agency_again_changes_nothing(in_records):
    first = add(in_records, aliases=(OLD,))
    assert add(in_records, aliases=(OLD,)) == first
    assert len(in_records(lambda records: records.agencies())) == 1


@pytest.mark.parametrize("taken", ["H29", OLD])
def test_code_or_alias_in_use_is_refused(in_records, taken):
    add(in_records, aliases=(OLD,))
    with pytest.raises(AgencyExistsError, match="belongs to H29"):
        add(in_records, "H30", aliases=(taken,))
    assert in_records(lambda records: records.agency("H30")) is None


def test_code_of_a_closed_agency_is_never_used_again(in_records):
    add(in_records, aliases=(OLD,))
    in_records(lambda records: agencies.close_agency(records, "H29", at=NOW, now=NOW))
    with pytest.raises(AgencyExistsError):
        add(in_records, "H29", "Another")
    with pytest.raises(AgencyExistsError):
        add(in_records, OLD)


@pytest.mark.parametrize("code", ["h29", "H29 ", "H29.", "Н29", "", "H" * 36, "../x"])
def test_code_in_another_form_is_refused(in_records, code):
    with pytest.raises(RequestInvalidError):
        add(in_records, code)


@pytest.mark.parametrize("name", ["", " x", "x" * 1001])
def test_name_out_of_bounds_is_refused(in_records, name):
    with pytest.raises(RequestInvalidError):
        add(in_records, name=name)


def test_name_that_no_statement_may_hold_is_refused(in_records):
    with pytest.raises(NotCanonicalError):
        add(in_records, name="a\u0000b")


def test_sub_agency_needs_an_owner_with_its_own_node(in_records):
    add(in_records)
    add(in_records, "H29.5", "Sở Nội vụ", owner="H29")
    with pytest.raises(RequestInvalidError, match="no node of its own"):
        add(in_records, "H29.5.1", "Phòng", owner="H29.5")
    with pytest.raises(AgencyUnknownError):
        add(in_records, "H31", "x", owner="H30")


def test_an_owner_has_no_more_sub_agencies_than_the_directory_holds(in_records, monkeypatch):
    monkeypatch.setattr(agencies, "MAX_OWNED", 2)
    add(in_records)
    add(in_records, "H29.5", "Sở Nội vụ", owner="H29")
    add(in_records, "H29.6", "Sở Tài chính", owner="H29")
    in_records(lambda records: agencies.suspend_agency(records, "H29.6"))
    with pytest.raises(RequestInvalidError, match="H29 owns 2 agencies"):
        add(in_records, "H29.7", "Sở Xây dựng", owner="H29")
    in_records(lambda records: agencies.close_agency(records, "H29.6", at=NOW, now=NOW))
    add(in_records, "H29.7", "Sở Xây dựng", owner="H29")


def test_suspending_and_resuming_repeat_without_harm(in_records):
    add(in_records)
    for _ in range(2):
        suspended = in_records(lambda records: agencies.suspend_agency(records, "H29"))
        assert suspended.state is AgencyState.SUSPENDED
    with pytest.raises(AgencyInactiveError):
        in_records(lambda records: agencies.active_agency(records, "H29", NOW))
    for _ in range(2):
        resumed = in_records(lambda records: agencies.resume_agency(records, "H29"))
        assert resumed.state is AgencyState.ACTIVE


def test_closing_is_final(in_records):
    add(in_records)
    for _ in range(2):
        closed = in_records(lambda records: agencies.close_agency(records, "H29", at=NOW, now=NOW))
        assert closed.valid_to == NOW
    for decision in (agencies.suspend_agency, agencies.resume_agency):
        with pytest.raises(DecisionConflictError):
            in_records(lambda records, decision=decision: decision(records, "H29"))


def test_owner_is_not_closed_before_its_sub_agencies(in_records):
    add(in_records)
    add(in_records, "H29.5", "Sở", owner="H29")
    with pytest.raises(DecisionConflictError, match=r"H29\.5"):
        in_records(lambda records: agencies.close_agency(records, "H29", at=NOW, now=NOW))
    in_records(lambda records: agencies.close_agency(records, "H29.5", at=NOW, now=NOW))
    in_records(lambda records: agencies.close_agency(records, "H29", at=NOW, now=NOW))


def test_agency_is_found_by_its_alias(in_records):
    add(in_records, aliases=(OLD,))
    assert in_records(lambda records: agencies.known_agency(records, OLD)).code == "H29"


def test_registry_itself_is_neither_suspended_nor_closed(in_records):
    add(in_records, "REGISTRY", "Registry")
    with pytest.raises(RequestInvalidError):
        in_records(lambda records: agencies.suspend_agency(records, "REGISTRY"))
    with pytest.raises(RequestInvalidError):
        in_records(lambda records: agencies.close_agency(records, "REGISTRY", at=NOW, now=NOW))
