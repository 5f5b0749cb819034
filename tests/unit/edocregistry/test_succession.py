"""How agencies follow each other: one decision at a time, for good, and codes are never reused."""

from datetime import timedelta

import pytest

from edoccore.directory.layout import MAX_KIN, AgencyState, IdentityEntry
from edoccore.errors import (
    AgencyExistsError,
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    RequestInvalidError,
)
from edoccore.signing.statements import time_text
from edocregistry.domain import agencies, differences, succession
from edocregistry.domain.contents import directory_contents
from edocregistry.domain.differences import Said
from tests.unit.edocregistry.conftest import NOW
from tests.unit.edocregistry.test_agencies import add
from tests.unit.edocregistry.test_publication import contents

OLD = "000.00.00.H06"
LATER = NOW + timedelta(days=7)


@pytest.fixture
def provinces(in_records):
    """Three provinces, of which one takes the others, and one that stays apart."""
    for code, name in (("H29", "Thành phố Hồ Chí Minh"), ("H09", "Bình Dương"), ("H26", "Hà Nội")):
        add(in_records, code, name)
    add(in_records, "H06", "Bà Rịa - Vũng Tàu", aliases=(OLD,))
    return in_records


def merge(in_records, *codes, into="H29", name=None, at=NOW, now=NOW):
    return in_records(
        lambda records: succession.merge_agencies(records, codes, into, name=name, at=at, now=now)
    )


def split(in_records, code, *into, at=NOW):
    return in_records(lambda records: succession.split_agency(records, code, into, at=at, now=NOW))


def entries(in_records, now=NOW) -> dict[str, IdentityEntry]:
    said = in_records(lambda records: directory_contents(records, contents().network, [], now))
    return {entry.code: entry for entry in said.identities}


def test_several_agencies_merge_into_one_that_is_there_in_one_decision(provinces):
    first, second, successor = merge(provinces, "H09", OLD)
    assert (first.state, first.successors, first.valid_to) == (AgencyState.MERGED, ("H29",), NOW)
    assert (second.code, second.successors, successor.code) == ("H06", ("H29",), "H29")
    listed = entries(provinces)
    assert listed["H29"].predecessors == ("H06", "H09")
    assert listed["H09"].successors == ("H29",)
    assert listed["H09"].valid_to == time_text(NOW)


def test_agencies_merge_into_a_new_one(provinces):
    *_, successor = merge(provinces, "H09", "H06", into="H64", name="Tỉnh mới")
    assert (successor.name, successor.valid_from) == ("Tỉnh mới", NOW)
    with pytest.raises(AgencyUnknownError):
        merge(provinces, "H26", into="H65")


def test_same_merger_again_changes_nothing_and_another_is_a_conflict(provinces):
    first = merge(provinces, "H09", at=LATER)
    assert merge(provinces, "H09", at=LATER + timedelta(days=1)) == first
    with pytest.raises(DecisionConflictError, match="H09 is merged into H29 at 2026-11-30"):
        merge(provinces, "H09", into="H26")
    with pytest.raises(DecisionConflictError):
        split(provinces, "H09", "H29", "H26")
    for decision in (agencies.suspend_agency, agencies.resume_agency):
        with pytest.raises(DecisionConflictError):
            provinces(lambda records, decision=decision: decision(records, "H09"))
    with pytest.raises(DecisionConflictError):
        provinces(lambda records: agencies.close_agency(records, "H09", at=NOW, now=NOW))


def test_an_end_lies_ahead_or_now_but_never_in_the_past(provinces):
    with pytest.raises(RequestInvalidError, match="is past"):
        merge(provinces, "H09", at=NOW - timedelta(milliseconds=1))
    (ending, _) = merge(provinces, "H09", at=LATER)
    assert ending.is_active(LATER - timedelta(seconds=1))
    assert not ending.is_active(LATER)
    provinces(lambda records: agencies.active_agency(records, "H09", NOW))
    with pytest.raises(AgencyInactiveError):
        provinces(lambda records: agencies.active_agency(records, "H09", LATER))


@pytest.mark.parametrize("code", ["H09", "H06", OLD])
def test_codes_of_agencies_that_ended_are_never_used_again(provinces, code):
    merge(provinces, "H09", "H06")
    with pytest.raises(AgencyExistsError):
        add(provinces, code, "Another")
    with pytest.raises(AgencyExistsError):
        add(provinces, "H70", "Another", aliases=(code,))
    with pytest.raises(AgencyExistsError):
        merge(provinces, "H26", into=code, name="Another")


