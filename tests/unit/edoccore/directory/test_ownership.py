from datetime import timedelta

import msgspec
import pytest

from edoccore.directory.layout import WIND_UP, AgencyState
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    PeerNotTrustedError,
    SealCertificateError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal, open_seal
from edoccore.signing.statements import Effect, time_text
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW


def effect_of(nation: Nation, code: str) -> bytes:
    statement = Effect(
        network=nation.network,
        agency=code,
        kind="document.accepted",
        subject="x",
        actor="y",
        time=time_text(nation.now),
    )
    return canonical.encode(statement)


def sealed_by(nation: Nation, code: str) -> SignedSeal:
    return nation.agencies[code].seal(effect_of(nation, code), time=nation.now)[0].seal


@pytest.mark.parametrize("code", ["H29", "000.00.00.H29", "H29.5.1"])
def test_an_agency_is_found_by_code_alias_and_owned_code(nation: Nation, code: str) -> None:
    directory = nation.directory()
    assert directory.agency(code).owner == "H29"
    assert directory.owner_of(code, NOW) == "H29"
    assert directory.owns("H29", code)
    assert directory.node_of(code, NOW) == "H29"
    assert directory.accepts("H29", code, NOW)
    assert not directory.owns("G01", code)
    assert not directory.accepts("G01", code, NOW)


@pytest.mark.parametrize(
    "code",
    [
        "H290",
        "H2",
        "H29.",
        "H29.5",
        "H29.5.1.1",
        "H29.5.2",
        "h29",
        "H29 ",
        " H29",
        "\u041d29",  # Cyrillic En
        "H2\uff19",  # full-width 9
        "H29\u200b",
        "000.00.00.h29",
        "",
        "G01.22",
    ],
)
def test_t02_a_code_that_is_not_listed_is_nobody_s_however_much_it_looks_like_one(
    nation: Nation, code: str
) -> None:
    directory = nation.directory()
    assert not directory.owns("H29", code)
    assert not directory.accepts("H29", code, NOW)
    with pytest.raises(AgencyUnknownError):
        directory.owner_of(code, NOW)


def test_t01_an_agency_owns_no_code_of_another(nation: Nation) -> None:
    directory = nation.directory()
    assert not directory.owns("H29", "G01")
    assert directory.owns("G01", "G01")


def test_a_code_claimed_by_two_agencies_is_neither_s_and_is_named(nation: Nation) -> None:
    nation.add_agency("H30", "One", aliases=("000.00.00.H30",))
    nation.add_agency("H31", "Two", aliases=("000.00.00.H30",), owns=("H29",))
    directory = nation.directory()
    with pytest.raises(AgencyUnknownError):
        directory.agency("000.00.00.H30")
    assert directory.owner_of("H29", NOW) == "H29"
    assert len(directory.problems) == 2
    assert "H30, H31" in directory.problems[0]


def test_an_agency_owned_nothing_before_it_existed(nation: Nation) -> None:
    directory = nation.directory()
    with pytest.raises(AgencyUnknownError, match="did not exist"):
        directory.owner_of("H29", NOW - timedelta(days=1))


def test_documents_for_a_merged_agency_go_to_its_successor(nation: Nation) -> None:
    nation.set_state("G01", AgencyState.MERGED, successors=("H29",))
    directory = nation.directory()
    assert directory.node_of("G01", NOW) == "H29"
    assert directory.accepts("H29", "G01", NOW)
    assert not directory.owns("H29", "G01")
    assert directory.owner_of("G01", NOW - timedelta(minutes=1)) == "G01"
    with pytest.raises(AgencyUnknownError):
        directory.owner_of("G01", NOW)


def test_successions_are_followed_but_never_in_a_circle(nation: Nation) -> None:
    nation.add_agency("H30", "Third")
    nation.set_state("G01", AgencyState.MERGED, successors=("H30",))
    nation.set_state("H30", AgencyState.MERGED, successors=("H29",))
    assert nation.directory().node_of("G01", NOW) == "H29"
    nation.set_state("H30", AgencyState.MERGED, successors=("G01",))
    with pytest.raises(AgencyInactiveError):
        nation.directory().node_of("G01", NOW)


def test_an_end_that_is_decided_for_later_changes_nothing_before(nation: Nation) -> None:
    end = NOW + timedelta(days=3)
    nation.end("G01", end, successors=("H29",))
    directory = nation.directory()
    assert directory.node_of("G01", end - timedelta(milliseconds=1)) == "G01"
    assert not directory.accepts("H29", "G01", end - timedelta(milliseconds=1))
    assert directory.node_of("G01", end) == "H29"
    assert directory.accepts("H29", "G01", end)
    assert directory.endpoint("G01", NOW) is not None


