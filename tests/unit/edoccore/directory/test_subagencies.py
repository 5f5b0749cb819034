"""Sub-agencies that an agency lists itself: bounded by its spaces, under its seal, never older."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from edoccore.directory.floor import decode_floor
from edoccore.directory.layout import OwnedCode, RevocationKind, subagencies_path
from edoccore.directory.loading import load
from edoccore.directory.memory import Memory, encode
from edoccore.directory.spaces import Spaces, check_space, contains
from edoccore.directory.subagencies import check_follows
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import AgencyUnknownError, RequestInvalidError
from edoccore.signing.statements import SubAgency, time_text
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW

SPACES = ("H29.*", "*.H29")
LOOK_ALIKES = [
    "H29",
    "H290",
    "H290.5",
    "H2.9",
    "H29.",
    "H29.5.",
    "H29..5",
    "h29.5",
    "H29.5a",
    " H29.5",
    "H29.5 ",
    "\u041d29.5",  # Cyrillic En
    "H29.\uff15",  # full-width 5
    "H29\u200b.5",
    "H29\u3002" + "5",  # ideographic full stop
    "G01.22",
    "000.05.00.H30",
    "000.05.00.h29",
    "0000.05.00.H29",
    "",
]


def delegated(nation: Nation, *entries: SubAgency | str) -> Nation:
    """H29 with its spaces, and these entries in its list."""
    nation.delegate("H29", *SPACES)
    nation.put_list("H29", nation.agencies["H29"].subagencies(*entries, time=nation.now))
    return nation


@pytest.mark.parametrize("code", ["H29.6", "H29.6.1", "H29.DN.001", "000.06.00.H29"])
def test_codes_in_a_space_are_those_with_more_groups_and_the_old_ones_of_the_agency(
    code: str,
) -> None:
    assert any(contains(space, code) for space in SPACES)


@pytest.mark.parametrize("code", LOOK_ALIKES)
def test_t02_what_only_looks_like_a_code_of_a_space_is_in_none(code: str) -> None:
    assert not any(contains(space, code) for space in SPACES)


@pytest.mark.parametrize(
    "text", ["H29", "*", "H29*", "H29.", "H*", ".*", "*.H29.5", "h29.*", "*.*"]
)
def test_what_would_give_more_than_the_codes_of_one_agency_is_no_space(text: str) -> None:
    with pytest.raises(RequestInvalidError):
        check_space(text)


def test_the_narrowest_space_decides_who_may_list_a_code() -> None:
    spaces = Spaces([("H29", ("H29.*", "*.H29")), ("H29.5", ("H29.5.*",)), ("G01", ("H61.*",))])
    assert spaces.lister("H29.6.1") == "H29"
    assert spaces.lister("H29.5") == "H29"
    assert spaces.lister("H29.5.1") == "H29.5"
    assert spaces.lister("H61.1") == "G01"
    assert spaces.lister("000.05.00.H29") == "H29"
    assert spaces.lister("H30.1") is None
    assert spaces.problems == []


def test_a_space_that_was_given_twice_is_nobody_s() -> None:
    spaces = Spaces([("H29", ("H29.*",)), ("G01", ("H29.*",))])
    assert spaces.lister("H29.5") is None
    assert len(spaces.problems) == 1


def test_what_an_agency_lists_is_its_own_and_its_node_serves_it(nation: Nation) -> None:
    entry = SubAgency(code="H29.6", name="Sở Nội vụ", aliases=("000.06.00.H29",))
    directory = delegated(nation, entry).directory()
    assert directory.problems == ()
    for code in ("H29.6", "000.06.00.H29"):
        found = directory.agency(code)
        assert (found.code, found.name, found.owner) == ("H29.6", "Sở Nội vụ", "H29")
        assert directory.owns("H29", code)
        assert directory.node_of(code, NOW) == "H29"
        assert directory.accepts("H29", code, NOW)
    assert directory.ownership.open_codes("H29") == ["H29", "H29.5.1", "H29.6"]


@pytest.mark.parametrize("code", [code for code in LOOK_ALIKES if code])
def test_t02_a_code_outside_its_spaces_is_not_an_agency_s_though_it_lists_it(
    nation: Nation, code: str
) -> None:
    before = nation.directory().agency("G01").owner
    directory = delegated(nation, "H29.6", code).directory()
    assert code == "H29" or not directory.owns("H29", code)
    assert directory.agency("H29").code == "H29"
    assert directory.agency("G01").owner == before
    assert any("H29" in problem for problem in directory.problems)


def test_what_officers_list_for_another_agency_comes_before_a_list(nation: Nation) -> None:
    other = OwnedCode(code="H29.7", name="Of the ministry", aliases=("000.07.00.H29",))
    nation.entries["G01"] = replace(nation.entries["G01"], owns=(other,))
    entry = SubAgency(code="H29.6", name="x", aliases=("000.07.00.H29",))
    directory = delegated(nation, "H29.7", entry, "H29.8").directory()
    assert directory.agency("H29.7").owner == "G01"
    assert directory.agency("000.07.00.H29").owner == "G01"
    assert directory.agency("H29.8").owner == "H29"
    assert len(directory.problems) == 2


def test_an_agency_with_a_node_of_its_own_is_never_taken_by_a_list(nation: Nation) -> None:
    nation.add_agency("H29.9", "Ban quản lý")
    directory = delegated(nation, "H29.9", "H29.8").directory()
    assert directory.agency("H29.9").owner == "H29.9"
    assert directory.agency("H29.8").owner == "H29"


def test_an_agency_s_own_old_code_cannot_be_given_to_a_sub_agency(nation: Nation) -> None:
    entry = SubAgency(code="H29.6", name="x", aliases=("000.00.00.H29",))
    directory = delegated(nation, entry).directory()
    assert directory.agency("000.00.00.H29").code == "H29"


def test_what_officers_listed_for_the_same_agency_goes_over_to_its_own_list(
    nation: Nation,
) -> None:
    entry = SubAgency(code="H29.5.1", name="Tên mới")
    directory = delegated(nation, entry).directory()
    assert directory.agency("H29.5.1").name == "Tên mới"
    assert directory.problems == ()


def test_a_closed_code_stays_known_and_says_so(nation: Nation) -> None:
    entry = SubAgency(code="H29.6", name="x", closed=time_text(NOW))
    directory = delegated(nation, entry, "H29.7").directory()
    assert directory.owns("H29", "H29.6")
    assert directory.is_closed("H29.6")
    assert not directory.is_closed("H29.7")
    assert "H29.6" not in directory.ownership.open_codes("H29")


def test_the_registry_cannot_invent_a_sub_agency(nation: Nation) -> None:
    delegated(nation, "H29.6")
    sealed = nation.lists["H29"]
    invented = {**sealed.statement, "entries": [{"code": "H29.66", "name": "x"}]}
    nation.lists["H29"] = replace(sealed, statement=invented)
    directory = nation.directory()
    assert subagencies_path("H29") in directory.refused
    for code in ("H29.6", "H29.66"):
        with pytest.raises(AgencyUnknownError):
            directory.agency(code)


@pytest.mark.parametrize("claimed", ["H29", "G01"])
def test_another_agency_cannot_list_for_it(nation: Nation, claimed: str) -> None:
    nation.delegate("H29", *SPACES)
    forged = nation.agencies["G01"].subagencies("H29.66", time=nation.now, agency=claimed)
    nation.put_list("H29", forged)
    directory = nation.directory()
    assert not directory.owns("H29", "H29.66")
    assert not directory.owns("G01", "H29.66")
    assert subagencies_path("H29") in directory.refused


def test_a_list_of_another_agency_names_nothing_in_its_spaces(nation: Nation) -> None:
    delegated(nation, "H29.6")
    nation.delegate("G01", "G01.*")
    listed = nation.agencies["G01"].subagencies("G01.7", "H29.6", "H29.66", time=nation.now)
    nation.put_list("G01", listed)
    directory = nation.directory()
    assert directory.agency("H29.6").owner == "H29"
    assert not directory.owns("G01", "H29.66")
    assert directory.owns("G01", "G01.7")
    assert len(directory.problems) == 2


def test_without_a_space_a_list_names_nothing(nation: Nation) -> None:
    nation.put_list("H29", nation.agencies["H29"].subagencies("H29.6", time=nation.now))
    assert not nation.directory().owns("H29", "H29.6")


def test_an_older_list_is_refused_once_a_newer_one_was_seen(nation: Nation) -> None:
    agency = nation.agencies["H29"]
    older = agency.subagencies("H29.6", time=nation.now)
    delegated(nation, "H29.6", "H29.7")
    floor = decode_floor(nation.directory().floor().encode())
    nation.now += timedelta(minutes=1)
    nation.put_list("H29", older)
    directory = load(nation.publish(), nation.anchor, floor)
    assert "below" in directory.refused[subagencies_path("H29")]
    assert not directory.owns("H29", "H29.7")


def test_a_list_holds_on_when_its_key_is_replaced_and_falls_when_it_was_stolen(
    nation: Nation,
) -> None:
    nation.agencies["H29"].subagencies("H29.1", time=NOW)
    delegated(nation, "H29.6")
    nation.now += timedelta(hours=2)
    nation.revoke("H29", RevocationKind.SEAL)
    assert nation.directory().owns("H29", "H29.6")
    nation.now += timedelta(minutes=1)
    nation.revoke("H29", RevocationKind.SEAL, compromised_since=NOW - timedelta(minutes=1))
    directory = nation.directory()
    assert not directory.owns("H29", "H29.6")
    assert "lost or revoked" in directory.refused[subagencies_path("H29")]


def test_a_list_sealed_after_its_key_was_revoked_is_worth_nothing(nation: Nation) -> None:
    nation.revoke("H29", RevocationKind.SEAL)
    nation.now += timedelta(minutes=1)
    delegated(nation, "H29.6")
    assert not nation.directory().owns("H29", "H29.6")


def test_a_memory_gives_the_same_lists(nation: Nation) -> None:
    closed = SubAgency(code="H29.7", name="x", closed=time_text(NOW), aliases=("000.07.00.H29",))
    plain = delegated(nation, "H29.6", closed, "H30.1").directory()
    memory = Memory(encode(plain, "this"), "this")
    again = load(nation.files, nation.anchor, memory=memory)
    assert again.lists["H29"].entries == plain.lists["H29"].entries
    assert again.ownership._codes == plain.ownership._codes
    assert again.problems == plain.problems
    assert again.floor() == plain.floor()


def test_a_list_never_forgets_reopens_or_renames_a_code() -> None:
    known = [
        SubAgency(code="H29.5", name="a", aliases=("000.05.00.H29",)),
        SubAgency(code="H29.6", name="b", closed=time_text(NOW)),
    ]
    check_follows(known, [*known, SubAgency(code="H29.7", name="c")])
    check_follows(known, [replace(known[0], name="other", closed=time_text(NOW)), known[1]])
    for after, named in (
        (known[1:], "H29.5"),
        ([SubAgency(code="H29.5", name="a"), known[1]], "000.05.00.H29"),
        ([known[0], SubAgency(code="H29.6", name="b")], "H29.6"),
        ([known[0], replace(known[1], closed=time_text(NOW + timedelta(1)))], "H29.6"),
    ):
        with pytest.raises(SubagencyRefusedError) as caught:
            check_follows(known, after)
        assert caught.value.fields["code"] == named