def test_nobody_follows_himself_nor_one_that_ends_nor_the_registry(provinces):
    add(provinces, "REGISTRY", "Registry")
    add(provinces, "H29.5", "Sở", owner="H29")
    with pytest.raises(DecisionConflictError, match="named twice"):
        merge(provinces, "H29", "H09")
    with pytest.raises(DecisionConflictError, match="named twice"):
        merge(provinces, "H09", "H09")
    with pytest.raises(RequestInvalidError):
        merge(provinces, "H09", into="REGISTRY")
    with pytest.raises(RequestInvalidError):
        merge(provinces, "REGISTRY")
    with pytest.raises(RequestInvalidError, match="no node of its own"):
        merge(provinces, "H09", into="H29.5")
    merge(provinces, "H06", at=LATER)
    with pytest.raises(DecisionConflictError):
        merge(provinces, "H09", into="H06")
    assert entries(provinces)["H09"].state is AgencyState.ACTIVE  # nothing was done by halves


def test_a_merger_is_done_whole_or_not_at_all(provinces):
    provinces(lambda records: agencies.close_agency(records, "H06", at=NOW, now=NOW))
    with pytest.raises(DecisionConflictError):
        merge(provinces, "H09", "H06")
    assert provinces(lambda records: records.agency("H09")).successors == ()


def test_an_agency_is_split_into_several_that_are_there(provinces):
    ending, *following = split(provinces, "H29", "H09", OLD)
    assert (ending.state, ending.successors) == (AgencyState.MERGED, ("H09", "H06"))
    assert [item.code for item in following] == ["H09", "H06"]
    assert split(provinces, "H29", "H09", "H06")[0] == ending
    with pytest.raises(RequestInvalidError, match="2 to"):
        split(provinces, "H26", "H09")
    listed = entries(provinces)
    assert (listed["H09"].predecessors, listed["H06"].predecessors) == (("H29",), ("H29",))


def test_an_agency_follows_no_more_than_the_directory_holds(provinces, monkeypatch):
    monkeypatch.setattr(succession, "MAX_KIN", 1)
    merge(provinces, "H09")
    with pytest.raises(RequestInvalidError, match="would follow 2"):
        merge(provinces, "H06")
    assert MAX_KIN == 100


def test_an_agency_gets_another_name_and_more_codes_and_keeps_those_it_has(provinces):
    def rename(name=None, *aliases):
        return provinces(
            lambda records: agencies.rename_agency(
                records, "H06", name=name, aliases=aliases, now=NOW
            )
        )

    renamed = rename("Tỉnh Bà Rịa", "000.06.00.H06")
    assert (renamed.name, renamed.aliases) == ("Tỉnh Bà Rịa", (OLD, "000.06.00.H06"))
    assert rename("Tỉnh Bà Rịa", OLD) == renamed
    with pytest.raises(AgencyExistsError):
        rename(None, "H09")
    with pytest.raises(RequestInvalidError):
        rename()
    with pytest.raises(RequestInvalidError):
        rename("")
    merge(provinces, "H06")
    with pytest.raises(DecisionConflictError):
        rename("Too late")


def test_invites_of_an_agency_that_ends_are_worth_nothing(provinces):
    from edocregistry.domain.enrolment import make_invite

    token = b"t" * 32
    provinces(
        lambda records: make_invite(
            records, "H09", token_sha256=token, ttl=timedelta(hours=1), now=NOW
        )
    )
    merge(provinces, "H09", at=LATER)
    assert provinces(lambda records: records.invite(token)).withdrawn_at == NOW


def test_officers_read_in_words_who_follows_whom_and_when(provinces):
    before = Said(contents().network, entries(provinces))
    merge(provinces, "H09", at=LATER)
    split(provinces, "H26", "H29", "H06")
    provinces(
        lambda records: agencies.rename_agency(
            records, "H29", name="TP Hồ Chí Minh", aliases=(), now=NOW
        )
    )
    after = Said(contents().network, entries(provinces))
    told = {item.text for item in differences.changes_between(before, after)}
    assert told == {
        f"H09 ends at {time_text(LATER)}: it is merged into H29.",
        f"H26 ends at {time_text(NOW)}: it is split into H29, H06.",
        "H29 is called 'TP Hồ Chí Minh', no longer 'Thành phố Hồ Chí Minh'.",
        "H29 has as predecessor: H09, H26.",
        "H06 has as predecessor: H26.",
    }
    provinces(lambda records: agencies.close_agency(records, "H06", at=LATER, now=NOW))
    closed = Said(contents().network, entries(provinces))
    (last,) = differences.changes_between(after, closed)
    assert last.text == f"H06 ends at {time_text(LATER)}: it is closed, nobody follows it."