def test_a_clock_that_is_behind_hides_no_agency_and_revives_none(nation: Nation) -> None:
    nation.end("H29", NOW - timedelta(seconds=1), successors=("G01",))
    directory, behind = nation.directory(), NOW - timedelta(days=40)
    assert directory.node_of("G01", behind) == "G01"
    assert directory.accepts("G01", "G01", behind)
    assert directory.answering_node("G01", "G01", behind) == "G01"
    assert directory.node_of("H29", behind) == "G01"
    assert directory.has_ended("H29", behind)
    assert not directory.has_ended("G01", behind)


def test_a_clock_behind_the_entry_of_an_agency_refuses_neither_it_nor_its_seals(
    nation: Nation,
) -> None:
    nation.entries["G01"] = msgspec.structs.replace(
        nation.entries["G01"], valid_from=time_text(NOW)
    )
    directory, behind = nation.directory(), NOW - timedelta(minutes=2)
    signed = sealed_by(nation, "G01")
    assert directory.endpoint("G01", behind) is not None
    assert open_seal(signed, directory, network=nation.network, at=behind).seal.signer == "G01"


def test_an_ended_agency_is_heard_while_it_winds_up_and_then_no_more(nation: Nation) -> None:
    nation.end("G01", NOW, successors=("H29",))
    directory = nation.directory()
    life = directory.agency("G01")
    last = NOW + WIND_UP - timedelta(milliseconds=1)
    assert (life.is_active(NOW), life.answers(NOW), life.answers(last)) == (False, True, True)
    assert not life.answers(NOW + WIND_UP)
    assert directory.tls_agency(nation.agencies["G01"].tls_sha256, last) == "G01"
    with pytest.raises(PeerNotTrustedError):
        directory.tls_agency(nation.agencies["G01"].tls_sha256, NOW + WIND_UP)


def test_words_about_old_documents_go_to_the_node_that_has_them_while_it_answers(
    nation: Nation,
) -> None:
    nation.end("G01", NOW, successors=("H29",))
    directory = nation.directory()
    assert directory.answering_node("G01", "G01", NOW) == "G01"
    assert directory.answering_node("G01", "G01", NOW + WIND_UP) == "H29"
    assert directory.answering_node("REGISTRY", "G01", NOW) == "H29"  # the code is not its own
    assert directory.answering_node("X99", "X99", NOW) == "X99"  # nobody knows better


def test_who_followed_an_agency_and_ended_itself_deals_with_its_documents_while_it_winds_up(
    nation: Nation,
) -> None:
    nation.add_agency("H30", "Third")
    later = NOW + timedelta(days=1)
    nation.end("G01", NOW, successors=("H30",))
    nation.end("H30", later, successors=("H29",))
    directory = nation.directory()
    assert directory.accepts("H30", "G01", NOW)
    assert directory.accepts("H30", "G01", later)
    assert directory.accepts("H29", "G01", later)
    assert not directory.accepts("H29", "G01", NOW)
    assert not directory.accepts("REGISTRY", "G01", later)
    assert directory.answering_node("H30", "G01", later) == "H30"
    assert directory.answering_node("H30", "G01", later + WIND_UP) == "H29"


@pytest.mark.parametrize(
    ("successors", "told"),
    [
        ((), "G01 is closed as of 2026-"),
        (("H29",), "G01 is merged into H29 as of 2026-"),
        (("H29", "REGISTRY"), "G01 is split into H29, REGISTRY as of 2026-"),
    ],
)
def test_what_became_of_an_agency_is_told_in_words(
    nation: Nation, successors: tuple[str, ...], told: str
) -> None:
    nation.end("G01", NOW, successors=successors)
    assert nation.directory().how_it_ended("G01").startswith(told)


def test_of_several_successors_the_sender_must_choose(nation: Nation) -> None:
    nation.set_state("G01", AgencyState.CLOSED, successors=("H29", "REGISTRY"))
    with pytest.raises(AgencyInactiveError) as caught:
        nation.directory().node_of("G01", NOW)
    assert "H29, REGISTRY" in caught.value.hint


def test_nothing_goes_to_or_comes_from_a_suspended_agency(nation: Nation) -> None:
    signed = sealed_by(nation, "G01")
    nation.suspend("G01")
    directory = nation.directory()
    with pytest.raises(AgencyInactiveError, match="suspended"):
        directory.node_of("G01", NOW)
    assert directory.endpoint("G01", NOW) is None
    with pytest.raises(PeerNotTrustedError, match="not active"):
        directory.tls_agency(nation.agencies["G01"].tls_sha256, NOW)
    with pytest.raises(SealCertificateError, match="suspended"):
        open_seal(signed, directory, network=nation.network, at=NOW)
